"""Setting how fast a partner environment may call. Without a setting DEFAULT_RATES hold."""

from proof.core.errors import InvalidInputError
from proof.db import Connection
from proof.partners.audit import Actor, record
from proof.partners.buckets import Rate
from proof.partners.environments import environment_id, lock_partner
from proof.partners.rates import DEFAULT_RATES, CallClass
from proof.partners.types import Environment

CALLS_MAX = 10_000_000
WINDOW_MAX_S = 86_400

_PUT = """
INSERT INTO rate_limits (partner_environment_id, call_class, calls, window_s, burst)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (partner_environment_id, call_class) DO UPDATE
SET calls = excluded.calls, window_s = excluded.window_s, burst = excluded.burst
"""


async def set_rate(
    tx: Connection,
    partner_id: str,
    environment: Environment,
    call_class: CallClass,
    rate: Rate | None,
    actor: Actor,
) -> None:
    """Set a limit, or go back to the default with None; every process keeps it within a second.

    Raises NotFoundError when there is no such partner, InvalidInputError for a limit out of range.
    """
    _check(rate)
    await lock_partner(tx, partner_id)
    identity = await environment_id(tx, partner_id, environment)
    before = (await rates(tx, partner_id, environment)).get(call_class)
    if rate is None:
        await tx.execute(
            "DELETE FROM rate_limits WHERE partner_environment_id = $1 AND call_class = $2",
            identity,
            call_class,
        )
    else:
        await tx.execute(_PUT, identity, call_class, rate.calls, rate.window_s, rate.burst)
    where = {"environment": str(environment), "class": str(call_class)}
    await record(
        tx,
        actor,
        "rate.set",
        partner_id,
        before=where | _written(before),
        after=where | _written(rate or DEFAULT_RATES.get(call_class)),
    )


async def rates(
    connection: Connection, partner_id: str, environment: Environment
) -> dict[CallClass, Rate]:
    """The limits that hold. Raises NotFoundError when there is no such partner."""
    identity = await environment_id(connection, partner_id, environment)
    rows = await connection.fetch(
        "SELECT * FROM rate_limits WHERE partner_environment_id = $1", identity
    )
    return dict(DEFAULT_RATES) | {
        CallClass(row["call_class"]): Rate(row["calls"], row["window_s"], row["burst"])
        for row in rows
    }


def _check(rate: Rate | None) -> None:
    if rate is None:
        return
    for name, value, most in (
        ("calls", rate.calls, CALLS_MAX),
        ("window", rate.window_s, WINDOW_MAX_S),
        ("burst", rate.burst, CALLS_MAX),
    ):
        if not 1 <= value <= most:
            raise InvalidInputError(f"{name}: 1 to {most} are possible, not {value}")


def _written(rate: Rate | None) -> dict[str, object]:
    if rate is None:
        return {"rate": "default"}
    return {"calls": rate.calls, "window_s": rate.window_s, "burst": rate.burst}
