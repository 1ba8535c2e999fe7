"""The hosted page's own API: opened once, resumed in the same tab, and what its user does."""

import asyncio
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from tests.support.application import CALLER, Answer, Platform
from tests.support.partners import suspend
from tests.support.sessions import OWN, PREFIX, WALLET, Shop, open_session, ramp_partner

from proof.partners.audit import Actor
from proof.partners.types import Environment
from proof.ramp.providers.accounts import remove_account

PRODUCTION, SANDBOX = Environment.PRODUCTION, Environment.SANDBOX
PRESENTED = ("widget_id", "init_token", "merchant_transaction_id", "signature")
BROWSER = "198.51.100.20"
CARD = "4242 4242 4242 4242"


def new_token() -> str:
    """A session token as a tab makes it."""
    return f"wst_{secrets.token_urlsafe(32)}"


@dataclass
class Page:
    """The hosted page in one tab, run by a shop's own page with what its backend was answered."""

    platform: Platform
    session: dict[str, Any]
    environment: Environment = SANDBOX
    token: str | None = field(default_factory=new_token)

    async def call(self, method: str, path: str, body: Any = None, **options: Any) -> Answer:
        headers = [("origin", "https://proof.example")]
        if self.token is not None:
            headers.append(("authorization", f"Bearer {self.token}"))
        options.setdefault("address", BROWSER)
        target = f"{PREFIX[self.environment]}/w/api/{path}"
        return await self.platform.call(method, target, body, headers=headers, **options)

    async def open(self, options: Mapping[str, Any] | None = None, **changes: Any) -> Answer:
        presented = {name: self.session[name] for name in PRESENTED} | changes
        return await self.call("POST", "open", {**presented, "options": dict(options or {})})

    async def state(self) -> dict[str, Any]:
        answer = await self.call("GET", "state")
        assert answer.status == 200, answer
        assert answer.headers["cache-control"] == "no-store"
        return dict(answer.json)

    async def act(self, path: str, **body: Any) -> dict[str, Any]:
        answer = await self.call("POST", path, body)
        assert answer.status == 200, answer
        return dict(answer.json)

    async def identified(self) -> dict[str, Any]:
        """The state once the user's papers were accepted."""
        await self.act("kyc", document="passport", liveness=True)
        await advance(self.platform, self.session["widget_id"], 5)
        return await self.act("kyc", document="passport", liveness=True)


async def advance(platform: Platform, widget_id: str, seconds: int) -> None:
    """Move the clock of the widget's sandbox."""
    await platform.fetch(
        "INSERT INTO sandbox_clocks AS c SELECT id, $2 FROM partner_environments WHERE widget_id = $1"
        " ON CONFLICT (partner_environment_id) DO UPDATE SET offset_s = c.offset_s + $2",
        widget_id,
        seconds,
    )


async def page_of(
    platform: Platform,
    shop: Shop | None = None,
    environment: Environment = SANDBOX,
    **changes: Any,
) -> Page:
    shop = shop or await ramp_partner(platform, off_ramp=True)
    opened = await open_session(platform, shop, environment, changes)
    assert opened.status == 200, opened
    return Page(platform, opened.json, environment)


def refused(answer: Answer, status: int, code: str) -> str:
    assert list(answer.json) == ["error", "code", "message"]
    assert (answer.status, answer.json["code"]) == (status, code)
    return str(answer.json["message"])


async def test_the_widget_is_opened_with_what_the_backend_was_answered(platform: Platform) -> None:
    shop = await ramp_partner(platform, own_address=True)
    page = await page_of(platform, shop, address=OWN)
    answer = await page.open(page.session)
    assert (answer.status, answer.headers["cache-control"]) == (200, "no-store")
    assert answer.json.keys() == {"expires_at", "state"}
    state = answer.json["state"]
    assert answer.json["expires_at"] == state["session_expires_at"]
    quote, cards = state.pop("quote"), state.pop("test_cards")
    for moment in ("session_expires_at", "updated_at", "occurred_at", "now"):
        assert state.pop(moment).endswith("Z")
    assert state == {
        "merchant_transaction_id": page.session["merchant_transaction_id"],
        "widget_id": page.session["widget_id"],
        "environment": "sandbox",
        "partner_name": "Shop",
        "type": "buy",
        "status": "pending",
        "step": "kyc",
        "paid": False,
        "end": None,
        "provider": "sandbox",
        "currency": "USDT",
        "network": "TRC20",
        "crypto_amount": "25.5",
        "fiat_currency": "",
        "fiat_amount": "",
        "fiat_fee": "",
        "rate": "",
        "failure_reason": "",
        "chain_transaction": "",
        "chain_transaction_url": "",
        "address": f"{OWN[:6]}…{OWN[-4:]}",
        "fiat_currencies": ["EUR", "USD"],
        "lang": "en",
        "theme": "dark",
        "redirect_url": "https://shop.example/thanks",
        "kyc": "not_started",
        "attempt": {"id": None, "method": None, "result": "none"},
        "payment_methods": ["card", "apple_pay", "google_pay"],
        "payment_method": "",
        "deposit": None,
        "handover": None,
    }
    assert quote.keys() == {
        "fiat_currency",
        "fiat_amount",
        "fiat_fee",
        "price",
        "rate",
        "expires_at",
    }
    assert quote["fiat_currency"] == "USD"
    assert CARD in {card["number"] for card in cards}
    assert (await page.state())["step"] == "kyc"


