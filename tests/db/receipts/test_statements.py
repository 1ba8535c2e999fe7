"""Daily statements: of every day one, made once, stamped, and what each of them says."""

import asyncio
import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from itertools import count, pairwise
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from tests.conftest import Run
from tests.db.receipts.test_stamping import TurnedClock, stamp_all
from tests.db.webhooks.scene import until
from tests.support.lives import lives
from tests.support.partners import issued, onboard
from tests.support.ramp import ADDRESS, EMAIL, USER, chain_of, hear, make_transaction, said

from proof.core.secrets import Vault
from proof.db import Connection, Database
from proof.partners.audit import Actor
from proof.partners.environments import environment_names
from proof.partners.types import Environment
from proof.ramp.providers.protocols import ProviderStatus
from proof.ramp.transactions.erasure import erase_user
from proof.ramp.transactions.service import refund
from proof.ramp.types import RefundStatus
from proof.receipts import statement_queries
from proof.receipts.stamping import OWNERS, Stamper
from proof.receipts.statement_queries import TILE_WIDTH
from proof.receipts.statements import ListForm, StatementMaker, Statements, newest_with
from proof.timestamps.proofs.service import Proofs
from proof.verify.receipts.statement import check_path, read_leaf, read_statement
from proof.verify.receipts.statement_file import check_lines
from proof.verify.receipts.statement_lines import Line
from proof.webhooks.pruning import forget_replies

DAY = date(2026, 5, 4)
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
ONE_DAY = timedelta(days=1)
PAID, DELIVERED = ProviderStatus.PROCESSING, ProviderStatus.COMPLETED

_RECORD = (
    "INSERT INTO ramp_records (transaction_id, sequence, record, kind) VALUES ($1, $2, $3, $4)"
)
_CHAIN = """
INSERT INTO ramp_chain_days (partner_environment_id, day, transaction_id, records, head)
SELECT $1, $2, id, 1, sha256(id::text::bytea) FROM unnest($3::uuid[]) AS id
"""


class Installation:
    """A database with its stampers and makers of statements, at a moment."""

    def __init__(self, database: Database, vault: Vault, owner: int, other: int) -> None:
        self.database, self.vault, self.owner, self.other = database, vault, owner, other
        self.clock = TurnedClock()
        self.clock.moment = NOON

    async def traded(self, owner: int | None = None, *verdicts: ProviderStatus) -> UUID:
        """A transaction of which a provider said so, its records stamped."""
        made = await make_transaction(self.database, self.vault, owner or self.owner)
        await hear(self.database, self.vault, *(said(made, each) for each in verdicts or (PAID,)))
        await self.stamp()
        return made

    async def stamp(self) -> None:
        await stamp_all(self.database, Stamper(self.database, self.clock))

    async def turn(self, days: int = 1) -> None:
        """So many days later every statement that is due is made."""
        self.clock.moment += days * ONE_DAY
        await self.make()

    async def make(self) -> None:
        maker = StatementMaker(self.database, self.clock)
        while await maker.step():
            pass

    async def statement(self, day: date = DAY, owner: int | None = None) -> dict[str, Any]:
        async with self.database.connection() as connection:
            found = await statement_queries.statement(connection, owner or self.owner, day)
        assert found is not None, day
        assert found.sha256 == sha256(found.statement).digest()
        stated: dict[str, Any] = json.loads(found.statement)
        return stated

    async def lines(self, day: date = DAY, form: ListForm = ListForm.CSV) -> list[Line]:
        """What the list of a day holds, once it was found to be the statement's own."""
        statements = Statements(self.database, self.vault, Proofs(self.database, self.clock))
        listing = await statements.listing(self.owner, day, form)
        raw = b"".join([piece async for piece in listing.pieces])
        assert listing.size == len(raw)
        seen: list[Line] = []
        cut = [each + b"\n" for each in raw.split(b"\n")[:-1]]
        assert check_lines(read_statement(await self.statement(day)), cut, seen.append) == form
        return seen

    async def days(self, owner: int | None = None) -> list[date]:
        async with self.database.connection() as connection:
            rows = await connection.fetch(
                "SELECT day FROM statements WHERE partner_environment_id = $1 ORDER BY day",
                owner or self.owner,
            )
        return [row["day"] for row in rows]


@pytest.fixture
def installation(run: Run[Any], database: Database, vault: Vault) -> Installation:
    partner = run(onboard(database, vault))
    owners = [issued(partner, each).partner_environment_id for each in Environment]
    return Installation(database, vault, *owners)


