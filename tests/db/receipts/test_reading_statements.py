"""Statements as a partner's backend reads them: the file, its two lists, and who gets none."""

import io
from collections.abc import AsyncIterator
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest
from tests.db.receipts.test_stamping import TurnedClock, stamp_all
from tests.support.application import Platform
from tests.support.receipts_lab import bought, keys_of
from tests.support.sessions import Shop, ramp_partner
from tests.support.statements import content, day_lines, file

from proof.api.http import Reply, send_reply
from proof.api.ramp.statements import (
    DailyStatement,
    StatementFile,
    StatementTotal,
    wanted_list,
)
from proof.core.errors import DatabaseUnavailableError
from proof.core.note_keys import ed25519_verify
from proof.partners.types import Environment
from proof.receipts.stamping import Stamper
from proof.receipts.statement_queries import open_day
from proof.receipts.statements import ListForm, StatementMaker
from proof.verify import Policy
from proof.verify.receipts.statement import check_path, read_leaf, read_statement
from proof.verify.receipts.statement_file import verify_statement

PRODUCTION, SANDBOX = Environment.PRODUCTION, Environment.SANDBOX


async def stated(platform: Platform) -> str:
    """The day of what was recorded so far, the statement of which is made and proved: the first one that
    no other test had."""
    async with platform.database.connection() as connection:
        day = await open_day(connection, datetime.now(UTC).date())
    clock = TurnedClock()
    clock.moment = datetime.combine(day, time(12), UTC)
    await stamp_all(platform.database, Stamper(platform.database, clock))
    clock.moment += timedelta(days=1)
    maker = StatementMaker(platform.database, clock)
    while await maker.step():
        pass
    await platform.seal()
    return str(day)


async def read(
    platform: Platform,
    shop: Shop,
    day: str,
    accept: str = "",
    environment: Environment = PRODUCTION,
) -> Any:
    headers = (("accept", accept),) if accept else ()
    path = f"/widget/statements/{day}"
    return await shop.call(platform, environment, "GET", path, headers=headers)


@pytest.mark.parametrize("environment", Environment)
async def test_the_file_and_both_lists_are_verified_alone(
    platform: Platform, environment: Environment
) -> None:
    shop = await ramp_partner(platform)
    purchases = [await bought(platform, environment, shop) for _ in range(3)]
    day = await stated(platform)
    told = await read(platform, shop, day, environment=environment)
    assert (told.status, told.headers["content-type"]) == (200, "application/json")
    assert (told.headers["cache-control"], told.headers["vary"]) == ("no-store", "accept")
    trust: dict[str, Any] = {
        "receipt_keys": await keys_of(platform, environment, "receipts"),
        "policy": Policy.of_keys(await keys_of(platform, environment, "log")),
        "ed25519_verify": ed25519_verify,
    }
    for accept, form in (("text/csv", "csv"), ("application/x-ndjson", "ndjson")):
        listed = await read(platform, shop, day, accept, environment)
        assert listed.headers["content-type"].startswith(accept)
        assert listed.headers["content-length"] == str(len(listed.body))
        assert f'filename="statement-{day}.{form}"' in listed.headers["content-disposition"]
        seen: list[Any] = []
        lines = list(io.BytesIO(listed.body))
        found = verify_statement(told.body, lines=lines, see=seen.append, **trust)
        assert (found.tied, found.lines) == (True, form)
        names = {line["merchant_transaction_id"] for line in seen}
        assert names == {str(each.transaction) for each in purchases}
    part = (await purchases[0].receipt())["statement"]
    path = [bytes.fromhex(each) for each in part["path"]]
    check_path(read_statement(part["statement"]), read_leaf(part["leaf"]), part["index"], path)
    assert {"statement": part["statement"], "signature": part["signature"]} == {
        name: told.json[name] for name in ("statement", "signature")
    }
    assert part["proofs"] == told.json["proofs"]
    others = PRODUCTION if environment is SANDBOX else SANDBOX
    assert (await read(platform, shop, day, environment=others)).status == 404
    assert (await read(platform, await ramp_partner(platform), day)).status == 404


async def test_why_there_is_none_is_said(platform: Platform) -> None:
    shop = await ramp_partner(platform)
    none = await read(platform, shop, "2026-01-01")
    assert (none.status, none.json["code"]) == (404, "not_found")
    assert "the first is made once the day (UTC) is over" in none.json["message"]
    await bought(platform, PRODUCTION, shop)
    await stated(platform)
    before = await read(platform, shop, "2026-01-01")
    assert "the first is that of" in before.json["message"]
    after = await read(platform, shop, "2999-01-01", "text/csv")
    assert (after.status, after.json["code"]) == (404, "not_found")
    assert "the newest is that of" in after.json["message"]


@pytest.mark.parametrize("day", ["20260101", "2026-1-1", "2026-02-30", "today", "2026-W01-1"])
async def test_a_day_is_written_in_one_way(platform: Platform, day: str) -> None:
    answer = await read(platform, await ramp_partner(platform), day)
    assert (answer.status, answer.json["error"]) == (400, "invalid_request")
    assert answer.json["message"].startswith("date: ")


async def test_head_tells_the_length_and_reads_no_line(platform: Platform) -> None:
    shop = await ramp_partner(platform)
    await bought(platform, PRODUCTION, shop)
    day = await stated(platform)
    accept = (("accept", "text/csv"),)
    path = f"/widget/statements/{day}"
    whole = await shop.call(platform, PRODUCTION, "GET", path, headers=accept)
    head = await shop.call(platform, PRODUCTION, "HEAD", path, headers=accept)
    assert head.headers["content-length"] == str(len(whole.body)) != "0"
    assert head.body == b""


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ([], None),
        (["*/*"], None),
        (["application/json"], None),
        (["text/csv"], ListForm.CSV),
        (["TEXT/CSV; header=present"], ListForm.CSV),
        (["text/html, text/csv;q=0.5"], ListForm.CSV),
        (["application/x-ndjson;q=0.9, text/csv;q=0.5"], ListForm.NDJSON),
        (["application/json", "text/csv;q=0.9"], None),
        (["text/csv;q=0"], None),
        (["text/csv;q=x"], None),
    ],
)
def test_which_form_a_caller_would_rather_have(accept: list[str], form: ListForm | None) -> None:
    assert wanted_list(accept) is form


async def test_a_list_that_cannot_be_finished_is_broken_off() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"one"
        raise DatabaseUnavailableError("away")

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await send_reply(Reply(200, pieces=pieces(), size=6), "req_1", send)
    head, only = sent
    assert dict(head["headers"])[b"content-length"] == b"6"
    assert (only["body"], only["more_body"]) == (b"one", True)


def test_the_document_tells_of_every_member() -> None:
    whole = file(content(day_lines()))
    assert [*StatementFile.__struct_fields__] == [*whole]
    assert [*DailyStatement.__struct_fields__] == [*whole["statement"]]
    assert [*StatementTotal.__struct_fields__] == [*whole["statement"]["totals"][0]]
