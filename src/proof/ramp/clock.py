"""The time of a partner environment: the clock's own, and in a sandbox an offset that only grows.

It decides over init tokens, widget sessions, deposit windows, a provider's delays and the times in ramp
objects; never over webhook timestamps, the grace of tokens, idempotency keys, the audit log or timestamps
(ramp API contract). Loops that poll transactions are scheduled in the clock's own time, so moving a
sandbox's clock makes all of its open transactions due.
"""

from datetime import datetime, timedelta

from proof.core.clock import Clock
from proof.core.errors import InvalidInputError
from proof.db import Connection
from proof.events import notify

ADVANCED = "proof_sandbox_clock_advanced"
"""What PostgreSQL notifies when a sandbox's clock was moved."""

# A year is longer than anything here lasts; ten years in all keep every date within four digits.
LONGEST_STEP_S = 366 * 24 * 3600
_LONGEST_OFFSET_S = 10 * LONGEST_STEP_S

_ADVANCE = """
INSERT INTO sandbox_clocks AS clock (partner_environment_id, offset_s) VALUES ($1, $2)
ON CONFLICT (partner_environment_id) DO UPDATE SET offset_s = clock.offset_s + $2
RETURNING offset_s
"""

_WAKE = """
UPDATE ramp_transactions SET next_poll_at = $2
WHERE partner_environment_id = $1 AND status IN ('pending', 'processing') AND next_poll_at > $2
"""


async def offset(connection: Connection, partner_environment_id: int) -> timedelta:
    """How far the environment's time is ahead of the clock; zero unless its clock was advanced."""
    seconds: int | None = await connection.fetchval(
        "SELECT offset_s FROM sandbox_clocks WHERE partner_environment_id = $1",
        partner_environment_id,
    )
    return timedelta(seconds=seconds or 0)


async def now(connection: Connection, partner_environment_id: int, clock: Clock) -> datetime:
    """The present moment of the environment, UTC. In production that is the clock's own, and a caller
    that knows it is there can leave the question out."""
    return clock.now() + await offset(connection, partner_environment_id)


async def advance(
    tx: Connection, partner_environment_id: int, seconds: int, clock: Clock
) -> datetime:
    """Move a sandbox's time forward by whole seconds, in the caller's transaction; the new present moment.

    Raises InvalidInputError outside 1 to LONGEST_STEP_S, or when the clock would be ten years ahead.
    Not checked: that the environment is a sandbox.
    """
    if not 1 <= seconds <= LONGEST_STEP_S:
        raise InvalidInputError(
            f"seconds: the clock moves forward, by at least 1 and at most {LONGEST_STEP_S}"
        )
    total: int = await tx.fetchval(_ADVANCE, partner_environment_id, seconds)
    if total > _LONGEST_OFFSET_S:
        raise InvalidInputError("seconds: this sandbox's clock would be over ten years ahead")
    present = clock.now()
    await tx.execute(_WAKE, partner_environment_id, present)
    await notify(tx, ADVANCED)
    return present + timedelta(seconds=total)
