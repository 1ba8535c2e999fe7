"""The statement that moves a transaction guards the table of transitions itself, whatever was computed."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from tests.conftest import Run
from tests.support.locking import IN_STORED_ORDER, takes_in_order
from tests.support.ramp import hear, make_transaction, row_of, said

from proof.core.secrets import Vault
from proof.db import Database
from proof.partners.types import Environment
from proof.ramp.providers.protocols import ProviderStatus
from proof.ramp.records import Chain
from proof.ramp.transactions import queries
from proof.ramp.transactions.queries import LockedTransaction
from proof.ramp.transactions.state import TransactionState
from proof.ramp.types import Status

Doctor = Callable[[LockedTransaction], tuple[LockedTransaction, TransactionState]]


def _final(
    locked: LockedTransaction, status: Status, count: int
) -> tuple[LockedTransaction, TransactionState]:
    return locked, replace(locked.state, status=status, event_count=count)


def _from(
    locked: LockedTransaction, was: Status, status: Status
) -> tuple[LockedTransaction, TransactionState]:
    return _final(replace(locked, state=replace(locked.state, status=was)), status, 9)


# The transaction is at processing, its first event. Every other guard lets the move through.
@pytest.mark.parametrize(
    "doctor",
    [
        pytest.param(lambda it: _final(it, Status.PENDING, 9), id="back"),
        pytest.param(lambda it: _final(it, Status.CANCELLED, 9), id="no-such-transition"),
        pytest.param(lambda it: _final(it, Status.PROCESSING, 9), id="to-itself"),
        pytest.param(lambda it: _from(it, Status.PENDING, Status.FAILED), id="it-moved-meanwhile"),
        pytest.param(lambda it: _final(it, Status.COMPLETED, 1), id="no-newer-event"),
    ],
)
async def test_a_move_that_is_not_allowed_changes_nothing(
    database: Database, vault: Vault, owner: int, doctor: Doctor
) -> None:
    made = await _processing(database, vault, owner)
    before = await row_of(database, made)
    assert await _moved(database, made, doctor) == []
    assert await row_of(database, made) == before


async def test_a_move_without_a_record_changes_nothing(
    database: Database, vault: Vault, owner: int
) -> None:
    made = await _processing(database, vault, owner)
    before = await row_of(database, made)
    length = before["chain_length"]
    assert await _moved(database, made, lambda it: _final(it, Status.COMPLETED, 2), length) == []
    assert await row_of(database, made) == before


def test_a_move_that_is_allowed_changes_its_transaction_alone(
    run: Run[Any], database: Database, vault: Vault, owner: int
) -> None:
    made, other = (run(_processing(database, vault, owner)) for _ in range(2))
    before = run(row_of(database, other))
    moved = run(_moved(database, made, lambda it: _final(it, Status.COMPLETED, 2)))
    assert moved == [made]
    assert run(row_of(database, made))["status"] == "completed"
    assert run(row_of(database, other)) == before


async def test_transactions_are_locked_in_the_order_of_their_ids(
    database: Database, vault: Vault, owner: int
) -> None:
    """Two batches that hold each other's would wait for each other for ever."""

    async def scene() -> None:
        made = [await make_transaction(database, vault, owner) for _ in range(2)]
        if made[0] < made[1]:
            made = [made[1], await lower_than(made[1])]
        low, high = sorted(made)
        hold = "SELECT FROM ramp_transactions WHERE id = ($1::uuid[])[{}] FOR UPDATE"
        async with database.connection() as holder:
            act = _locked(database, [high, low])
            await takes_in_order(act, holder, hold.format(1), hold.format(2), [low, high])

    async def lower_than(high: UUID) -> UUID:
        """One made later."""
        while (made := await make_transaction(database, vault, owner)) > high:
            pass
        return made

    await scene()


async def _locked(database: Database, ids: list[UUID]) -> None:
    async with database.transaction() as tx:
        await tx.execute(IN_STORED_ORDER)
        # A hash gives the transactions of a person back in an order of its own.
        await tx.execute("SET LOCAL enable_hashjoin = off")
        await queries.lock(tx, ids)


async def _processing(database: Database, vault: Vault, owner: int) -> UUID:
    made = await make_transaction(database, vault, owner)
    await hear(database, vault, said(made, ProviderStatus.PROCESSING))
    return made


async def _moved(database: Database, made: UUID, doctor: Doctor, length: int = 9) -> list[UUID]:
    async with database.transaction() as tx:
        locked = (await queries.lock(tx, [made]))[made]
        doctored, final = doctor(locked)
        chain = Chain(made, "ptr_shop", Environment.PRODUCTION, None, length, bytes(32))
        return list(await queries.write_moves(tx, [(doctored, final, bytes(32), chain)]))
