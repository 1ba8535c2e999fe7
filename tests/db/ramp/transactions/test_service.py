"""Statements, and what they make of a transaction, its records and the outbox."""

import hashlib
import hmac
import json
import secrets
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from tests.conftest import Run
from tests.support.ramp import (
    ADDRESS,
    BEGUN,
    CLIENT_IP,
    EMAIL,
    USER,
    chain_of,
    hear,
    make_transaction,
    published_of,
    records_of,
    row_of,
    said,
)

from proof.core.canonical import canonical_json
from proof.core.errors import ConflictError, InvalidInputError, NotFoundError
from proof.core.secrets import Vault
from proof.db import Database
from proof.partners.audit import Actor, newest_entries
from proof.partners.types import OnboardedPartner
from proof.ramp import personal
from proof.ramp.clock import advance
from proof.ramp.personal import Kind
from proof.ramp.providers.protocols import ProviderStatus
from proof.ramp.records import salt_of
from proof.ramp.transactions.service import ObservationResult, Statement, observe_all, resolve
from proof.ramp.transactions.transitions import Alert
from proof.ramp.types import Status

PAID: dict[str, Any] = {
    "fiat_currency": "EUR",
    "fiat_amount": Decimal("46.10"),
    "payment_method": "card",
}
NOW = BEGUN + timedelta(minutes=2)


async def secret_of(database: Database, vault: Vault, transaction: UUID) -> bytes:
    async with database.connection() as connection:
        found = await personal.read_for_records(connection, vault, [transaction])
    return found[transaction][Kind.SALT]


@pytest.fixture
def transaction(run: Run[Any], database: Database, vault: Vault, owner: int) -> UUID:
    made: UUID = run(make_transaction(database, vault, owner))
    return made


async def test_a_change_is_one_row_one_record_and_one_body(
    database: Database, vault: Vault, transaction: UUID, partner: OnboardedPartner
) -> None:
    [outcome] = await hear(database, vault, said(transaction, ProviderStatus.PROCESSING, **PAID))

    assert outcome == ObservationResult((Status.PROCESSING,))
    [record] = await records_of(database, transaction)
    [body] = await published_of(database, transaction)
    told = json.loads(record)
    assert json.loads(body) == {
        "merchant_transaction_id": str(transaction),
        "type": "buy",
        "status": "processing",
        "currency": "USDT",
        "network": "TRC20",
        "crypto_amount": "50.000000000000000001",
        "fiat_currency": "EUR",
        "fiat_amount": "46.10",
        "fiat_fee": "",
        "rate": "",
        "payment_method": "card",
        "failure_reason": "",
        "chain_transaction": "",
        "chain_transaction_url": "",
        "refund_status": "none",
        "refund_amount": "",
        "refunded_at": "",
        "created_at": "2026-05-04T03:02:01Z",
        "updated_at": "2026-05-04T03:04:01Z",
        "occurred_at": "2026-05-04T03:04:01Z",
        "event": "transaction.status",
        "partner_user_id": USER,
        "partner_reference": "",
        "record_sha256": hashlib.sha256(record).hexdigest(),
    }
    assert record == canonical_json(told)
    apart = {"event", "partner_user_id", "partner_reference", "record_sha256"}
    assert told.keys() & apart == set()
    assert told.items() >= {(k, v) for k, v in json.loads(body).items() if k not in apart}
    opened, _ = await chain_of(database, transaction)
    of_the_record = told.keys() - json.loads(body).keys()
    assert {name: told[name] for name in of_the_record if not name.endswith("_sha256")} == {
        "version": 3,
        "kind": "transaction.status",
        "id": told["id"],
        "partner_id": partner.partner_id,
        "environment": "production",
        "sequence": 2,
        "status_sequence": 1,
        "caused_by": "provider",
        "recorded_at": "2026-05-04T03:04:01Z",
    }
    assert told["previous_sha256"] == hashlib.sha256(opened).hexdigest()
    assert (await row_of(database, transaction))["event_sha256"] == hashlib.sha256(record).digest()