async def test_a_day_is_stated_once_it_is_over(installation: Installation) -> None:
    paid = await installation.traded()
    await installation.make()
    assert await installation.days() == []
    await installation.turn()
    assert await installation.days() == [DAY]
    stated = await installation.statement()
    assert (stated["date"], stated["transactions"]) == ("2026-05-04", 1)
    assert stated["previous_sha256"] == ""
    (line,) = await installation.lines()
    assert line["merchant_transaction_id"] == str(paid)
    chain = await chain_of(installation.database, paid)
    assert (line["status"], line["records"]) == ("processing", str(len(chain)))
    assert line["head"] == sha256(chain[-1]).hexdigest()
    assert await installation.days(installation.other) == []


async def test_both_lists_and_totals_are_of_the_same_lines(installation: Installation) -> None:
    for verdicts in ((PAID,), (PAID, DELIVERED), (PAID, DELIVERED), (ProviderStatus.FAILED,)):
        await installation.traded(None, *verdicts)
    await installation.turn()
    lines = await installation.lines()
    assert await installation.lines(form=ListForm.NDJSON) == lines
    assert [line["status"] for line in lines].count("completed") == 2
    totals = (await installation.statement())["totals"]
    assert [each["status"] for each in totals] == ["completed", "failed", "processing"]
    assert (totals[0]["transactions"], totals[0]["crypto_amount"]) == (
        "2",
        "100.000000000000000002",
    )


async def test_silent_days_have_a_statement_and_each_names_the_one_before(
    installation: Installation,
) -> None:
    bought = await installation.traded()
    await installation.turn(4)
    await hear(installation.database, installation.vault, said(bought, DELIVERED, said="delivered"))
    await installation.stamp()
    await installation.turn()
    days = [DAY + number * ONE_DAY for number in range(5)]
    assert await installation.days() == days
    stated = [await installation.statement(day) for day in days]
    assert [each["transactions"] for each in stated] == [1, 0, 0, 0, 1]
    for before, after in pairwise(stated):
        assert after["previous_sha256"] == read_statement(before).sha256.hex()
    assert await installation.lines(days[1]) == []
    assert [line["status"] for line in await installation.lines(days[0])] == ["processing"]
    assert [line["status"] for line in await installation.lines(days[4])] == ["completed"]


async def test_each_environment_has_its_own(installation: Installation) -> None:
    await installation.traded()
    await installation.turn()
    await installation.traded(installation.other)
    await installation.turn()
    assert await installation.days() == [DAY, DAY + ONE_DAY]
    assert await installation.days(installation.other) == [DAY + ONE_DAY]
    assert (await installation.statement(DAY + ONE_DAY))["transactions"] == 0
    sandbox = await installation.statement(DAY + ONE_DAY, installation.other)
    assert (sandbox["environment"], sandbox["transactions"]) == ("sandbox", 1)


async def test_what_changes_after_the_day_was_closed_belongs_to_the_next(
    installation: Installation,
) -> None:
    """Another worker's clock may be behind."""
    await installation.traded()
    await installation.turn()
    installation.clock.moment = NOON
    late = await installation.traded()
    await installation.turn(2)
    assert (await installation.statement())["transactions"] == 1
    (line,) = await installation.lines(DAY + ONE_DAY)
    assert line["merchant_transaction_id"] == str(late)


async def test_an_older_record_stamped_a_day_late_takes_nothing_back(
    installation: Installation,
) -> None:
    bought = await installation.traded(None, PAID, DELIVERED)
    async with installation.database.transaction() as tx:
        await tx.execute("INSERT INTO ramp_unstamped VALUES ($1, 1)", bought)
    installation.clock.moment += ONE_DAY
    await installation.stamp()
    await installation.turn()
    assert [line["status"] for line in await installation.lines()] == ["completed"]
    assert await installation.lines(DAY + ONE_DAY) == []


async def test_it_is_stamped_and_holds_nothing_personal(installation: Installation) -> None:
    bought = await installation.traded()
    await installation.turn()
    stated = await installation.statement()
    async with installation.database.connection() as connection:
        stamped = await connection.fetchval(
            "SELECT count(*) FROM submissions WHERE partner_environment_id = $1 AND digest = $2",
            OWNERS[Environment.PRODUCTION].id,
            read_statement(stated).sha256,
        )
    assert stamped == 1
    text = json.dumps([stated, await installation.lines()])
    hashes = {
        value
        for record in await chain_of(installation.database, bought)
        for name, value in json.loads(record).items()
        if name in {"partner_user_id_sha256", "address_sha256", "user_email_sha256"} and value
    }
    assert hashes
    assert not any(each in text for each in (EMAIL, ADDRESS, USER, *hashes))


async def test_erasing_a_person_changes_no_statement(installation: Installation) -> None:
    await installation.traded(None, PAID, DELIVERED)
    await installation.turn()
    stated, lines = await installation.statement(), await installation.lines()
    async with installation.database.transaction() as tx:
        names = await environment_names(tx)
        partner_id, actor = names[installation.owner][0], Actor("cli:test")
        how = (actor, installation.clock.now(), forget_replies)
        await erase_user(tx, installation.vault, partner_id, USER, *how)
    await installation.stamp()
    await installation.turn()
    assert (await installation.statement(), await installation.lines()) == (stated, lines)
    assert await installation.lines(DAY + ONE_DAY) == []


