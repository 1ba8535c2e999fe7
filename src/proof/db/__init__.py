"""PostgreSQL: the pool, transactions, migrations, and the embedded server."""

from proof.db.pool import Database
from proof.db.types import Connection, random_id

__all__ = ["Connection", "Database", "random_id"]
