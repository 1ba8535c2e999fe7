"""A real Proof, the sample shop and a browser: widget, polling and webhook end up agreeing."""

import importlib.util
import json
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.request import Request, urlopen

import pytest
from playwright.sync_api import FrameLocator, Page, expect
from tests.e2e.widget.conftest import DESKTOP, PHONE, Tab
from tests.support.served import served
from tests.support.widget_truth import record, require_truth

from proof.ramp.providers.outcomes import OUTCOMES, Name

_SHOP = Path(__file__).resolve().parents[3] / "examples" / "shop" / "shop.py"
_CARDS = {item.name: item.card for item in OUTCOMES}
_SETTLED_S = 120.0
_SHOWN_MS = 60_000
_MINUTES_S = 700
_WINDOW_S = 6 * 3600
# A page is open for a day; what is still to come after so long needs no more of it, only the machine.
_SESSION_S = 17 * 3600


@dataclass(frozen=True)
class Market:
    """A running shop, and the sandbox behind it."""

    url: str
    sandbox: dict[str, Any]

    def later(self, seconds: int) -> None:
        """Let the sandbox's time pass."""
        headers = {
            "authorization": f"Bearer {self.sandbox['client_token']}",
            "content-type": "application/json",
        }
        body = json.dumps({"seconds": seconds}).encode()
        urlopen(Request(f"{self.sandbox['base_url']}/clock/advance", body, headers)).close()

    def order(self, transaction: str) -> dict[str, Any]:
        with urlopen(f"{self.url}/orders/{transaction}") as reply:
            found: dict[str, Any] = json.load(reply)
        return found

    def settled(self, transaction: str, status: str) -> dict[str, Any]:
        """The order once polling and webhooks both say that status."""
        deadline = time.monotonic() + _SETTLED_S
        while True:
            found = self.order(transaction)
            if found["polled"] == found["status"] == status:
                return found
            assert time.monotonic() < deadline, found
            time.sleep(0.1)