async def test_no_personal_value_is_in_a_record_but_its_salted_hash_is(
    database: Database, vault: Vault, transaction: UUID
) -> None:
    await hear(database, vault, said(transaction, ProviderStatus.COMPLETED))

    secret = await secret_of(database, vault, transaction)
    opened, first, second = await chain_of(database, transaction)
    for value in (EMAIL, ADDRESS, USER):
        assert value.encode() not in opened + first + second
    hashes = set()
    for told in map(json.loads, (opened, first, second)):
        for name, value in {"address": ADDRESS, "partner_user_id": USER}.items():
            word = f"{told['sequence']} {name}".encode()
            salt = hmac.digest(secret, word, "sha256")
            hashes.add(told[f"{name}_sha256"])
            assert told[f"{name}_sha256"] == hashlib.sha256(salt + value.encode()).hexdigest()
    assert len(hashes) == 6


async def test_a_provider_further_on_is_recorded_as_both_steps(
    database: Database, vault: Vault, transaction: UUID
) -> None:
    [outcome] = await hear(database, vault, said(transaction, ProviderStatus.COMPLETED, **PAID))
    assert outcome.statuses == (Status.PROCESSING, Status.COMPLETED)
    first, second = map(json.loads, await records_of(database, transaction))
    assert (first["status"], second["status"]) == ("processing", "completed")
    assert second["previous_sha256"] == hashlib.sha256(canonical_json(first)).hexdigest()
    moments = [told["recorded_at"] for told in (first, second)]
    assert moments == [told["updated_at"] for told in (first, second)]
    bodies = [json.loads(body)["status"] for body in await published_of(database, transaction)]
    assert bodies == ["processing", "completed"]


async def test_movement_after_the_end_is_kept_and_alerts_once(
    database: Database, vault: Vault, transaction: UUID
) -> None:
    late = said(transaction, ProviderStatus.COMPLETED, said="withdraw: completed")
    await hear(database, vault, said(transaction, ProviderStatus.CANCELLED), late, late)

    row = await row_of(database, transaction)
    assert (row["status"], row["alert"], row["event_count"]) == ("cancelled", "moved_after_end", 1)

    async def kept() -> list[str]:
        async with database.connection() as connection:
            rows = await connection.fetch("SELECT said FROM ramp_statements ORDER BY said")
        return [row["said"] for row in rows]

    assert await kept() == ["leg: cancelled", "withdraw: completed"]


async def test_an_alert_that_was_cleared_is_not_raised_by_the_same_words(
    database: Database, vault: Vault, transaction: UUID
) -> None:
    undelivered = said(transaction, ProviderStatus.UNDELIVERABLE)
    await hear(database, vault, undelivered)
    assert (await row_of(database, transaction))["alert"] == Alert.UNDELIVERABLE

    async def confirm() -> ObservationResult:
        async with database.transaction() as tx:
            how = (Status.FAILED, "money sent back", Actor("cli"), NOW)
            return await resolve(tx, vault, transaction, *how)

    assert (await confirm()).statuses == (Status.FAILED,)
    await hear(database, vault, undelivered)
    row = await row_of(database, transaction)
    assert (row["status"], row["alert"]) == ("failed", None)


async def test_a_crypto_amount_other_than_agreed_is_taken_and_alerts(
    database: Database, vault: Vault, transaction: UUID
) -> None:
    await hear(
        database,
        vault,
        said(transaction, ProviderStatus.PROCESSING, crypto_amount=Decimal("49.5")),
    )
    row = await row_of(database, transaction)
    assert (row["crypto_amount"], row["alert"]) == (Decimal("49.5"), "amount_differs")


@pytest.mark.parametrize("amount", ["0", "-1", "NaN", "Infinity"])
async def test_what_is_no_amount_is_not_taken(
    database: Database, vault: Vault, transaction: UUID, amount: str
) -> None:
    wrong = {
        "crypto_amount": Decimal(amount),
        "fiat_amount": Decimal(amount),
        "fiat_currency": "EUR",
    }
    await hear(database, vault, said(transaction, ProviderStatus.PROCESSING, **wrong))
    row = await row_of(database, transaction)
    assert row["crypto_amount"] == Decimal("50.000000000000000001")
    assert (row["fiat_amount"], row["alert"]) == (None, "amount_differs")


async def test_money_of_an_attempt_that_failed_is_not_shown(
    database: Database, vault: Vault, transaction: UUID
) -> None:
    await hear(database, vault, said(transaction, ProviderStatus.FAILED, **PAID))
    [body] = map(json.loads, await published_of(database, transaction))
    assert (body["status"], body["fiat_currency"], body["fiat_amount"]) == ("failed", "", "")


