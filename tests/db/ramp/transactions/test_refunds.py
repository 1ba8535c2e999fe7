"""Payments that go back: the transaction's row, its records and its events."""

import asyncio
import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from tests.conftest import Run
from tests.db.ramp.transactions.scene import TurnedClock, call_back, callbacks, providers
from tests.support.ramp import (
    BEGUN,
    EMAIL,
    USER,
    chain_of,
    hear,
    make_transaction,
    published_of,
    row_of,
    said,
)

from proof.core.errors import ConflictError, InvalidInputError, NotFoundError
from proof.core.secrets import Vault
from proof.db import Database
from proof.partners.audit import Actor, newest_entries
from proof.partners.types import OnboardedPartner
from proof.ramp.providers.protocols import ProviderStatus
from proof.ramp.transactions.processing import process
from proof.ramp.transactions.service import refund, resolve
from proof.ramp.transactions.state import TransactionState
from proof.ramp.types import RefundStatus, Status
from proof.verify.receipts.records import read_chain

PAID: dict[str, Any] = {"fiat_currency": "EUR", "fiat_amount": Decimal("46.10")}
NOW = BEGUN + timedelta(minutes=2)
REQUESTED, REFUNDED, CHARGED_BACK = (
    RefundStatus.REQUESTED,
    RefundStatus.REFUNDED,
    RefundStatus.CHARGED_BACK,
)


@pytest.fixture
def bought(run: Run[Any], database: Database, vault: Vault, owner: int) -> UUID:
    """A buy whose payment was captured, coins still in flight."""
    made: UUID = run(make_transaction(database, vault, owner))
    run(hear(database, vault, said(made, ProviderStatus.PROCESSING, **PAID)))
    return made


async def give_back(
    database: Database,
    vault: Vault,
    transaction: UUID,
    status: RefundStatus = REQUESTED,
    *,
    amount: str = "46.1",
    reason: str = "ticket 4711",
    now: datetime = NOW,
) -> TransactionState:
    async with database.transaction() as tx:
        how = (status, Decimal(amount), reason, Actor("cli"), now)
        return await refund(tx, vault, transaction, *how)


async def events_of(database: Database, transaction: UUID) -> list[tuple[UUID, dict[str, Any]]]:
    """Those of its refunds: id and body."""
    async with database.connection() as connection:
        rows = await connection.fetch(
            "SELECT id, body FROM outbox WHERE type = 'transaction.refunded' AND subject = $1"
            " ORDER BY position",
            f"{transaction}/refund",
        )
    return [(row["id"], json.loads(row["body"])) for row in rows]


async def test_each_step_is_a_record_an_event_and_an_entry_and_the_status_stays(
    database: Database, vault: Vault, bought: UUID, partner: OnboardedPartner
) -> None:
    before = await row_of(database, bought)
    for status, amount in ((REQUESTED, "46.1"), (REFUNDED, "40"), (CHARGED_BACK, "6.1")):
        await give_back(database, vault, bought, status, amount=amount)
    records = list(map(json.loads, await chain_of(database, bought)))
    chain = read_chain(records)
    assert (chain.status, chain.refund_status) == ("processing", "charged_back")
    at = "2026-05-04T03:04:01Z"
    assert [
        tuple(each[name] for name in ("refund_status", "refund_amount", "refunded_at"))
        for each in records[2:]
    ] == [("requested", "46.10", ""), ("refunded", "40.00", at), ("charged_back", "6.10", at)]
    assert {(each["fiat_currency"], each["caused_by"]) for each in records[2:]} == {
        ("EUR", "operator")
    }
    row = await row_of(database, bought)
    changed = {name for name in row if row[name] != before[name]}
    assert changed == {
        *("refund_status", "refund_amount", "refunded_at"),
        *("chain_length", "chain_sha256", "chain_recorded_at"),
    }
    assert row["chain_sha256"] == chain.head
    await _require_told(database, bought, partner, records)


async def _require_told(
    database: Database, bought: UUID, partner: OnboardedPartner, records: list[dict[str, Any]]
) -> None:
    [status] = map(json.loads, await published_of(database, bought))
    chain = read_chain(records)
    for (identifier, body), record in zip(
        await events_of(database, bought), chain.records[2:], strict=True
    ):
        told = {"event": "transaction.refunded", "record_sha256": record.sha256.hex()}
        names = ("refund_status", "refund_amount", "refunded_at")
        assert body == status | told | {name: record.text(name) for name in names}
        assert str(identifier) == record.text("id")
    async with database.connection() as connection:
        entry, *_ = await newest_entries(connection, 3)
    assert (entry.action, entry.partner_id) == ("transaction.refund", partner.partner_id)
    assert (entry.before["refund_status"], entry.after["refund_status"]) == (
        "refunded",
        "charged_back",
    )
    assert (entry.after["refund_amount"], entry.after["reason"]) == ("6.10", "ticket 4711")


async def test_later_changes_of_status_tell_the_refund(
    database: Database, vault: Vault, bought: UUID
) -> None:
    await give_back(database, vault, bought, CHARGED_BACK, amount="5")
    await hear(database, vault, said(bought, ProviderStatus.COMPLETED))
    records = list(map(json.loads, await chain_of(database, bought)))
    assert read_chain(records).status == "completed"
    body = json.loads((await published_of(database, bought))[-1])
    for told in (records[-1], body):
        assert (told["refund_status"], told["refund_amount"]) == ("charged_back", "5.00")
        assert told["refunded_at"] == records[-2]["refunded_at"]


