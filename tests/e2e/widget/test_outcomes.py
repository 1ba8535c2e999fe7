"""The whole of it: a real Proof, the sample shop, a browser. Widget, polling and webhook end up agreeing."""

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
from urllib.request import urlopen

import pytest
from playwright.sync_api import Browser, FrameLocator, Page, expect
from tests.e2e.widget.conftest import PHONE
from tests.support.served import served

from proof.ramp.providers.sandbox.outcomes import OUTCOMES, Name

_SHOP = Path(__file__).resolve().parents[3] / "examples" / "shop" / "shop.py"
_CARDS = {one.name: one.card for one in OUTCOMES}
_SETTLED_S = 20.0
_SHOWN_MS = 15_000


@dataclass(frozen=True)
class Market:
    """A running shop: its URL and what it knows."""

    url: str

    def order(self, transaction: str) -> dict[str, Any]:
        with urlopen(f"{self.url}/orders/{transaction}") as reply:
            found: dict[str, Any] = json.load(reply)
        return found

    def settled(self, transaction: str, status: str) -> dict[str, Any]:
        """The order once polling and webhooks both say that status."""
        deadline = time.monotonic() + _SETTLED_S
        while True:
            found = self.order(transaction)
            if found["polled"] == status and status in found["webhooks"]:
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
        yield Market(url)
        shop.shutdown()
        thread.join()


@pytest.fixture
def phone(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport=PHONE, locale="en-GB")  # type: ignore[arg-type]
    context.set_default_timeout(_SHOWN_MS)
    yield context.new_page()
    context.close()


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
    phone: Page, market: Market
) -> None:
    frame = begun(phone, market, "Buy", "first@example.com")
    expect_heading(frame, "Confirm your identity")
    identify(frame)
    expect_heading(frame, "Payment")
    use_card(frame, Name.CHALLENGE)
    expect_heading(frame, "Confirm with your bank")
    frame.get_by_role("button", name="Confirm payment").click()
    expect_heading(frame, "Payment complete")
    transaction = phone.locator("#id").inner_text()
    assert market.settled(transaction, "completed")["webhooks"] == ["processing", "completed"]
    expect(phone.locator("#widget")).to_have_text("completed")
    frame = begun(phone, market, "Buy", "first@example.com")
    expect_heading(frame, "Payment")