async def test_an_init_token_opens_one_tab_and_that_one_again(platform: Platform) -> None:
    page = await page_of(platform)
    first = await page.open()
    again = await page.open()
    assert (first.status, again.status) == (200, 200)
    assert again.json["expires_at"] == first.json["expires_at"]
    elsewhere = Page(platform, page.session)
    assert "another tab" in refused(await elsewhere.open(), 401, "init_token_used")
    assert (await elsewhere.call("GET", "state")).status == 401
    assert (await page.state())["status"] == "pending"


async def test_a_tab_whose_answers_are_lost_opens_its_session_all_the_same(
    platform: Platform,
) -> None:
    """Of calls that are under way together one gives the session, and the others find it given to them."""

    page = await page_of(platform)
    answers = await asyncio.gather(*(page.open() for _ in range(8)))
    assert [answer.status for answer in answers] == [200] * 8
    assert len({answer.json["expires_at"] for answer in answers}) == 1


@pytest.mark.parametrize(
    "token",
    [None, "", "wst_", "wst_guessed", "x" * 47, "wst_" + "A" * 42 + "B", "wst_" + "A" * 44],
)
async def test_a_tab_without_a_token_worth_the_name_opens_nothing(
    platform: Platform, token: str | None
) -> None:
    page = await page_of(platform)
    page.token = token
    assert "32 random bytes" in refused(await page.open(), 400, "validation_error")
    page.token = new_token()
    assert (await page.open()).status == 200


async def test_the_token_of_one_session_opens_no_other(platform: Platform) -> None:
    page, other = await page_of(platform), await page_of(platform)
    assert (await page.open()).status == 200
    token, other.token = other.token, page.token
    refused(await other.open(), 400, "session_token_taken")
    state = await page.state()
    assert state["merchant_transaction_id"] == page.session["merchant_transaction_id"]
    other.token = token
    assert (await other.open()).status == 200


async def test_of_many_tabs_at_once_one_is_let_in(platform: Platform) -> None:
    session = (await page_of(platform)).session
    answers = await asyncio.gather(*(Page(platform, session).open() for _ in range(8)))
    assert sorted(answer.status for answer in answers) == [200] + [401] * 7
    assert {item.json["code"] for item in answers if item.status == 401} == {"init_token_used"}


async def test_what_opens_no_session(platform: Platform) -> None:
    page, other = await page_of(platform), await page_of(platform)
    for changes in (
        {"init_token": other.session["init_token"]},
        {"init_token": page.session["init_token"][:-2]},
        {"init_token": ""},
        {"init_token": "\u20ac\x00"},
        {"merchant_transaction_id": other.session["merchant_transaction_id"]},
        {"merchant_transaction_id": str(uuid4())},
        {"merchant_transaction_id": "x"},
        {"widget_id": other.session["widget_id"]},
    ):
        refused(await page.open(**changes), 401, "invalid_token")
    for widget_id in ("wdg_nobodys", "", "\x00", "ü"):
        refused(await page.open(widget_id=widget_id), 404, "not_found")
    page.environment = PRODUCTION
    refused(await page.open(), 404, "not_found")
    page.environment = SANDBOX
    signature = page.session["signature"]
    for wrong in (other.session["signature"], signature[3:], signature.upper(), "", "é"):
        refused(await page.open(signature=wrong), 400, "signature_invalid")
    assert (await page.open()).status == 200


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("amount", "25.51"),
        ("amount", 25.5),
        ("currency", "BTC"),
        ("address", WALLET[:-1]),
        ("fixAmount", False),
        ("fixAmount", 1),
        ("fix_network", ["ERC20"]),
        ("fiatCurrency", "EUR"),
        ("currencies", ["USDT"]),
        ("redirectUrl", "https://evil.example/"),
        ("initTokenType", "x"),
        ("unheardOf", None),
    ],
)
async def test_an_option_that_differs_is_named(platform: Platform, name: str, value: Any) -> None:
    page = await page_of(platform)
    said = refused(await page.open({name: value}), 400, "options_differ")
    assert said.startswith(f"{name}:")