@pytest.mark.parametrize("ended", [False, True])
async def test_with_the_clock_set_back_no_record_is_dated_before_another(
    database: Database, vault: Vault, bought: UUID, ended: bool
) -> None:
    if ended:
        await hear(database, vault, said(bought, ProviderStatus.COMPLETED))
    moments = [NOW + timedelta(minutes=minutes) for minutes in (50, 40, 30, 20)]
    if ended:
        for moment in moments[:2]:
            async with database.transaction() as tx:
                await resolve(tx, vault, bought, Status.COMPLETED, "seen", Actor("cli"), moment)
    await give_back(database, vault, bought, REQUESTED, now=moments[ended])
    await give_back(database, vault, bought, REFUNDED, now=moments[3])
    if not ended:
        await hear(database, vault, said(bought, ProviderStatus.COMPLETED), now=NOW)
    records = list(map(json.loads, await chain_of(database, bought)))
    found = read_chain(records)
    assert (found.status, found.refund_status) == ("completed", "refunded")
    assert found.records[-1].at == moments[0]


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ({"status": REFUNDED}, ConflictError),
        ({"status": RefundStatus.NONE}, ConflictError),
        ({"amount": "46.11"}, InvalidInputError),
        ({"amount": "0"}, InvalidInputError),
        ({"reason": " "}, InvalidInputError),
        ({"reason": "r" * 501}, InvalidInputError),
        ({"reason": f"{EMAIL} asked"}, InvalidInputError),
        ({"reason": f"for {USER}"}, InvalidInputError),
    ],
)
async def test_what_is_refused_changes_nothing(
    database: Database, vault: Vault, bought: UUID, how: dict[str, Any], error: type[Exception]
) -> None:
    before = await row_of(database, bought), await chain_of(database, bought)
    with pytest.raises(error):
        await give_back(database, vault, bought, **how)
    assert (await row_of(database, bought), await chain_of(database, bought)) == before
    assert await events_of(database, bought) == []


async def test_of_two_at_once_the_second_sees_the_first(
    database: Database, vault: Vault, bought: UUID
) -> None:
    both = [give_back(database, vault, bought) for _ in range(2)]
    done, refused = sorted(
        await asyncio.gather(*both, return_exceptions=True),
        key=lambda found: isinstance(found, Exception),
    )
    assert isinstance(done, TransactionState)
    assert isinstance(refused, ConflictError)
    assert len(await events_of(database, bought)) == 1


async def test_refunding_what_there_is_not(database: Database, vault: Vault) -> None:
    with pytest.raises(NotFoundError):
        await give_back(database, vault, uuid4())


@pytest.mark.parametrize(
    ("words", "steps"),
    [
        (("requested", "refunded"), ("requested", "refunded")),
        (("requested", "requested"), ("requested",)),
        (("refunded", "requested"), ("requested", "refunded")),
        (("charged_back", "refunded"), ("charged_back",)),
        (("refunded", "charged_back"), ("requested", "refunded", "charged_back")),
    ],
)
async def test_a_provider_moves_it_by_its_callbacks(
    database: Database, vault: Vault, sandbox: int, words: Sequence[str], steps: Sequence[str]
) -> None:
    made = await make_transaction(database, vault, sandbox)
    before = ("payment captured", "delivery delivered")
    await call_back(database, vault, sandbox, made, *before, *(f"refund {each}" for each in words))
    await process(database, vault, providers(database), TurnedClock())
    records = list(map(json.loads, await chain_of(database, made)))
    found = read_chain(records)
    assert (found.status, found.refund_status) == ("completed", steps[-1])
    told = [each for each in records if each["kind"] == "transaction.refund"]
    assert tuple(each["refund_status"] for each in told) == tuple(steps)
    assert {(each["caused_by"], each["refund_amount"]) for each in told} == {("callback", "46.10")}
    bodies = [body for _, body in await events_of(database, made)]
    assert [body["refund_status"] for body in bodies] == list(steps)
    assert (await row_of(database, made))["alert"] is None
    waiting = await callbacks(database)
    assert " ".join(each["outcome"] for each in waiting[2:]).replace("nothing new", "").split() == [
        *steps
    ]


@pytest.mark.parametrize(
    ("captured", "amount", "alert"),
    [(False, "46.10", "contradiction"), (True, "46.11", "amount_differs")],
)
async def test_what_cannot_have_gone_back_alerts_and_changes_nothing(
    database: Database,
    vault: Vault,
    owner: int,
    captured: bool,
    amount: str,
    alert: str,
) -> None:
    made = await make_transaction(database, vault, owner)
    if captured:
        await hear(database, vault, said(made, ProviderStatus.PROCESSING, **PAID))
    before = await row_of(database, made), await chain_of(database, made)
    word = {"refund_status": REFUNDED, "refund_amount": Decimal(amount)}
    await hear(database, vault, said(made, ProviderStatus.PENDING, **word))
    after = await row_of(database, made)
    assert after["alert"] == alert
    assert after["refund_status"] == "none"
    assert (after["status"], await chain_of(database, made)) == (before[0]["status"], before[1])


async def test_a_provider_that_was_asked_is_named_as_the_cause(
    database: Database, vault: Vault, bought: UUID
) -> None:
    word = said(bought, ProviderStatus.PENDING, refund_status=CHARGED_BACK)
    await hear(database, vault, said(bought, ProviderStatus.COMPLETED), word)
    records = list(map(json.loads, await chain_of(database, bought)))
    found = read_chain(records)
    assert (found.status, found.refund_status) == ("completed", "charged_back")
    assert (records[-1]["caused_by"], records[-1]["refund_amount"]) == ("provider", "46.10")
