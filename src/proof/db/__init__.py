"""PostgreSQL: the pool, transactions, migrations, and the embedded server."""

from proof.db.pool import Database
from proof.db.types import Connection

__all__ = ["Connection", "Database"]