async def test_lines_tell_of_openings_refunds_and_records_of_every_version(
    installation: Installation,
) -> None:
    """The newest among the records that the chain had when the day ended."""
    told = {"type": "sell", "currency": "BTC", "network": "BTC", "crypto_amount": "0.5"}
    told |= {"created_at": "2026-05-04T01:00:00Z"}
    opening = told | {"fiat_currency": "EUR"}
    state = told | {"status": "completed", "updated_at": "2026-05-04T02:00:00Z"}
    money = {"fiat_currency": "EUR", "fiat_amount": "9.00", "fiat_fee": "1.00", "rate": "20"}
    refund = {"refund_status": "refunded", "refund_amount": "9.00", "fiat_currency": "EUR"}
    refund |= {"refunded_at": "2026-05-04T03:00:00Z"}
    stories: list[list[tuple[str, dict[str, Any]]]] = [
        [("session.opened", opening)],
        [("transaction.status", state | {"version": 1})],
        [("session.opened", told), ("transaction.status", state | money)],
        [("transaction.status", state | money), ("transaction.refund", refund)],
    ]
    ids = sorted(uuid4() for _ in stories)
    async with installation.database.transaction() as tx:
        for transaction_id, records in zip(ids, stories, strict=True):
            await _chain(tx, installation.owner, transaction_id, records)
    await installation.turn()
    opened, first, settled, refunded = await installation.lines()
    assert (opened["status"], opened["updated_at"]) == ("pending", told["created_at"])
    assert opened["fiat_currency"] == ""
    assert (first["status"], first["fiat_amount"], first["rate"]) == ("completed", "", "")
    assert (settled["fiat_amount"], settled["refund_status"]) == ("9.00", "none")
    assert (refunded["refund_status"], refunded["refund_amount"]) == ("refunded", "9.00")
    assert (refunded["refund_currency"], refunded["refunded_at"]) == ("EUR", refund["refunded_at"])
    later = state | money | {"status": "failed"}
    async with installation.database.transaction() as tx:
        await tx.execute(_RECORD, ids[2], 3, json.dumps(later).encode(), "transaction.status")
        await tx.execute(_RECORD, ids[2], 4, json.dumps(refund).encode(), "transaction.refund")
    assert (await installation.lines())[2] == settled


async def test_a_refund_is_counted_on_its_day(installation: Installation) -> None:
    made = await make_transaction(installation.database, installation.vault, installation.owner)
    paid = said(made, DELIVERED, fiat_currency="EUR", fiat_amount=Decimal("46.10"))
    await hear(installation.database, installation.vault, paid)
    await installation.stamp()
    await installation.turn()
    for status in (RefundStatus.REQUESTED, RefundStatus.REFUNDED):
        async with installation.database.transaction() as tx:
            how = (status, Decimal("6.1"), "ticket 4711", Actor("cli"), installation.clock.now())
            await refund(tx, installation.vault, made, *how)
    await installation.stamp()
    await installation.turn()
    [before], [after] = await installation.lines(), await installation.lines(DAY + ONE_DAY)
    assert (before["refund_status"], before["refund_amount"]) == ("none", "")
    assert (after["status"], after["refund_status"]) == ("completed", "refunded")
    assert (after["refund_amount"], after["refund_currency"]) == ("6.10", "EUR")
    (total,) = (await installation.statement(DAY + ONE_DAY))["totals"]
    assert (total["refund_status"], total["refund_currency"]) == ("refunded", "EUR")
    assert (total["transactions"], Decimal(total["refund_amount"])) == ("1", Decimal("6.10"))


async def _chain(
    tx: Connection, owner: int, transaction_id: UUID, records: list[tuple[str, dict[str, Any]]]
) -> None:
    for sequence, (kind, record) in enumerate(records, 1):
        await tx.execute(_RECORD, transaction_id, sequence, json.dumps(record).encode(), kind)
    await tx.execute("DELETE FROM ramp_unstamped")
    await tx.execute(
        "INSERT INTO ramp_chain_days VALUES ($1, $2, $3, $4, sha256('head'))",
        owner,
        DAY,
        transaction_id,
        len(records),
    )


async def _opened(installation: Installation, size: int) -> list[UUID]:
    """So many transactions of which only the opening is known, in their order."""
    ids = sorted(uuid4() for _ in range(size))
    opened = b'{"type":"buy","currency":"BTC","network":"BTC","crypto_amount":"1","created_at":""}'
    async with installation.database.transaction() as tx:
        await tx.executemany(_RECORD, [(each, 1, opened, "session.opened") for each in ids])
        await tx.execute("DELETE FROM ramp_unstamped")
        await tx.execute(_CHAIN, installation.owner, DAY, ids)
    return ids