async def test_an_account_speaks_for_its_own_environment_alone(
    database: Database, vault: Vault, transaction: UUID, sandbox: int
) -> None:
    """A partner's provider account must not end another partner's transactions."""

    async def forge() -> list[ObservationResult]:
        statement = Statement(said(transaction, ProviderStatus.COMPLETED), sandbox)
        async with database.transaction() as tx:
            return await observe_all(tx, vault, [statement], NOW)

    assert await forge() == [ObservationResult(known=False)]
    assert (await row_of(database, transaction))["status"] == "pending"


async def test_a_transaction_there_is_not_is_no_failure(database: Database, vault: Vault) -> None:
    assert await hear(database, vault, said(uuid4(), ProviderStatus.COMPLETED)) == [
        ObservationResult(known=False)
    ]


async def test_a_batch_of_statements_about_one_transaction_is_applied_in_order(
    database: Database, vault: Vault, transaction: UUID, owner: int
) -> None:
    verdicts = (
        ProviderStatus.PENDING,
        ProviderStatus.PROCESSING,
        ProviderStatus.PROCESSING,
        ProviderStatus.COMPLETED,
    )

    async def at_once() -> list[ObservationResult]:
        statements = [Statement(said(transaction, verdict), owner) for verdict in verdicts]
        async with database.transaction() as tx:
            return await observe_all(tx, vault, statements, NOW)

    assert [item.statuses for item in await at_once()] == [
        (), (Status.PROCESSING,), (), (Status.COMPLETED,)
    ]  # fmt: skip
    assert len(await records_of(database, transaction)) == 2


async def test_times_are_those_of_the_sandbox(
    database: Database, vault: Vault, sandbox: int
) -> None:
    made = await make_transaction(database, vault, sandbox)

    class Fixed:
        def now(self) -> Any:
            return NOW

    async def ahead() -> Any:
        async with database.transaction() as tx:
            return await advance(tx, sandbox, 3600, Fixed())

    assert await ahead() == NOW + timedelta(hours=1)
    await hear(database, vault, said(made, ProviderStatus.PROCESSING))
    assert (await row_of(database, made))["updated_at"] == NOW + timedelta(hours=1)


async def test_resolving_is_audited_with_its_reason(
    database: Database, vault: Vault, transaction: UUID, partner: OnboardedPartner
) -> None:
    await hear(database, vault, said(transaction, ProviderStatus.UNDELIVERABLE))

    async def act() -> Any:
        async with database.transaction() as tx:
            how = (Status.COMPLETED, "sent by hand", Actor("cli"), NOW)
            await resolve(tx, vault, transaction, *how)
            return (await newest_entries(tx, 1))[0]

    entry = await act()
    *_, resolved, status = map(json.loads, await chain_of(database, transaction))
    assert (resolved["kind"], resolved["status"]) == ("operator.resolution", "completed")
    assert (status["status"], status["caused_by"]) == ("completed", "operator")
    secret = await secret_of(database, vault, transaction)
    for name, value in {"actor": "cli", "reason": "sent by hand"}.items():
        salt = salt_of(secret, resolved["sequence"], name)
        assert resolved[f"{name}_sha256"] == hashlib.sha256(salt + value.encode()).hexdigest()
    assert (entry.action, entry.partner_id) == ("transaction.resolve", partner.partner_id)
    assert entry.before == {"status": "processing", "alert": "undeliverable"}
    assert entry.after["status"] == "completed"
    assert entry.after["reason"] == "sent by hand"
    assert (await row_of(database, transaction))["status"] == "completed"


async def test_confirming_an_end_is_recorded_alone(
    database: Database, vault: Vault, transaction: UUID
) -> None:
    await hear(database, vault, said(transaction, ProviderStatus.COMPLETED))
    before = await row_of(database, transaction)
    for times in (1, 2):
        async with database.transaction() as tx:
            await resolve(tx, vault, transaction, Status.COMPLETED, "seen", Actor("cli"), NOW)
        chain = await chain_of(database, transaction)
        told = json.loads(chain[-1])
        assert (told["kind"], told["sequence"]) == ("operator.resolution", 3 + times)
        pinned = {"chain_length": 3 + times, "chain_sha256": hashlib.sha256(chain[-1]).digest()}
        pinned["chain_recorded_at"] = datetime.fromisoformat(told["recorded_at"])
        assert await row_of(database, transaction) == before | pinned
    assert len(await published_of(database, transaction)) == 2