def _shop() -> ModuleType:
    specification = importlib.util.spec_from_file_location("sample_shop", _SHOP)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def market() -> Iterator[Market]:
    module = _shop()
    settings = {"PROOF_PROCESSES": "1", "PROOF_UNSAFE_OUTBOUND_NETWORKS": "127.0.0.0/8"}
    shop = module.Shop(("127.0.0.1", 0), module.Proof("http://unused.invalid", ""), "")
    url = f"http://127.0.0.1:{shop.server_port}"
    with shop, served(settings) as server:
        partner = server.add_partner(
            sandbox_ip="127.0.0.1",
            widget_origin=url,
            off_ramp=True,
            sandbox_webhook=f"{url}/webhook",
        )
        sandbox = partner["sandbox"]
        shop.proof = module.Proof(sandbox["base_url"], sandbox["client_token"])
        shop.webhook_secret = sandbox["webhook_secret"]
        thread = threading.Thread(target=shop.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield Market(url, sandbox)
        shop.shutdown()
        thread.join()


@pytest.fixture
def page(tab: Tab, request: pytest.FixtureRequest) -> Iterator[Page]:
    """On a phone, or as wide as the test's parameter says."""
    size = getattr(request, "param", PHONE)
    opened = tab(viewport=size, locale="en-GB")
    record(opened)
    yield opened
    opened.close()


def begun(page: Page, market: Market, offer: str, email: str) -> FrameLocator:
    page.goto(market.url)
    page.get_by_label("Your e-mail").fill(email)
    page.get_by_role("button", name=offer).click()
    return page.frame_locator("iframe")


def identify(frame: FrameLocator) -> None:
    frame.get_by_role("button", name="Continue").click()
    frame.get_by_role("button", name="Start the check").click()


def use_card(frame: FrameLocator, outcome: Name) -> None:
    digits = _CARDS[outcome]
    frame.locator("summary").click()
    frame.get_by_role("button", name=digits).click()
    frame.get_by_role("button", name=re.compile("^Pay ")).click()


def expect_heading(frame: FrameLocator, text: str) -> None:
    expect(frame.get_by_role("heading", level=1, name=text)).to_be_visible(timeout=_SHOWN_MS)


def test_a_new_user_is_identified_pays_with_a_challenge_and_gets_the_coins(
    page: Page, market: Market
) -> None:
    frame = begun(page, market, "Buy", "first@example.com")
    expect_heading(frame, "Confirm your identity")
    identify(frame)
    expect_heading(frame, "Payment")
    use_card(frame, Name.CHALLENGE)
    expect_heading(frame, "Confirm with your bank")
    frame.get_by_role("button", name="Confirm payment").click()
    expect_heading(frame, "Payment complete")
    assert claimed(page) <= {"asks", "paid", "complete"}
    transaction = page.locator("#id").inner_text()
    assert market.settled(transaction, "completed")["webhooks"] == ["processing", "completed"]
    expect(page.locator("#widget")).to_have_text("completed")
    frame = begun(page, market, "Buy", "first@example.com")
    expect_heading(frame, "Payment")


def identified(market: Market, frame: FrameLocator, then: str) -> None:
    """A user up to what comes after the identity, which is asked for once."""
    heading = frame.get_by_role("heading", level=1)
    expect(heading).to_be_visible(timeout=_SHOWN_MS)
    if heading.inner_text() == then:
        return
    expect_heading(frame, "Confirm your identity")
    identify(frame)
    expect_heading(frame, "Checking your identity")
    market.later(_MINUTES_S)
    expect_heading(frame, then)


def agreed(page: Page, market: Market, status: str) -> None:
    """Widget, polling and webhook say the same, however long it takes in the sandbox."""
    transaction, deadline = page.locator("#id").inner_text(), time.monotonic() + _SETTLED_S
    left = _SESSION_S // _MINUTES_S
    while page.locator("#widget").inner_text() != status:
        assert time.monotonic() < deadline, page.locator("#widget").inner_text()
        if left:
            left -= 1
            market.later(_MINUTES_S)
        page.wait_for_timeout(400)
    assert set(market.settled(transaction, status)["webhooks"]) <= {"processing", status}


def claimed(page: Page) -> set[str]:
    """What the page claimed in any of its frames, each of which was true."""
    return set().union(*require_truth(page))


def alternating(cases: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return [((PHONE, DESKTOP)[position % 2], *case) for position, case in enumerate(cases)]


@pytest.mark.parametrize(
    ("page", "outcome", "status", "heading"),
    alternating(
        [
            (Name.SUCCESS, "completed", "Payment complete"),
            (Name.DELIVERY_FAILED, "processing", "The delivery is delayed"),
            (Name.USER_CANCELS, "cancelled", "Payment cancelled"),
            (Name.CALLBACK_LOST, "completed", "Payment complete"),
            (Name.CALLBACK_TWICE, "completed", "Payment complete"),
            (Name.CALLBACK_LATE, "completed", "Payment complete"),
            (Name.CALLBACKS_OUT_OF_ORDER, "completed", "Payment complete"),
        ]
    ),
    indirect=["page"],
)
def test_a_purchase_ends_as_its_card_says(
    page: Page, market: Market, outcome: Name, status: str, heading: str
) -> None:
    frame = begun(page, market, "Buy", "regular@example.com")
    identified(market, frame, "Payment")
    use_card(frame, outcome)
    agreed(page, market, status)
    expect_heading(frame, heading)
    allowed = {
        "completed": {"paid", "complete"},
        "processing": {"paid", "delayed"},
        "cancelled": {"cancelled", "free"},
    }
    assert claimed(page) <= {"asks"} | allowed[status]


def test_declined_once_then_paid(page: Page, market: Market) -> None:
    frame = begun(page, market, "Buy", "regular@example.com")
    identified(market, frame, "Payment")
    use_card(frame, Name.DECLINED_THEN_SUCCESS)
    expect(frame.get_by_text("The payment was declined")).to_be_visible()
    use_card(frame, Name.SUCCESS)
    agreed(page, market, "completed")
    assert claimed(page) == {"asks", "free", "paid", "complete"}


def test_declined_until_the_provider_closes_the_purchase(page: Page, market: Market) -> None:
    frame = begun(page, market, "Buy", "regular@example.com")
    identified(market, frame, "Payment")
    for tried in range(3):
        use_card(frame, Name.DECLINED)
        if tried < 2:
            expect(frame.get_by_text("The payment was declined")).to_be_visible()
    agreed(page, market, "failed")
    expect_heading(frame, "Payment failed")
    assert claimed(page) == {"asks", "free", "failed"}


@pytest.mark.parametrize("offer", ["Buy", "Sell"])
def test_an_identity_that_is_not_accepted_ends_it(page: Page, market: Market, offer: str) -> None:
    frame = begun(page, market, offer, f"{offer}+kyc_failed@example.com")
    expect_heading(frame, "Confirm your identity")
    identify(frame)
    agreed(page, market, "failed")
    expect_heading(frame, "Identity not confirmed")
    assert claimed(page) == {"free", "failed"}


def test_an_identity_that_takes_long_is_waited_for(page: Page, market: Market) -> None:
    frame = begun(page, market, "Buy", "slow+kyc_slow@example.com")
    identified(market, frame, "Payment")
    use_card(frame, Name.SUCCESS)
    agreed(page, market, "completed")


@pytest.mark.parametrize(
    ("page", "outcome", "status", "heading"),
    alternating(
        [
            (Name.SUCCESS, "completed", "Sale complete"),
            (Name.DELIVERY_FAILED, "failed", "Payout failed"),
            (Name.USER_CANCELS, "cancelled", "Sale cancelled"),
            (Name.DEPOSIT_NEVER_ARRIVES, "failed", "Sale failed"),
            (Name.CALLBACK_LOST, "completed", "Sale complete"),
            (Name.CALLBACK_TWICE, "completed", "Sale complete"),
            (Name.CALLBACK_LATE, "completed", "Sale complete"),
            (Name.CALLBACKS_OUT_OF_ORDER, "completed", "Sale complete"),
        ]
    ),
    indirect=["page"],
)
def test_a_sale_ends_as_the_users_address_says(
    page: Page, market: Market, outcome: Name, status: str, heading: str
) -> None:
    frame = begun(page, market, "Sell", f"seller+{outcome}@example.com")
    identified(market, frame, "Get ready to send")
    frame.get_by_role("button", name="Show deposit address").click()
    expect(page.locator("#widget")).to_have_text(re.compile(r"\w+"))
    if outcome is Name.DEPOSIT_NEVER_ARRIVES:
        expect(frame.get_by_role("timer")).to_be_visible()
        market.later(_WINDOW_S)
    agreed(page, market, status)
    expect_heading(frame, heading)
    allowed = {
        "completed": {"paid", "complete"},
        "failed": {"failed", "paid"} if outcome is Name.DELIVERY_FAILED else {"failed"},
        "cancelled": {"cancelled"},
    }
    assert claimed(page) <= {"asks"} | allowed[status]