async def test_an_init_token_lives_for_an_hour_and_a_session_for_a_day(platform: Platform) -> None:
    shop = await ramp_partner(platform)
    widget_id = shop.widget_id(SANDBOX)
    late, early = await page_of(platform, shop), await page_of(platform, shop)
    await advance(platform, widget_id, 3590)
    assert (await early.open()).status == 200
    before = datetime.fromisoformat((await early.state())["now"])
    await advance(platform, widget_id, 11)
    assert datetime.fromisoformat((await early.state())["now"]) >= before + timedelta(seconds=11)
    refused(await late.open(), 401, "init_token_expired")
    await advance(platform, widget_id, 24 * 3600 - 30)
    assert (await early.state())["status"] == "pending"
    await advance(platform, widget_id, 30)
    refused(await early.call("GET", "state"), 401, "invalid_token")
    refused(await early.call("POST", "cancel", {}), 401, "invalid_token")
    refused(await early.open(), 401, "init_token_expired")


async def test_a_session_belongs_to_its_environment_and_to_an_active_partner(
    platform: Platform,
) -> None:
    shop = await ramp_partner(platform)
    page = await page_of(platform, shop)
    await page.open()
    page.environment = PRODUCTION
    refused(await page.call("GET", "state"), 401, "invalid_token")
    page.environment = SANDBOX
    token, page.token = page.token, None
    refused(await page.call("GET", "state"), 401, "invalid_token")
    page.token = shop.token(SANDBOX)
    refused(await page.call("GET", "state"), 401, "invalid_token")
    page.token = token
    await suspend(platform.database, shop.partner)
    refused(await page.call("GET", "state"), 403, "partner_suspended")
    refused(await page.open(), 403, "partner_suspended")


async def test_production_without_a_provider_says_what_is_missing(platform: Platform) -> None:
    shop = await ramp_partner(platform, off_ramp=True)
    page = await page_of(platform, shop, environment=PRODUCTION)
    async with platform.database.transaction() as tx:
        actor = Actor("operator")
        await remove_account(tx, shop.partner.partner_id, PRODUCTION, actor)
    answer = await page.open()
    assert "proof provider add" in refused(answer, 502, "provider_error")
    assert answer.json["error"] == "upstream_error"
    # The token was not used up.
    assert "provider" in refused(await page.open(), 502, "provider_error")


@pytest.mark.parametrize(
    ("told", "seen", "differs"),
    [
        (None, BROWSER, None),
        (BROWSER, BROWSER, False),
        (f"::ffff:{BROWSER}", BROWSER, False),
        (CALLER, BROWSER, True),
        ("2001:db8::1", "2001:db8:0::1", False),
    ],
)
async def test_another_address_than_the_backend_told_is_noted_and_let_in(
    platform: Platform, told: str | None, seen: str, differs: bool | None
) -> None:
    page = await page_of(platform, client_ip=told)
    presented = {name: page.session[name] for name in PRESENTED}
    assert (await page.call("POST", "open", presented, address=seen)).status == 200
    rows = await platform.fetch(
        "SELECT client_ip_differs FROM ramp_sessions WHERE text(transaction_id) = $1",
        page.session["merchant_transaction_id"],
    )
    assert rows[0]["client_ip_differs"] is differs


async def test_a_user_identifies_and_pays(platform: Platform) -> None:
    page = await page_of(platform)
    await page.open()
    early = {"attempt_id": str(uuid4()), "method": "card"}
    refused(await page.call("POST", "pay", early), 409, "conflict")
    waiting = await page.act("kyc", document="id_card", liveness=True)
    assert (waiting["step"], waiting["kyc"]) == ("kyc", "pending")
    ready = await page.identified()
    assert (ready["step"], ready["kyc"]) == ("pay", "verified")
    euros = await page.act("quote", fiat_currency="EUR")
    assert euros["quote"]["fiat_currency"] == "EUR"
    assert (await page.state())["quote"]["rate"] == euros["quote"]["rate"]

    attempt = str(uuid4())
    body = {"attempt_id": attempt, "method": "card", "outcome": "challenge"}
    asked = await page.act("pay", **body)
    assert (asked["step"], asked["attempt"]) == (
        "challenge",
        {"id": attempt, "method": "card", "result": "challenge"},
    )
    assert (await page.act("pay", **body))["attempt"] == asked["attempt"]
    declined = await page.act("challenge", attempt_id=attempt, passed=False)
    assert (declined["step"], declined["attempt"]["result"]) == ("pay", "declined")
    again = {"attempt_id": str(uuid4()), "method": "apple_pay", "outcome": "success"}
    captured = await page.act("pay", **again)
    assert (captured["step"], captured["attempt"]["result"]) == ("processing", "captured")
    assert captured["status"] == "pending"


