"""What is stopped behind the processes that answer, the stamping of the ramp's records included."""

from proof.db import Database
from proof.ramp.transactions import unstamped
from proof.ramp.transactions.unstamped import Backlog
from proof.timestamps.anchors import health
from proof.timestamps.anchors.health import Part

# A record is stamped within about a second, unless something is wrong.
UNSTAMPED_S = 30


async def parts(database: Database) -> list[Part]:
    """Every part of an installation, working or not. Raises UnavailableError: then nothing is known."""
    found = await health.parts(database)
    async with database.connection() as connection:
        return [*found, _stamping(await unstamped.backlog(connection))]


def _stamping(backlog: Backlog) -> Part:
    records, age_s = backlog
    if age_s <= UNSTAMPED_S:
        return Part("stamping", None)
    plural = "s wait" if records != 1 else " waits"
    return Part("stamping", f"{records} record{plural} to be stamped, the oldest for {age_s} s")
