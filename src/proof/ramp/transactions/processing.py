"""Applying the callbacks that were stored: each in the database transaction that says it was applied.

Stopped at any line, a callback is waiting as before or is applied; nothing between. Several workers may do
this at once, since each holds the callbacks it has claimed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

import asyncpg
import structlog

from proof.core.clock import Clock
from proof.core.secrets import Vault
from proof.db import Connection, Database
from proof.ramp.errors import CallbackRefusedError
from proof.ramp.providers import callbacks
from proof.ramp.providers.callbacks import CallbackResult, StoredCallback
from proof.ramp.providers.protocols import (
    Adapter,
    ConfirmsEnds,
    Observation,
    ProviderStatus,
    TranslatesCallbacks,
)
from proof.ramp.transactions import polling
from proof.ramp.transactions.alerts import raise_alerts
from proof.ramp.transactions.service import ObservationResult, Statement, observe_all
from proof.ramp.transactions.transitions import Alert
from proof.ramp.users import erased_among

# Enough callbacks to share a commit, and few enough that the locked transactions are soon free again.
BATCH = 100


_ENDS = frozenset({ProviderStatus.COMPLETED, ProviderStatus.FAILED, ProviderStatus.CANCELLED})


# Errors that every further attempt would raise again: a provider's words that are no text or no number.
NOT_WRITABLE = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    ValueError,
    ArithmeticError,
)


_log = structlog.get_logger()


class Adapters(Protocol):
    """The adapters by name (proof.ramp.providers.registry)."""

    def adapter(self, name: str) -> Adapter: ...


@dataclass(frozen=True, slots=True)
class _ParsedCallback:
    """A callback as its adapter reads it: None when it cannot."""

    callback: StoredCallback
    observation: Observation | None
    to_confirm: bool = False


async def process(database: Database, vault: Vault, adapters: Adapters, clock: Clock) -> int:
    """Apply the oldest waiting callbacks; how many, at most BATCH. Raises SealError.

    One that its adapter cannot read changes nothing and is kept: the provider is asked anyway. So it is
    with one that cannot be written, and the operator is alerted.
    """
    try:
        async with database.transaction() as tx:
            claimed = await callbacks.claim(tx, vault, BATCH)
            if claimed:
                await _apply(tx, vault, [_read(adapters, callback) for callback in claimed], clock)
    except NOT_WRITABLE:
        return await _process_apart(database, vault, adapters, clock)
    return len(claimed)


async def _process_apart(database: Database, vault: Vault, adapters: Adapters, clock: Clock) -> int:
    """As `process`, each by itself: what cannot be written holds up no other."""
    async with database.transaction() as tx:
        claimed = await callbacks.claim(tx, vault, BATCH)
        for callback in claimed:
            read = _read(adapters, callback)
            try:
                async with tx.transaction():
                    await _apply(tx, vault, [read], clock)
            except NOT_WRITABLE:
                _log.exception(
                    "ramp.callback_failed", callback=callback.id, provider=callback.provider
                )
                await _give_up(tx, read, clock)
    return len(claimed)


async def _give_up(tx: Connection, read: _ParsedCallback, clock: Clock) -> None:
    now, known = clock.now(), set[UUID]()
    concluded = _not_read(read)
    if read.observation is not None:
        name = read.observation.merchant_transaction_id
        known = await polling.ask_now(tx, [(name, read.callback.partner_environment_id)], now)
        await raise_alerts(tx, dict.fromkeys(known, Alert.NOT_APPLIED), now)
        concluded = _concluded(read, "not applied", name in known)
    await callbacks.conclude(tx, [concluded], now)
    if gone := await erased_among(tx, known):
        await callbacks.forget(tx, gone)


async def _apply(
    tx: Connection, vault: Vault, read: Sequence[_ParsedCallback], clock: Clock
) -> None:
    now = clock.now()
    heard, statements = [], []
    for callback in read:
        if callback.observation is not None and not callback.to_confirm:
            heard.append(callback)
            owner = callback.callback.partner_environment_id
            statements.append(Statement(callback.observation, owner, callback.callback))
    outcomes = await observe_all(tx, vault, statements, now) if statements else []
    done = [_applied(callback, outcome) for callback, outcome in zip(heard, outcomes, strict=True)]
    done += [_not_read(callback) for callback in read if callback.observation is None]
    done += await _to_confirm(tx, [callback for callback in read if callback.to_confirm], clock)
    await callbacks.conclude(tx, done, now)
    about = {applied.transaction_id for applied in done if applied.transaction_id is not None}
    if gone := await erased_among(tx, about):
        await callbacks.forget(tx, gone)


async def _to_confirm(
    tx: Connection, read: Sequence[_ParsedCallback], clock: Clock
) -> list[CallbackResult]:
    """Have the provider asked at once whether it is so."""
    pairs = [
        (callback.observation.merchant_transaction_id, callback.callback.partner_environment_id)
        for callback in read
        if callback.observation is not None
    ]
    if not pairs:
        return []
    known = await polling.ask_now(tx, pairs, clock.now())
    return [
        _concluded(callback, "to be confirmed", transaction_id in known)
        for callback, (transaction_id, _) in zip(read, pairs, strict=True)
    ]


def _read(adapters: Adapters, callback: StoredCallback) -> _ParsedCallback:
    try:
        adapter = adapters.adapter(callback.provider)
        if not isinstance(adapter, TranslatesCallbacks):
            return _ParsedCallback(callback, None)
        observation = adapter.translate(callback.body)
    except CallbackRefusedError as error:
        _log.warning("ramp.callback_refused", callback=callback.id, error=error.message)
        return _ParsedCallback(callback, None)
    except Exception:  # noqa: BLE001 - one callback that breaks its adapter must not hold up the others
        _log.exception("ramp.callback_failed", callback=callback.id, provider=callback.provider)
        return _ParsedCallback(callback, None)
    confirms = isinstance(adapter, ConfirmsEnds) and observation.verdict in _ENDS
    return _ParsedCallback(callback, observation, to_confirm=confirms)


def _applied(callback: _ParsedCallback, outcome: ObservationResult) -> CallbackResult:
    words = [*outcome.statuses, *outcome.refunds, *([outcome.alert] if outcome.alert else [])]
    return _concluded(callback, " ".join(words) or "nothing new", outcome.known)


def _not_read(callback: _ParsedCallback) -> CallbackResult:
    return CallbackResult(callback.callback.id, "not understood")


def _concluded(callback: _ParsedCallback, outcome: str, known: bool) -> CallbackResult:
    about: UUID | None = (
        callback.observation.merchant_transaction_id if callback.observation else None
    )
    if not known:
        return CallbackResult(callback.callback.id, "no such transaction")
    return CallbackResult(callback.callback.id, outcome, about)
