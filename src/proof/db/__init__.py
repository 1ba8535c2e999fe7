"""PostgreSQL: the pool, transactions, migrations, and the embedded server."""

from proof.db.pool import Connection, Database

__all__ = ["Connection", "Database"]