async def test_a_sell_shows_where_its_coins_go(platform: Platform) -> None:
    page = await page_of(platform, type="sell")
    assert (await page.open()).json["state"]["test_cards"] == []
    assert (await page.identified())["step"] == "deposit"
    shown = await page.act("deposit")
    deposit = shown["deposit"]
    assert deposit.keys() == {"address", "network", "amount", "expires_at", "id", "flow_id"}
    assert (deposit["amount"], deposit["network"], deposit["flow_id"]) == (
        "25.5",
        "TRC20",
        "payout",
    )
    assert deposit["id"] == page.session["merchant_transaction_id"]
    assert shown["address"] == WALLET
    assert (await page.act("deposit"))["deposit"] == deposit


@pytest.mark.parametrize("kind", ["buy", "sell"])
async def test_what_a_user_cancels_is_over_and_unpaid_before_the_record_says_so(
    platform: Platform, kind: str
) -> None:
    page = await page_of(platform, type=kind)
    await page.open()
    over = await page.act("cancel")
    told = {name: over[name] for name in ("status", "step", "end", "paid")}
    assert told == {"status": "pending", "step": "done", "end": "cancelled", "paid": False}


async def test_what_comes_after_the_end_changes_nothing(platform: Platform) -> None:
    page = await page_of(platform)
    await page.open()
    await page.identified()
    await platform.fetch(
        "UPDATE ramp_transactions SET status = 'cancelled' WHERE text(id) = $1",
        page.session["merchant_transaction_id"],
    )
    over = await page.state()
    assert (over["step"], over["status"]) == ("done", "cancelled")
    body = {"attempt_id": str(uuid4()), "method": "card", "outcome": "success"}
    assert (await page.act("pay", **body))["attempt"]["result"] == "none"
    for path in ("deposit", "cancel"):
        assert (await page.act(path))["step"] == "done"
    assert (await page.act("quote", fiat_currency="EUR"))["step"] == "done"
    # The tab that has it may look at the end of it.
    assert (await page.open()).json["state"]["step"] == "done"


async def test_a_finished_transaction_is_not_opened(platform: Platform) -> None:
    page = await page_of(platform)
    await platform.fetch(
        "UPDATE ramp_transactions SET status = 'failed' WHERE text(id) = $1",
        page.session["merchant_transaction_id"],
    )
    refused(await page.open(), 401, "init_token_expired")


ATTEMPT = str(uuid4())
WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("open", {}, "widget_id"),
    ("open", {"widget_id": 1}, "widget_id"),
    ("quote", {}, "fiat_currency"),
    ("quote", {"fiat_currency": "XXX"}, "fiat_currency"),
    ("kyc", {"document": "passport"}, "liveness"),
    ("kyc", {"document": "passport", "liveness": False}, "liveness"),
    ("kyc", {"document": "library card", "liveness": True}, "document"),
    ("pay", {"attempt_id": "x", "method": "card"}, "attempt_id"),
    ("pay", {"attempt_id": ATTEMPT, "method": "cash"}, "method"),
    ("pay", {"attempt_id": ATTEMPT, "method": "card", "outcome": "x"}, "outcome"),
    ("pay", {"attempt_id": ATTEMPT, "method": "card", "outcome": "x" * 65}, "outcome"),
    ("pay", {"attempt_id": ATTEMPT, "method": "card", "card": CARD}, "card"),
    ("challenge", {"attempt_id": ATTEMPT, "passed": "yes"}, "passed"),
    ("cancel", {"x": 1}, "x"),
    ("deposit", {"x": 1}, "x"),
]


@pytest.mark.parametrize(("path", "body", "field"), WRONG)
async def test_a_wrong_field_is_named(
    platform: Platform, path: str, body: dict[str, Any], field: str
) -> None:
    page = await page_of(platform)
    await page.open()
    answer = await page.call("POST", path, body)
    assert (answer.status, answer.json["error"]) == (400, "invalid_request")
    assert field in answer.json["message"]


async def test_what_is_no_request_is_refused_in_the_same_form(platform: Platform) -> None:
    page = await page_of(platform)
    refused(await page.call("POST", "open", b"\xff"), 400, "decode_error")
    refused(await page.call("POST", "open", b"x" * 20_000), 413, "body_too_large")
    refused(await page.call("DELETE", "open"), 405, "method_not_allowed")
    refused(await page.call("POST", "state"), 405, "method_not_allowed")
