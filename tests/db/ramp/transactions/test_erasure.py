"""A person who is erased is nowhere: every column that can hold text or bytes is searched."""

import asyncio
import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from tests.conftest import Run
from tests.db.ramp.transactions.everywhere import Searched
from tests.db.ramp.transactions.scene import (
    START,
    TurnedClock,
    call_back,
    callbacks,
    execute,
    open_session,
    providers,
)
from tests.db.webhooks.scene import until
from tests.support.partners import onboard
from tests.support.ramp import (
    ADDRESS,
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

from proof.core.errors import NotFoundError
from proof.core.secrets import SealError, Vault
from proof.db import Database
from proof.partners.audit import Actor
from proof.partners.types import OnboardedPartner
from proof.ramp import personal
from proof.ramp.providers import accounts
from proof.ramp.providers.callbacks import REFUSED_IDENTITY
from proof.ramp.providers.protocols import ProviderStatus
from proof.ramp.transactions.erasure import ErasureCounts, erase_user
from proof.ramp.transactions.processing import process
from proof.ramp.transactions.service import refund
from proof.ramp.types import RefundStatus
from proof.webhooks.pruning import forget_replies
from proof.worker.loops import prune

REDIRECT = "https://partner.example/back?who=ada"
REFERENCE = "the invoice of a lady"
PERSONAL = (EMAIL, ADDRESS, CLIENT_IP, USER, REDIRECT, REFERENCE)
# The name alone is hexadecimal: "ada" turns up in random identifiers.
WRITTEN = ("ada@", "ada\\u0040", "ada%40", "ada\\\\u0040", "=ada", '"ada')

Everywhere = Callable[[], Searched]


@pytest.fixture
def everywhere(run: Run[Any], database: Database, vault: Vault) -> Everywhere:
    async def search() -> Searched:
        found = Searched(vault)
        async with database.connection() as connection:
            await found.read(connection)
        return found

    return lambda: run(search())


def erase(run: Run[Any], database: Database, vault: Vault, partner_id: str) -> ErasureCounts:
    async def act() -> ErasureCounts:
        async with database.transaction() as tx:
            how = (Actor("cli"), START, forget_replies)
            return await erase_user(tx, vault, partner_id, USER, *how)

    erased: ErasureCounts = run(act())
    return erased


def lived(run: Run[Any], database: Database, vault: Vault, sandbox: int) -> UUID:
    """A buy by a person whom everything names that can, callbacks of every kind among it."""
    made: UUID = run(make_transaction(database, vault, sandbox, at=START))
    run(open_session(database, made, exchanged=True, redirect_url=REDIRECT))
    named = "UPDATE ramp_sessions SET partner_reference = $2 WHERE transaction_id = $1"
    run(execute(database, named, made, REFERENCE))
    run(call_back(database, vault, sandbox, made, "payment captured", extra=EMAIL))
    run(call_back(database, vault, sandbox, UUID(int=1), "payment captured", extra=EMAIL.upper()))
    run(process(database, vault, providers(database), TurnedClock()))
    run(refused(database, vault, sandbox, b'{"email":"ada\\u0040example.com"}'))
    return made


async def refused(database: Database, vault: Vault, owner: int, body: bytes) -> None:
    """A body that nobody signed, kept so that an operator can see why."""
    refusal = UUID(int=7)
    async with database.transaction() as tx:
        account = await accounts.account_of(tx, vault, owner)
        assert account is not None
        sealed = vault.seal(body, REFUSED_IDENTITY.format(id=refusal))
        how = "INSERT INTO refused_callbacks (id, account_id, sealed, received_at) VALUES ($1, $2, $3, $4)"
        await tx.execute(how, refusal, account.id, sealed, START)


def test_the_search_finds_what_is_there(
    run: Run[Any], database: Database, vault: Vault, sandbox: int, everywhere: Everywhere
) -> None:
    lived(run, database, vault, sandbox)
    found = everywhere()
    assert found.holding(EMAIL) == {"ramp_personal, opened", "provider_callbacks, opened"}
    assert found.holding(ADDRESS) == found.holding(CLIENT_IP) == {"ramp_personal, opened"}
    assert found.holding(USER) == {"ramp_users.partner_user_id", "outbox.body"}
    assert found.holding(REFERENCE) == {"ramp_sessions.partner_reference", "outbox.body"}
    assert found.holding(REDIRECT) == {"ramp_sessions.parameters"}


def test_an_erased_person_is_nowhere(
    run: Run[Any],
    database: Database,
    vault: Vault,
    sandbox: int,
    partner: OnboardedPartner,
    everywhere: Everywhere,
) -> None:
    made = lived(run, database, vault, sandbox)
    before = run(chain_of(database, made))
    erased = erase(run, database, vault, partner.partner_id)
    assert erased == ErasureCounts(users=1, transactions=1, values=4, callbacks=3)
    found = everywhere()
    assert {text: found.holding(text) for text in PERSONAL} == {text: set() for text in PERSONAL}
    assert {text: found.holding(text) for text in WRITTEN} == {text: set() for text in WRITTEN}
    assert run(chain_of(database, made)) == before
    [body] = map(json.loads, run(published_of(database, made)))
    assert body["partner_user_id"].startswith("erased-")
    assert (body["partner_reference"], body["status"]) == ("", "processing")
    assert body["record_sha256"] == hashlib.sha256(before[-1]).hexdigest()
    with pytest.raises(NotFoundError):
        erase(run, database, vault, partner.partner_id)


def test_of_an_erased_person_a_refund_says_nothing(
    run: Run[Any],
    database: Database,
    vault: Vault,
    sandbox: int,
    partner: OnboardedPartner,
    everywhere: Everywhere,
) -> None:
    async def give_back(status: RefundStatus) -> list[Any]:
        async with database.transaction() as tx:
            how = (status, Decimal(5), "ticket 4711", Actor("cli"), START)
            await refund(tx, vault, made, *how)
        async with database.connection() as connection:
            return await connection.fetch(
                "SELECT body FROM outbox WHERE subject = $1 ORDER BY position", f"{made}/refund"
            )

    made = lived(run, database, vault, sandbox)
    [told] = run(give_back(RefundStatus.REQUESTED))
    assert json.loads(told["body"])["partner_user_id"] == USER
    erase(run, database, vault, partner.partner_id)
    bodies = [json.loads(row["body"]) for row in run(give_back(RefundStatus.REFUNDED))]
    assert [body["refund_status"] for body in bodies] == ["requested", "refunded"]
    for body in bodies:
        assert body["partner_user_id"].startswith("erased-")
        assert body["partner_reference"] == ""
    found = everywhere()
    assert {text: found.holding(text) for text in PERSONAL} == {text: set() for text in PERSONAL}


def test_what_comes_afterwards_is_not_kept_either(
    run: Run[Any],
    database: Database,
    vault: Vault,
    sandbox: int,
    partner: OnboardedPartner,
    everywhere: Everywhere,
) -> None:
    """The transaction goes on to its end, and its last records hash nothing."""
    made = lived(run, database, vault, sandbox)
    erase(run, database, vault, partner.partner_id)
    run(call_back(database, vault, sandbox, made, "delivery delivered", extra=EMAIL))
    run(process(database, vault, providers(database), TurnedClock()))

    assert run(row_of(database, made))["status"] == "completed"
    *_, callback, told = map(json.loads, run(chain_of(database, made)))
    assert (told["partner_user_id_sha256"], told["address_sha256"]) == ("", "")
    assert (callback["kind"], callback["body_sha256"]) == ("provider.callback", "")
    assert everywhere().holding(EMAIL) == set()


def test_a_change_during_the_erasure_hashes_nothing(
    run: Run[Any], database: Database, vault: Vault, sandbox: int, partner: OnboardedPartner
) -> None:
    """It waits for the erasure, or its salt would outlive the person's; and it names nobody."""
    made = run(make_transaction(database, vault, sandbox, at=START))
    run(open_session(database, made))
    named = "UPDATE ramp_sessions SET partner_reference = $2 WHERE transaction_id = $1"
    run(execute(database, named, made, REFERENCE))

    async def blocked() -> bool:
        async with database.connection() as connection:
            return bool(
                await connection.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted")
            )

    async def at_once() -> None:
        async with database.transaction() as tx:
            how = (Actor("cli"), START, forget_replies)
            await erase_user(tx, vault, partner.partner_id, USER, *how)
            moving = asyncio.create_task(
                hear(database, vault, said(made, ProviderStatus.PROCESSING))
            )
            await until(blocked)
        await moving

    run(at_once())
    [record] = map(json.loads, run(records_of(database, made)))
    assert (record["partner_user_id_sha256"], record["partner_reference_sha256"]) == ("", "")
    [body] = map(json.loads, run(published_of(database, made)))
    assert body["partner_user_id"].startswith("erased-")
    assert body["partner_reference"] == ""


def test_others_are_left_alone(
    run: Run[Any],
    database: Database,
    vault: Vault,
    sandbox: int,
    partner: OnboardedPartner,
    everywhere: Everywhere,
) -> None:
    """The same id with another partner, and another user of the same one."""
    other = run(onboard(database, vault, "Other"))
    theirs, other_sandbox = (
        environment.partner_environment_id for environment in other.environments
    )
    run(make_transaction(database, vault, theirs, at=START))
    run(make_transaction(database, vault, sandbox, user="someone-else", at=START))
    run(call_back(database, vault, other_sandbox, UUID(int=1), "payment captured", extra=EMAIL))
    lived(run, database, vault, sandbox)
    erase(run, database, vault, partner.partner_id)
    found = everywhere()
    assert found.holding(USER) == {"ramp_users.partner_user_id"}
    assert sum(EMAIL.encode() in value for _, value in found.values) == 3


def test_a_user_who_comes_back_begins_anew(
    run: Run[Any], database: Database, vault: Vault, sandbox: int, partner: OnboardedPartner
) -> None:
    made = run(make_transaction(database, vault, sandbox, at=START))
    erase(run, database, vault, partner.partner_id)
    again = run(make_transaction(database, vault, sandbox, at=START))
    first, second = (run(row_of(database, item))["user_id"] for item in (made, again))
    assert first != second


def test_client_ips_and_bodies_go_with_age_and_nothing_else(
    run: Run[Any], database: Database, vault: Vault, sandbox: int, everywhere: Everywhere
) -> None:
    made = run(make_transaction(database, vault, sandbox, at=START))
    run(call_back(database, vault, sandbox, made, "payment captured", extra="a note"))
    clock = TurnedClock()
    kept = (timedelta(days=90), timedelta(days=180))
    run(process(database, vault, providers(database), clock))

    clock.turn(days=90)
    run(prune(database, clock, *kept))
    assert everywhere().holding(CLIENT_IP) != set()
    clock.turn(seconds=1)
    run(prune(database, clock, *kept))
    assert everywhere().holding(CLIENT_IP) == set()

    clock.turn(days=90)
    run(prune(database, clock, *kept))
    [item] = run(callbacks(database))
    assert (item["sealed"], item["outcome"], item["transaction_id"]) == (None, "processing", made)
    found = everywhere()
    assert found.holding(EMAIL) == found.holding(ADDRESS) == {"ramp_personal, opened"}


def test_the_oldest_client_ips_go_first(
    run: Run[Any], database: Database, vault: Vault, sandbox: int
) -> None:
    ages = (3, 1, 2)
    made = {
        days: run(make_transaction(database, vault, sandbox, at=START - timedelta(days=days)))
        for days in ages
    }

    async def left() -> list[UUID]:
        async with database.transaction() as tx:
            await personal.prune_client_ips(tx, START, 2)
            query = "SELECT transaction_id FROM ramp_personal WHERE kind = 'client_ip'"
            return [row["transaction_id"] for row in await tx.fetch(query)]

    assert run(left()) == [made[1]]


def test_a_callback_still_waiting_is_not_pruned(
    run: Run[Any], database: Database, vault: Vault, sandbox: int
) -> None:
    """It was acknowledged, so it will be applied, however late."""
    made = run(make_transaction(database, vault, sandbox, at=START))
    run(call_back(database, vault, sandbox, made, "payment captured"))
    clock = TurnedClock()
    clock.turn(days=400)
    run(prune(database, clock, timedelta(days=90), timedelta(days=180)))
    run(process(database, vault, providers(database), clock))
    assert run(row_of(database, made))["status"] == "processing"


def test_a_personal_value_does_not_open_in_another_row(
    run: Run[Any], database: Database, vault: Vault, sandbox: int
) -> None:
    made = run(make_transaction(database, vault, sandbox, at=START))
    run(execute(
        database,
        "UPDATE ramp_personal SET sealed = (SELECT sealed FROM ramp_personal WHERE kind = 'email')"
        " WHERE kind = 'address'",
    ))  # fmt: skip
    with pytest.raises(SealError):
        run(hear(database, vault, said(made, ProviderStatus.COMPLETED)))
    assert run(row_of(database, made))["status"] == "pending"
