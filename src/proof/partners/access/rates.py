"""How fast a partner environment may call, counted over all processes. See `buckets` for the bound.

A process asks the database only when its lease is used up or over: once for a slice of calls that doubles
while it is used up and halves while it is not. Without tokens it refuses by itself until there may be some.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from math import ceil, inf
from typing import Any

from msgspec import Struct
from msgspec.structs import replace as changed

from proof.core.errors import (
    DatabaseUnavailableError,
    InvalidInputError,
    QuotaExceededError,
    UnavailableError,
)
from proof.db import Connection, Database
from proof.partners.access.buckets import EPOCH_S, Bucket, Lease, Rate, lease
from proof.partners.audit import Actor, record
from proof.partners.environments import environment_id, lock_partner
from proof.partners.types import Environment

# How long a process without tokens refuses before it asks the database again: a flood of refused calls
# costs at most fifty reads a second.
_ASK_AGAIN_S = (0.02, 0.25)


# A lease nobody uses up is given back after this time, so that another process can have it.
_IDLE_S = 0.5


# No process takes more than this part of the burst at once.
_LARGEST_PART = 4

_SELECT = """
SELECT tokens, at, leased, leased_before, extract(epoch FROM clock_timestamp())::float8 AS now
FROM rate_buckets WHERE partner_environment_id = $1 AND call_class = $2 FOR UPDATE
"""

_INSERT = """
INSERT INTO rate_buckets (partner_environment_id, call_class, tokens, at, leased, leased_before)
VALUES ($1, $2, $3, extract(epoch FROM clock_timestamp())::float8, 0, 0) ON CONFLICT DO NOTHING
"""

_UPDATE = """
UPDATE rate_buckets SET tokens = $3, at = $4, leased = $5, leased_before = $6
WHERE partner_environment_id = $1 AND call_class = $2
"""


# Each change of a setting stays in the audit log for ever. Whatever rate its calls have, a partner that
# sets two values in turn cannot fill the log faster than this; people and deployments need a few changes a
# day.
CHANGES_RATE = Rate(1_000, 86_400, 500)

_CHANGE = "change"

CALLS_MAX = 10_000_000

WINDOW_MAX_S = 86_400

_PUT = """
INSERT INTO rate_limits (partner_environment_id, call_class, calls, window_s, burst)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (partner_environment_id, call_class) DO UPDATE
SET calls = excluded.calls, window_s = excluded.window_s, burst = excluded.burst
"""


class CallClass(StrEnum):
    """What a call is counted as."""

    SUBMIT = "submit"
    READ = "read"
    PROOF = "proof"
    SETTINGS = "settings"
    SESSION = "session"
    EXAMPLE = "example"
    SANDBOX = "sandbox"

    # Enum's own hash is written in Python, and every request looks a class up several times.
    __hash__ = str.__hash__


Rates = Mapping[CallClass, Rate]


# The rates of partners for whom the operator set none, counted over all processes. An example call posts to
# an address of the caller's choice, so it is limited to what trying out a receiver by hand needs.
LEASED_RATES: Rates = {
    CallClass.SETTINGS: Rate(60, 60, 30),
    CallClass.EXAMPLE: Rate(30, 60, 30),
    CallClass.SANDBOX: Rate(600, 60, 200),
}


# The same for the classes with many calls, counted in each process without a lease: far above what a
# partner needs, and low enough that no partner takes a process for itself.
PROCESS_RATES: Rates = {
    CallClass.SUBMIT: Rate(120_000, 60, 20_000),
    CallClass.READ: Rate(120_000, 60, 20_000),
    CallClass.PROOF: Rate(30_000, 60, 5_000),
    CallClass.SESSION: Rate(60_000, 60, 10_000),
}


DEFAULT_RATES: Rates = {**PROCESS_RATES, **LEASED_RATES}


class Standing(Struct, frozen=True, gc=False):
    """What a caller may still do: `remaining` calls at once, all of the burst again in `reset_s`.

    Other processes' unspent tokens are not seen, so `remaining` may be told too low, or too high by what
    others took since the last renewal.
    """

    call_class: CallClass
    rate: Rate
    remaining: int
    reset_s: int


class RateExceededError(QuotaExceededError):
    """Calls of this class come faster than they may; the same call may succeed in `retry_after_s`."""

    def __init__(self, standing: Standing, retry_after_s: int) -> None:
        rate = standing.rate
        super().__init__(
            f"{standing.call_class} calls come faster than {rate.calls} in {rate.window_s} s with"
            f" {rate.burst} at once; try again in {retry_after_s} s"
        )
        self.standing = standing
        self.retry_after_s = retry_after_s


class ChangesExceededError(QuotaExceededError):
    """Settings were changed as often as they may be; they may again in `retry_after_s`."""

    def __init__(self, retry_after_s: int) -> None:
        rate = CHANGES_RATE
        super().__init__(
            f"settings are changed more often than {rate.calls} times a day with {rate.burst} at once;"
            f" try again in {retry_after_s} s"
        )
        self.retry_after_s = retry_after_s


async def count_change(tx: Connection, owner_id: int) -> None:
    """Count a change that a partner environment makes to what is its own, in the transaction that makes it.

    Raises ChangesExceededError, so that neither the change nor its entry in the audit log is made.
    """
    after, given = await _exchange(tx, (owner_id, _CHANGE), CHANGES_RATE, 1, None)
    if not given.tokens:
        raise ChangesExceededError(ceil((1 - after.tokens) / CHANGES_RATE.per_second))


class Limiter:
    """The leases of one process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._holdings: dict[tuple[int, CallClass], _LeaseHolder] = {}
        # The number of tokens, and the time at which it was counted.
        self._counted: dict[tuple[int, CallClass], tuple[float, float]] = {}

    def count(self, owner_id: int, call_class: CallClass) -> None:
        """Count one call of a class without a rate of its own. Raises RateExceededError."""
        rate = PROCESS_RATES.get(call_class)
        if rate is None:
            return
        now = time.monotonic()
        tokens, at = self._counted.get((owner_id, call_class), (float(rate.burst), now))
        tokens = min(float(rate.burst), tokens + (now - at) * rate.per_second)
        if tokens < 1:
            wait_s = ceil((1 - tokens) / rate.per_second)
            full_s = ceil((rate.burst - tokens) / rate.per_second)
            raise RateExceededError(Standing(call_class, rate, 0, full_s), wait_s)
        self._counted[owner_id, call_class] = tokens - 1, now

    def spend(self, owner_id: int, call_class: CallClass, rate: Rate) -> Standing | None:
        """Count one call if this process holds a token for it; None: it has to `take` one."""
        holding = self._holdings.get((owner_id, call_class))
        return None if holding is None else holding.spend(rate)

    async def take(self, owner_id: int, call_class: CallClass, rate: Rate) -> Standing:
        """Count one call. Raises RateExceededError when there is nothing left for it, and
        DatabaseUnavailableError when a lease is needed and none can be had."""
        holding = self._holdings.get((owner_id, call_class))
        if holding is None:
            holding = self._holdings[owner_id, call_class] = _LeaseHolder(owner_id, call_class)
        return holding.spend(rate) or await holding.renew(self._database, rate)

    def holds_leases(self) -> bool:
        """Whether there is a lease that is not used up."""
        return any(holding.is_idle(inf, 0) for holding in self._holdings.values())

    async def give_back(self, older_than_s: float = _IDLE_S) -> None:
        """Close the leases that are not used up although they are as old as that."""
        for holding in list(self._holdings.values()):
            if holding.is_idle(time.monotonic(), older_than_s):
                await holding.close(self._database)


