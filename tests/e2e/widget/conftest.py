"""A browser, the hosted page with a stand-in behind it, and a partner's page that frames it."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    FrameLocator,
    Page,
    ViewportSize,
    expect,
    sync_playwright,
)
from starlette.requests import Request
from tests.support.tools.chromium import ARGUMENTS, chromium, library_path
from tests.support.widget_api import WIDGET_ID, WidgetApi, http_served, partner_site, widget_served

PHONE: ViewportSize = {"width": 390, "height": 844}
DESKTOP: ViewportSize = {"width": 1280, "height": 860}
_CALLBACKS = ("onLoad", "onReady", "onStatusChange", "onPaymentFinished", "onSellTransferEnabled")
_PATIENCE_MS = 60_000

expect.set_options(timeout=_PATIENCE_MS)

_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>A shop</title>
<button id="buy">Buy</button><div id="host"></div>
<script src="{base}/sandbox/widget.2.0.js"></script>
<script>
window.calls = [];
window.options = {options};
for (const name of {callbacks}) options[name] = (...values) => calls.push([name, ...values]);
document.getElementById("buy").onclick = () => {{ window.handle = proofWidget.run(options); }};
</script></html>"""


def camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.title() for part in rest)


def run_options(answer: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """What a shop makes of the session answer."""
    return {camel(name): value for name, value in answer.items()} | {"host": "#host"} | changes


@dataclass
class Shop:
    """A partner's page at an origin of its own."""

    url: str
    api: WidgetApi
    options: dict[str, Any] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)

    def visit(self, page: Page, options: dict[str, Any]) -> FrameLocator:
        """Open the page, press its button, and give the frame."""
        self.options = options
        page.on("console", self._hear)
        page.goto(self.url)
        page.click("#buy")
        return page.frame_locator("iframe")

    def _hear(self, message: ConsoleMessage) -> None:
        self.said.append(message.text)


def calls(page: Page, name: str) -> list[Any]:
    """What a callback was called with, so far."""
    found = page.evaluate(
        "name => calls.filter(call => call[0] === name).map(call => call[1])", name
    )
    assert isinstance(found, list)
    return found


def heard(page: Page, name: str, times: int = 1) -> list[Any]:
    """What a callback was called with, once it was called so often: the partner's page hears of a thing a
    moment after the frame shows it."""
    page.wait_for_function(
        "([name, times]) => calls.filter(call => call[0] === name).length >= times",
        arg=[name, times],
    )
    return calls(page, name)


def stop_the_clock(page: Page) -> None:
    """The page's time passes only by `page.clock.run_for`."""
    page.clock.install()
    page.clock.pause_at(datetime.now(UTC) + timedelta(seconds=1))


def redirect_url(api: WidgetApi, answer: dict[str, Any], **changes: Any) -> str:
    """Where the loader sends a browser in redirect mode."""
    handed = {
        "version": 1,
        "init_token": answer["init_token"],
        "merchant_transaction_id": answer["merchant_transaction_id"],
        "signature": answer["signature"],
        "options": {"lang": answer["lang"], "theme": answer["theme"]},
        "origin": "https://shop.example",
        "mode": "redirect",
    } | changes
    return f"{api.base}/sandbox/w/{WIDGET_ID}#{quote(json.dumps(handed))}"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Closed after each module: while it is open, no other event loop runs in this thread."""
    binary = chromium()
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=str(binary), args=list(ARGUMENTS), env={**os.environ, **library_path()}
        )
        yield opened
        opened.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    opened = browser.new_context(viewport=PHONE, locale="en-GB")
    opened.set_default_timeout(_PATIENCE_MS)
    yield opened
    opened.close()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()


@pytest.fixture(scope="module")
def _served() -> Iterator[tuple[WidgetApi, Shop]]:
    with widget_served() as api:
        shop = Shop("", api)

        async def written(_request: Request) -> str:
            return _PAGE.format(
                base=api.base, options=json.dumps(shop.options), callbacks=json.dumps(_CALLBACKS)
            )

        with http_served(partner_site(written)) as url:
            shop.url = url
            yield api, shop


@pytest.fixture
def api(_served: tuple[WidgetApi, Shop]) -> WidgetApi:
    """Without anything of an earlier test; the shop may frame the page."""
    found, shop = _served
    found.sessions.clear()
    found.bodies.clear()
    found.faults.clear()
    found.origins, found.provider, found.ahead = (shop.url,), None, timedelta()
    return found


@pytest.fixture
def shop(api: WidgetApi, _served: tuple[WidgetApi, Shop]) -> Shop:
    found = _served[1]
    found.said.clear()
    return found
