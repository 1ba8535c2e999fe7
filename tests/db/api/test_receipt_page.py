"""The link of a receipt: it shows its transaction to whoever has it, and nothing to whoever guesses."""

import asyncio
import hashlib
from typing import Any
from uuid import UUID, uuid4

import pytest
from tests.db.api.test_widget import BROWSER, SANDBOX, Page, page_of
from tests.support.application import Answer, Platform
from tests.support.partners import suspend
from tests.support.ramp import said
from tests.support.receipts_lab import Bought
from tests.support.sessions import OWN, PREFIX, ramp_partner

from proof.partners.audit import Actor
from proof.partners.types import Environment
from proof.ramp.providers.protocols import ProviderStatus
from proof.ramp.sessions.receipt_links import make_link
from proof.ramp.transactions.erasure import erase_user
from proof.webhooks.pruning import forget_replies

ABOVE_ANY = "A" * 43


async def read(
    platform: Platform, transaction: str, token: str, environment: Environment = SANDBOX
) -> Answer:
    body = {"merchant_transaction_id": transaction, "token": token}
    target = f"{PREFIX[environment]}/r/api/receipt"
    return await platform.call("POST", target, body, address=BROWSER)


async def link(page: Page) -> tuple[str, str]:
    """The transaction and the token of the link that the widget shows."""
    url = (await page.act("receipt"))["url"]
    transaction, _, token = url.rpartition("/r/")[2].partition("#")
    assert url == f"{page.platform.base_urls[page.environment]}/r/{transaction}#{token}"
    return transaction, token


async def opened(platform: Platform, **changes: Any) -> Page:
    shop = await ramp_partner(platform, own_address=True)
    page = await page_of(platform, shop, address=OWN, **changes)
    assert (await page.open()).status == 200
    return page


@pytest.mark.parametrize("environment", Environment)
async def test_the_link_shows_the_receipt_and_gives_the_very_file(
    platform: Platform, environment: Environment
) -> None:
    shop = await ramp_partner(platform, own_address=True)
    page = await page_of(platform, shop, environment, address=OWN)
    if environment is SANDBOX:
        assert (await page.open()).status == 200
        transaction, token = await link(page)
    else:
        # No provider opens a widget in this production: the link is made as the widget makes it.
        transaction, token = await made(platform, page)
    answer = await read(platform, transaction, token, environment)
    assert (answer.status, answer.headers["cache-control"]) == (200, "no-store")
    shown = answer.json
    assert (shown["partner_name"], shown["lang"]) == ("Shop", "en")
    assert shown["address"] == f"{OWN[:6]}…{OWN[-4:]}"
    assert shown["summary"]["status"] == "pending"
    backend = await Bought(platform, shop, UUID(transaction), environment).receipt()
    assert shown["receipt"]["records"] == backend["records"]
    assert shown["guide"].startswith(f"{platform.base_urls[Environment.PRODUCTION]}/docs/")
    other = next(each for each in Environment if each is not environment)
    assert (await read(platform, transaction, token, other)).status == 404


async def made(platform: Platform, page: Page) -> tuple[str, str]:
    async with platform.database.transaction() as tx:
        found = await make_link(tx, platform.vault, UUID(page.session["merchant_transaction_id"]))
    return str(found.transaction_id), found.token


async def test_whoever_guesses_is_told_one_thing(platform: Platform) -> None:
    page, other = await opened(platform), await opened(platform)
    unlinked = await opened(platform)
    transaction, token = await link(page)
    _, stranger = await link(other)
    answers = [
        await read(platform, *guess)
        for guess in (
            (transaction, ABOVE_ANY),
            (transaction, stranger),
            (transaction, ""),
            (transaction, token[:-1]),
            (transaction, token + "A"),
            (transaction, hashlib.sha256(token.encode()).hexdigest()[:43]),
            (transaction.upper(), token),
            (str(uuid4()), token),
            (unlinked.session["merchant_transaction_id"], ABOVE_ANY),
            ("", ""),
            ("x", "é"),
        )
    ]
    assert {answer.status for answer in answers} == {404}
    assert len({answer.body for answer in answers}) == 1
    assert (await read(platform, transaction, token)).status == 200


async def test_the_token_is_stored_as_its_hash_and_the_link_is_always_the_same(
    platform: Platform,
) -> None:
    page = await opened(platform)
    first, *others = await asyncio.gather(*(link(page) for _ in range(4)))
    assert set(others) == {first}
    rows = await platform.fetch(
        "SELECT * FROM ramp_receipt_links WHERE transaction_id = $1", UUID(first[0])
    )
    assert [row["token_sha256"] for row in rows] == [hashlib.sha256(first[1].encode()).digest()]
    assert first[1] not in str(rows)


async def test_an_erased_user_keeps_the_link_that_was_made_and_the_page_shows_nothing_of_them(
    platform: Platform,
) -> None:
    kept, late = await opened(platform), await opened(platform)
    transaction, token = await link(kept)
    async with platform.database.transaction() as tx:
        for page in (kept, late):
            owner = await tx.fetchrow(
                "SELECT e.partner_id, u.partner_user_id FROM ramp_transactions t"
                " JOIN ramp_users u ON u.id = t.user_id"
                " JOIN partner_environments e ON e.id = t.partner_environment_id WHERE t.id = $1",
                UUID(page.session["merchant_transaction_id"]),
            )
            assert owner is not None
            partner, user = owner
            now = platform.clock.now()
            await erase_user(tx, platform.vault, partner, user, Actor("cli"), now, forget_replies)
    answer = await read(platform, transaction, token)
    assert answer.status == 200
    assert (answer.json["address"], answer.json["summary"]["erased"]) == ("", True)
    assert (await late.call("POST", "receipt", {})).status == 404


async def test_a_suspended_partners_user_keeps_the_receipt(platform: Platform) -> None:
    shop = await ramp_partner(platform, own_address=True)
    page = await page_of(platform, shop, address=OWN)
    await page.open()
    transaction, token = await link(page)
    bought = Bought(platform, shop, UUID(transaction))
    await bought.happen(said(bought.transaction, ProviderStatus.CANCELLED))
    await suspend(platform.database, shop.partner)
    shown = (await read(platform, transaction, token)).json["summary"]
    assert (shown["status"], shown["paid"]) == ("cancelled", False)


async def test_only_the_tab_that_has_the_session_is_given_a_link(platform: Platform) -> None:
    page = await opened(platform)
    page.token = None
    assert (await page.call("POST", "receipt", {})).status == 401


async def test_a_guess_is_a_strangers_call_and_its_body_is_bounded(platform: Platform) -> None:
    answer = await platform.call(
        "POST", "/r/api/receipt", {"merchant_transaction_id": "x" * 2000, "token": ""}
    )
    assert answer.status == 413
    for body in ({}, {"merchant_transaction_id": "x"}, {"token": 1, "merchant_transaction_id": ""}):
        assert (await platform.call("POST", "/r/api/receipt", body)).status in {400, 422}
    assert (await platform.call("GET", "/r/api/receipt")).status == 405