async def test_pages_are_read_one_after_the_other(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statement_queries, "PAGE", 3)
    ids = await _opened(installation, 6)
    await installation.turn()
    lines = await installation.lines()
    assert [line["merchant_transaction_id"] for line in lines] == list(map(str, ids))


@pytest.mark.parametrize("size", [1, 2, TILE_WIDTH - 1, TILE_WIDTH, TILE_WIDTH + 1, 700])
async def test_every_leaf_leads_to_the_root(installation: Installation, size: int) -> None:
    ids = await _opened(installation, size)
    await installation.turn()
    stated = read_statement(await installation.statement())
    assert stated.tree_size == size
    assert len(await installation.lines()) == size
    tried = {*range(min(size, 3)), *range(TILE_WIDTH - 2, TILE_WIDTH + 2), size // 2, size - 1}
    async with installation.database.connection() as connection:
        for position in sorted(tried & {*range(size)}):
            found = await newest_with(connection, installation.owner, ids[position])
            assert found is not None
            assert found.position == position
            assert found.sha256 == stated.sha256
            check_path(stated, read_leaf(found.leaf), position, found.path)
        assert await newest_with(connection, installation.other, ids[0]) is None
        assert await newest_with(connection, installation.owner, uuid4()) is None


async def test_a_receipt_leads_into_the_newest_statement_with_its_transaction(
    installation: Installation,
) -> None:
    bought = await installation.traded()
    async with installation.database.connection() as connection:
        assert await newest_with(connection, installation.owner, bought) is None
    before = len(await chain_of(installation.database, bought))
    await installation.turn(3)
    await hear(installation.database, installation.vault, said(bought, DELIVERED, said="delivered"))
    await installation.stamp()
    async with installation.database.connection() as connection:
        found = await newest_with(connection, installation.owner, bought)
        assert found is not None
        assert (found.day, found.leaf["records"]) == (DAY, before)
    await installation.turn(2)
    async with installation.database.connection() as connection:
        found = await newest_with(connection, installation.owner, bought)
    assert found is not None
    assert (found.day, found.leaf["records"]) == (DAY + 3 * ONE_DAY, before + 1)


async def test_any_number_make_them_at_once(
    installation: Installation, database_arguments: dict[str, Any]
) -> None:
    for owner in (installation.owner, installation.other):
        await installation.traded(owner)
    installation.clock.moment += 5 * ONE_DAY
    databases = [await Database.open(database_arguments) for _ in range(3)]
    try:
        async with asyncio.TaskGroup() as workers:
            for database in databases:
                workers.create_task(_made(StatementMaker(database, installation.clock)))
    finally:
        for database in databases:
            await database.close()
    await installation.make()
    await _whole(installation, 5)


async def _made(maker: StatementMaker) -> None:
    while await maker.step():
        pass


async def _whole(installation: Installation, days: int) -> None:
    """Of each environment every day's, each stamped once."""
    expected = [DAY + number * ONE_DAY for number in range(days)]
    async with installation.database.connection() as connection:
        stamped = await connection.fetch(
            "SELECT made.sha256, count(digest) AS stamps FROM statements made"
            " LEFT JOIN submissions ON digest = made.sha256 GROUP BY 1"
        )
    assert [row["stamps"] for row in stamped] == [1] * (2 * days)
    for owner in (installation.owner, installation.other):
        assert await installation.days(owner) == expected
        previous = ""
        for day in expected:
            stated = await installation.statement(day, owner)
            assert stated["previous_sha256"] == previous
            previous = read_statement(stated).sha256.hex()


def test_killed_before_every_statement(
    run: Run[Any], installation: Installation, database_arguments: dict[str, Any], tmp_path: Path
) -> None:
    for owner in (installation.owner, installation.other):
        run(installation.traded(owner))

    async def recovered() -> bool:
        """The heir's work, once the server has noticed that the dead one's connection is gone."""
        await installation.make()
        async with installation.database.connection() as connection:
            closed, made = await statement_queries.days(connection)
        return made is not None and made == closed == installation.clock.moment.date() - ONE_DAY

    clock = tmp_path / "clock"
    with lives("tests.db.receipts.make_until_killed", database_arguments, str(clock)) as died:
        for number in count(1):
            installation.clock.moment += ONE_DAY
            clock.write_text(installation.clock.moment.isoformat())
            killed = died(number, "before")
            run(until(recovered))
            run(_whole(installation, number))
            if not killed:
                break
    # Closing the day, and for each of two statements what it says, its tiles and its stamp.
    assert number > 20