async def test_a_chain_from_before_openings_were_recorded_goes_on(
    database: Database, vault: Vault, transaction: UUID
) -> None:
    """Its records stay as they are, and the salts they have are the secret of those that follow."""
    salts, old = secrets.token_bytes(96), b'{"status":"processing","version":2}'
    user_id = (await row_of(database, transaction))["user_id"]
    async with database.transaction() as tx:
        sealed = personal.seal(vault, Kind.SALT, salts)
        await personal.save(tx, [(sealed, user_id, transaction)], BEGUN)
        await tx.execute(
            "INSERT INTO ramp_records VALUES ($1, 1, $2, 'transaction.status')", transaction, old
        )
        await tx.execute(
            "UPDATE ramp_transactions SET status = 'processing', event_count = 1, chain_length = 1,"
            " event_sha256 = sha256($2), chain_sha256 = sha256($2) WHERE id = $1",
            transaction,
            old,
        )
    await hear(database, vault, said(transaction, ProviderStatus.COMPLETED))
    first, second = await chain_of(database, transaction)
    told = json.loads(second)
    assert first == old
    assert (told["version"], told["sequence"], told["status_sequence"]) == (3, 2, 2)
    assert told["previous_sha256"] == hashlib.sha256(old).hexdigest()
    expected = hashlib.sha256(salt_of(salts, 2, "address") + ADDRESS.encode()).hexdigest()
    assert told["address_sha256"] == expected
    assert [salt_of(salts, 1, name, version=2) for name in ("partner_user_id", "address")] == [
        salts[:32],
        salts[32:64],
    ]


@pytest.mark.parametrize(
    ("kind", "before", "expected"),
    [
        ("buy", ProviderStatus.PROCESSING, "delivery_failed"),
        ("sell", ProviderStatus.PROCESSING, "payout_failed"),
        ("buy", ProviderStatus.PENDING, "other"),
        ("sell", ProviderStatus.PENDING, "other"),
    ],
)
async def test_what_an_operator_ends_says_what_did_not_come(
    database: Database,
    vault: Vault,
    sandbox: int,
    kind: str,
    before: ProviderStatus,
    expected: str,
) -> None:
    made = await make_transaction(database, vault, sandbox, kind=kind)
    await hear(database, vault, said(made, before))

    async def act() -> None:
        async with database.transaction() as tx:
            await resolve(tx, vault, made, Status.FAILED, "never came", Actor("cli"), NOW)

    await act()
    row = await row_of(database, made)
    assert (row["status"], row["failure_reason"]) == ("failed", expected)


@pytest.mark.parametrize(
    ("name", "reason"),
    {
        "email": f"{EMAIL.upper()} asked for it",
        "address": f"sent by hand to {ADDRESS}.",
        "client_ip": f"called from ({CLIENT_IP})",
        "partner_user_id": f"for {USER}",
    }.items(),
)
async def test_a_reason_that_says_whose_it_is_is_refused(
    database: Database, vault: Vault, transaction: UUID, name: str, reason: str
) -> None:
    """The audit log is never erased."""

    async def act(reason: str) -> None:
        async with database.transaction() as tx:
            await resolve(tx, vault, transaction, Status.FAILED, reason, Actor("cli"), NOW)

    with pytest.raises(InvalidInputError, match=f"the transaction's {name}"):
        await act(reason)
    assert (await row_of(database, transaction))["status"] == "pending"
    await act("sent by hand, ticket 4711")


@pytest.mark.parametrize(
    ("status", "reason", "error"),
    [
        (Status.FAILED, "", InvalidInputError),
        (Status.FAILED, "r" * 501, InvalidInputError),
        (Status.CANCELLED, "reason", InvalidInputError),
        (Status.FAILED, "reason", ConflictError),
    ],
)
async def test_an_end_is_not_resolved_away(
    database: Database,
    vault: Vault,
    transaction: UUID,
    status: Status,
    reason: str,
    error: type[Exception],
) -> None:
    await hear(database, vault, said(transaction, ProviderStatus.COMPLETED))

    async def act() -> None:
        async with database.transaction() as tx:
            await resolve(tx, vault, transaction, status, reason, Actor("cli"), NOW)

    with pytest.raises(error):
        await act()
    assert (await row_of(database, transaction))["status"] == "completed"


async def test_resolving_what_there_is_not(database: Database, vault: Vault) -> None:
    with pytest.raises(NotFoundError):
        async with database.transaction() as tx:
            await resolve(tx, vault, uuid4(), Status.FAILED, "reason", Actor("cli"), NOW)