class _LeaseHolder:
    """One process's lease of one bucket."""

    def __init__(self, owner_id: int, call_class: CallClass) -> None:
        self._key = (owner_id, call_class)
        self._call_class = call_class
        self._lease: Lease | None = None
        self._unspent = 0
        self._asked_at = float("-inf")
        self._tries = self._failed_try = 0
        self._shared = 0.0
        self._slice = 1
        self._refused_until = float("-inf")
        self._rate: Rate | None = None
        self._asking = asyncio.Lock()

    def spend(self, rate: Rate) -> Standing | None:
        """Spend one token of the lease; None when there is none."""
        now = time.monotonic()
        if not self._unspent or now >= self._asked_at + EPOCH_S:
            return None
        self._unspent -= 1
        return self.standing(rate, now)

    async def renew(self, database: Database, rate: Rate) -> Standing:
        """Spend one token of a new lease. Raises RateExceededError, DatabaseUnavailableError."""
        begun = self._tries
        async with self._asking:
            # The call that held the lock before may have leased enough for this one too.
            standing = self.spend(rate)
            if standing is not None:
                return standing
            # A database that hangs makes each try last for seconds, so those who wait share one.
            if self._failed_try > begun:
                raise DatabaseUnavailableError("the rate cannot be counted at the moment")
            if rate != self._rate or time.monotonic() >= self._refused_until:
                await self._ask(database, rate, self._next_slice(rate))
            standing = self.spend(rate)
            if standing is None:
                raise self._refusal(rate)
            return standing

    async def close(self, database: Database) -> None:
        async with self._asking:
            if self._rate is not None:
                self._next_slice(self._rate)
                await self._ask(database, self._rate, 0)

    def is_idle(self, now: float, older_than_s: float) -> bool:
        return self._unspent > 0 and now >= self._asked_at + older_than_s

    def standing(self, rate: Rate, now: float) -> Standing:
        calls, window_s, burst = rate
        left = self._unspent + self._shared + (now - self._asked_at) * calls / window_s
        if left >= burst:
            return Standing(self._call_class, rate, burst, 0)
        return Standing(self._call_class, rate, int(left), ceil((burst - left) * window_s / calls))

    def _next_slice(self, rate: Rate) -> int:
        had = self._lease
        if had is not None and had.tokens:
            if self._unspent == 0:
                self._slice *= 2
            elif self._unspent * 2 > had.tokens:
                self._slice //= 2
        self._slice = max(1, min(self._slice, rate.burst // _LARGEST_PART))
        return self._slice

    async def _ask(self, database: Database, rate: Rate, wanted: int) -> None:
        closed = None if self._lease is None else replace(self._lease, unspent=self._unspent)
        # Once the database is asked, the unspent tokens of the old lease may go to another process.
        self._lease, self._unspent, self._rate = None, 0, rate
        asked_at = time.monotonic()
        self._tries += 1
        this_try = self._tries
        try:
            async with database.transaction() as tx:
                after, given = await _exchange(tx, self._key, rate, wanted, closed)
        except UnavailableError:
            self._failed_try = this_try
            raise
        self._lease, self._unspent, self._asked_at = given, given.unspent, asked_at
        self._shared = after.tokens
        if wanted and not given.tokens:
            least, most = _ASK_AGAIN_S
            wait_s = (1 - after.tokens) / rate.per_second
            self._refused_until = asked_at + min(max(wait_s, least), most)

    def _refusal(self, rate: Rate) -> RateExceededError:
        now = time.monotonic()
        standing = changed(self.standing(rate, now), remaining=0)
        shared = self._shared + (now - self._asked_at) * rate.per_second
        return RateExceededError(standing, max(1, ceil((1 - shared) / rate.per_second)))


async def _exchange(
    tx: Connection, key: tuple[int, str], rate: Rate, wanted: int, closed: Lease | None
) -> tuple[Bucket, Lease]:
    row: Any = await tx.fetchrow(_SELECT, *key)
    if row is None:
        await tx.execute(_INSERT, *key, float(rate.burst))
        row = await tx.fetchrow(_SELECT, *key)
    bucket = Bucket(row["tokens"], row["at"], row["leased"], row["leased_before"])
    after, given = lease(bucket, rate, row["now"], wanted, closed)
    await tx.execute(_UPDATE, *key, after.tokens, after.at, after.leased, after.leased_before)
    return after, given


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
