"""What PostgreSQL notifies."""

from collections.abc import Awaitable, Collection

from proof.db import Database

_END = "proof_test_end"


async def notices_of(
    database: Database, channels: Collection[str], act: Awaitable[object]
) -> set[str]:
    """Those of these channels that were notified by what `act` committed."""
    found: set[str] = set()
    heard: list[str] = []
    connection = await database.dedicated()
    try:
        for channel in (*channels, _END):
            await connection.add_listener(channel, lambda *notice: heard.append(notice[2]))
        await act
        # Notices come in the order of their commits, and one's own not before the statement has ended.
        await connection.execute("SELECT pg_notify($1, '')", _END)
        while _END not in heard:
            await connection.execute("SELECT 1")
        found = set(heard) - {_END}
    finally:
        connection.terminate()
    return found
