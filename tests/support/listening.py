"""The connections that listen for events, as PostgreSQL shows them."""

from proof.db import Database

# The last statement of such a connection is of its LISTENs, or later the probe whether the server is there.
_LISTENING = """
FROM pg_stat_activity
WHERE datname = current_database() AND (query ~ '^(UN)?LISTEN' OR query = 'SELECT 1')
"""


async def listeners(database: Database) -> int:
    """How many there are of this database, in all processes."""
    async with database.connection() as connection:
        found: int = await connection.fetchval(f"SELECT count(*) {_LISTENING}")
    return found


async def end_listeners(database: Database) -> int:
    """Cut them off, as a server that restarts does; how many there were."""
    async with database.connection() as connection:
        ended = await connection.fetch(f"SELECT pg_terminate_backend(pid) {_LISTENING}")
    return len(ended)
