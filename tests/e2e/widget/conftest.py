"""A browser, the hosted page of a real Proof, what goes wrong between the two, and a partner's page that
frames it."""

import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    FrameLocator,
    Page,
    Route,
    ViewportSize,
    expect,
    sync_playwright,
)
from starlette.requests import Request
from tests.support.sites import http_served, site
from tests.support.tools.chromium import ARGUMENTS, chromium, library_path
from tests.support.widgets import SANDBOX, WidgetPartner, WidgetServer, widget_served

from proof.db.embedded import EmbeddedCluster

PHONE: ViewportSize = {"width": 390, "height": 844}
DESKTOP: ViewportSize = {"width": 1280, "height": 860}
# What turns while somebody waits is drawn sixty times a second; on a desktop it turns.
ON_A_PHONE: dict[str, Any] = {"viewport": PHONE, "locale": "en-GB", "reduced_motion": "reduce"}
Tab = Callable[..., Page]
_CALLBACKS = (
    "onLoad",
    "onReady",
    "onStatusChange",
    "onPaymentFinished",
    "onSellTransferEnabled",
    "onError",
    "onClose",
)
_PATIENCE_MS = 60_000

expect.set_options(timeout=_PATIENCE_MS)

_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>A shop</title>
<button id="buy">Buy</button><div id="host"></div>
<script src="{base}/widget.2.0.js"></script>
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
    """What a partner's page makes of the session answer."""
    return {camel(name): value for name, value in answer.items()} | {"host": "#host"} | changes


@dataclass
class Shop:
    """A partner's page at an origin of its own."""

    url: str
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


@dataclass
class Line:
    """What is between the page and its server: it records every call, and loses, delays or doubles some.

    `faults` maps a call's name to what happens to its next ones, one entry each: "lost" (it never reaches
    the server), "unanswered" (done, but the answer is lost), "doubled" (it reaches the server twice), or a
    status that a machine between the two answers instead of it. "held" calls wait for `release`.
    """

    sent: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    faults: dict[str, list[str | int]] = field(default_factory=lambda: defaultdict(list))
    held: list[Route] = field(default_factory=list)

    def names(self) -> list[str]:
        return [name for name, _ in self.sent]

    def bodies(self, wanted: str) -> list[dict[str, Any]]:
        """What was sent with the calls of that name."""
        return [body for name, body in self.sent if name == wanted]

    def release(self) -> None:
        while self.held:
            self.held.pop(0).continue_()

    def pass_on(self, route: Route) -> None:
        request = route.request
        name = request.url.rpartition("/")[2]
        self.sent.append((name, request.post_data_json or {}))
        waiting = self.faults[name]
        match waiting.pop(0) if waiting else None:
            case None:
                route.continue_()
            case "lost":
                route.abort()
            case "unanswered":
                route.fetch()
                route.abort()
            case "doubled":
                route.fetch()
                route.continue_()
            case "held":
                self.held.append(route)
            case status:
                route.fulfill(status=int(status), body="<h1>Bad Gateway</h1>")


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
        polling=100,
    )
    return calls(page, name)


def hurry(page: Page) -> None:
    """The page's pauses pass in a tenth of their time."""
    page.add_init_script(
        "const wait = setTimeout;"
        " window.setTimeout = (act, pause, ...values) => wait(act, pause / 10, ...values);"
    )


def redirect_url(server: WidgetServer, answer: dict[str, Any], **changes: Any) -> str:
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
    base = server.base_url(changes.pop("environment", SANDBOX))
    return f"{base}/w/{answer['widget_id']}#{quote(json.dumps(handed))}"


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
def line() -> Line:
    return Line()


@pytest.fixture(scope="module")
def tab(browser: Browser) -> Iterator[Tab]:
    """Opens tabs. Those of the same options share a profile, and with it the cache: a page that is loaded
    anew takes a third more. What a tab stores is its own."""
    with ExitStack() as profiles:
        known: dict[str, BrowserContext] = {}

        def opened(**options: Any) -> Page:
            name = repr(sorted(options.items()))
            if name not in known:
                known[name] = profiles.enter_context(browser.new_context(**options))
                known[name].set_default_timeout(_PATIENCE_MS)
            return known[name].new_page()

        yield opened


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A profile for one test only, for what a tab has not by itself: rights, a clock, an empty cache."""
    opened = browser.new_context(**ON_A_PHONE)
    opened.set_default_timeout(_PATIENCE_MS)
    yield opened
    opened.close()


@pytest.fixture
def page(request: pytest.FixtureRequest, tab: Tab) -> Iterator[Page]:
    """A tab on a phone, of the test's own `context` if it asks for that. The line is between only where a
    test asks for it: it makes a page half as dear again, because every request of the browser's goes
    through Playwright and none is answered from the cache."""
    names = request.fixturenames
    own: BrowserContext | None = request.getfixturevalue("context") if "context" in names else None
    opened = tab(**ON_A_PHONE) if own is None else own.new_page()
    if "line" in names:
        opened.route("**/w/api/*", request.getfixturevalue("line").pass_on)
    yield opened
    opened.unroute_all(behavior="ignoreErrors")
    opened.close()


@pytest.fixture(scope="module")
def server(
    cluster: EmbeddedCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WidgetServer]:
    """Started before the browser: a loop of this thread's copies its database."""
    with widget_served(cluster, tmp_path_factory.mktemp("widget")) as found:
        yield found


@pytest.fixture(scope="module")
def _site(server: WidgetServer) -> Iterator[Shop]:
    shop = Shop("")

    async def written(_request: Request) -> str:
        return _PAGE.format(
            base=server.base_url(),
            options=json.dumps(shop.options),
            callbacks=json.dumps(_CALLBACKS),
        )

    with http_served(site(written)) as url:
        shop.url = url
        yield shop


@pytest.fixture
def shop(_site: Shop) -> Shop:
    """The page of the partner's; it may frame the widget."""
    _site.said.clear()
    return _site


@pytest.fixture(scope="module")
def partner(server: WidgetServer, _site: Shop) -> WidgetPartner:
    """A partner for the tests of a module, each with sessions and users of its own."""
    return server.partner(widget_origins=(_site.url,))
