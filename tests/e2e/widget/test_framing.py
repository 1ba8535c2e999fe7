"""The border between the partner's page and ours: who may frame, who is heard, what is kept secret."""

import json
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Request, expect
from starlette.requests import Request as Asked
from tests.e2e.widget.conftest import Shop, heard, redirect_url, run_options
from tests.support.widget_api import WidgetApi, http_served, partner_site

_FIRST_PAINT_BYTES = 60_000


@pytest.fixture
def requests(page: Page) -> list[Request]:
    found: list[Request] = []

    def keep(request: Request) -> None:
        found.append(request)

    page.on("request", keep)
    return found


def test_no_address_but_a_fragment_holds_a_secret(
    page: Page, shop: Shop, api: WidgetApi, requests: list[Request]
) -> None:
    answer = api.create()
    frame = shop.visit(page, run_options(answer))
    expect(frame.get_by_role("heading", name="Payment")).to_be_visible()
    session = api.sessions[answer["merchant_transaction_id"]]
    for request in requests:
        sent = urlsplit(request.url)
        assert not sent.query
        for secret in (answer["init_token"], session.token, answer["signature"], answer["address"]):
            assert secret not in sent.path
        assert request.headers.get("referer", "") in {"", f"{shop.url}/"}


def test_the_first_paint_is_small_and_asks_nobody_else(
    page: Page, api: WidgetApi, requests: list[Request]
) -> None:
    page.goto(redirect_url(api, api.create()))
    expect(page.get_by_role("heading", name="Payment")).to_be_visible()
    assert {urlsplit(one.url).netloc for one in requests} == {urlsplit(api.base).netloc}
    sizes = [one.sizes() for one in requests]
    total = sum(one["responseBodySize"] + one["responseHeadersSize"] for one in sizes)
    assert 0 < total < _FIRST_PAINT_BYTES, total


def test_the_page_breaks_no_rule_of_its_own(page: Page, api: WidgetApi) -> None:
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.goto(redirect_url(api, api.create(kyc="not_started")))
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("button", name="Start the check").click()
    expect(page.get_by_role("heading", name="Checking your identity")).to_be_visible()
    assert said == []


@pytest.mark.parametrize("allowed", [(), ("https://other.example",)])
def test_a_site_that_may_not_frame_it_gets_the_whole_window(
    page: Page, shop: Shop, api: WidgetApi, allowed: tuple[str, ...]
) -> None:
    api.origins = allowed
    page.clock.install()
    shop.visit(page, run_options(api.create()))
    page.wait_for_timeout(500)
    page.clock.run_for(5_000)
    page.wait_for_url(f"{api.base}/sandbox/w/**")
    expect(page.get_by_role("heading", name="Payment")).to_be_visible()


def test_redirect_mode_opens_the_whole_window_at_once(
    page: Page, shop: Shop, api: WidgetApi
) -> None:
    api.origins = ()
    shop.visit(page, run_options(api.create(), mode="redirect", host=None))
    page.wait_for_url(f"{api.base}/sandbox/w/**")
    expect(page.get_by_role("heading", name="Payment")).to_be_visible()


def test_a_frame_that_may_not_store_gets_the_whole_window(
    page: Page, shop: Shop, api: WidgetApi
) -> None:
    page.add_init_script(
        "if (parent !== window) Object.defineProperty(window, 'sessionStorage',"
        " { get() { throw new DOMException('blocked', 'SecurityError'); } })"
    )
    answer = api.create()
    shop.visit(page, run_options(answer))
    page.wait_for_url(f"{api.base}/sandbox/w/**")
    expect(page.get_by_role("heading", name="Payment")).to_be_visible()


@pytest.fixture
def stranger(api: WidgetApi) -> Iterator[str]:
    async def page(_request: Asked) -> str:
        return "<!doctype html><title>Elsewhere</title><p>Nothing to see"

    with http_served(partner_site(page)) as url:
        yield url


def test_messages_of_anybody_else_are_not_heard(
    page: Page, shop: Shop, api: WidgetApi, stranger: str
) -> None:
    frame = shop.visit(page, run_options(api.create()))
    expect(frame.get_by_role("heading", name="Payment")).to_be_visible()
    before = page.evaluate("calls.length")
    forged = {
        "channel": "proof.widget",
        "version": 1,
        "type": "status",
        "data": {"status": "completed"},
    }
    page.evaluate(
        """async ([url, forged]) => {
          postMessage(forged, "*");
          const other = document.createElement("iframe");
          other.src = url;
          document.body.append(other);
          await new Promise((resolve) => { other.onload = resolve; });
        }""",
        [stranger, forged],
    )
    other = next(one for one in page.frames if one.url.startswith(stranger))
    other.evaluate("forged => parent.postMessage(forged, '*')", forged)
    framed = next(one for one in page.frames if "/w/" in one.url)
    framed.evaluate(
        "forged => parent.postMessage({ ...forged, version: 2 }, '*')",
        forged,
    )
    framed.evaluate("forged => parent.postMessage({ ...forged, type: 'toString' }, '*')", forged)
    page.evaluate("new Promise((resolve) => setTimeout(resolve, 100))")
    assert page.evaluate("calls.length") == before


def test_the_page_tells_nothing_to_a_site_that_is_not_on_the_list(
    page: Page, shop: Shop, api: WidgetApi, stranger: str
) -> None:
    answer = api.create()
    handed = redirect_url(api, answer, origin=stranger, mode="frame")
    page.goto(shop.url)
    page.evaluate(
        """url => {
          window.heard = [];
          addEventListener("message", (event) => heard.push(event.data));
          const frame = document.createElement("iframe");
          frame.src = url;
          document.body.append(frame);
        }""",
        handed,
    )
    frame = page.frame_locator("iframe")
    expect(frame.get_by_role("heading", name="This site may not show")).to_be_visible()
    assert page.evaluate("heard") == []
    assert api.bodies == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"initToken": None}, "initToken is missing"),
        ({"widgetId": 7}, "widgetId must be a text"),
        ({"mode": "popup"}, 'mode must be "frame" or "redirect"'),
        ({"onReady": None, "initTokenType": "x"}, "initTokenType must be"),
        ({"redirect_url": "https://x.example"}, "redirect_url is not an option; write redirectUrl"),
    ],
)
def test_wrong_options_are_named_in_the_console_and_in_place(
    page: Page, shop: Shop, api: WidgetApi, change: dict[str, object], said: str
) -> None:
    shop.visit(page, run_options(api.create()) | change)
    expect(page.locator("#host").get_by_role("alert")).to_contain_text(said)
    assert any(said in line for line in shop.said)
    page.evaluate("handle.close()")
    expect(page.locator("#host")).to_be_empty()


def test_a_host_that_is_not_there_is_named_in_the_console(
    page: Page, shop: Shop, api: WidgetApi
) -> None:
    shop.visit(page, run_options(api.create(), host="#nowhere"))
    page.wait_for_function("window.handle")
    assert any("host must be an element" in line for line in shop.said)


def test_close_takes_the_frame_away_and_gives_the_focus_back(
    page: Page, shop: Shop, api: WidgetApi
) -> None:
    page.goto(shop.url)
    frame = shop.visit(page, run_options(api.create()))
    expect(frame.get_by_role("heading", name="Payment", exact=True)).to_be_focused()
    assert len(heard(page, "onReady")) == 1
    page.evaluate("handle.close()")
    expect(page.locator("iframe")).to_have_count(0)
    expect(page.locator("#buy")).to_be_focused()


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("used", "This payment was opened before"),
        ("expired", "This payment link has expired"),
        ("signature", "This payment cannot be trusted"),
        ("options", "This payment does not match the shop"),
        ("unknown", "This payment session is over"),
        ("fragment", "There is no payment here"),
    ],
)
def test_a_session_that_cannot_be_opened_says_why(
    browser: Browser, api: WidgetApi, fault: str, said: str
) -> None:
    answer = api.create()
    session = api.sessions[answer["merchant_transaction_id"]]
    session.opened, session.expired = fault == "used", fault == "expired"
    changes: dict[str, dict[str, object]] = {
        "signature": {"signature": "v2:00"},
        "options": {"options": {"amount": "99"}},
        "unknown": {"init_token": "x"},
    }
    url = redirect_url(api, answer, **changes.get(fault, {}))
    page = browser.new_page()
    page.goto(url.partition("#")[0] if fault == "fragment" else url)
    expect(page.get_by_role("heading", level=1)).to_contain_text(said)
    page.close()


def test_a_session_that_ends_while_the_page_is_open_says_so(page: Page, api: WidgetApi) -> None:
    answer = api.create()
    page.goto(redirect_url(api, answer))
    expect(page.get_by_role("heading", name="Payment")).to_be_visible()
    api.sessions[answer["merchant_transaction_id"]].expired = True
    expect(page.get_by_role("heading", name="This payment session is over")).to_be_visible()


def test_another_provider_takes_over_with_its_parameters(page: Page, api: WidgetApi) -> None:
    api.provider = "mercuryo"
    script = "https://widget.mercuryo.io/embed.2.1.js"
    page.route(
        script,
        lambda route: route.fulfill(
            content_type="text/javascript",
            body="""window.mercuryoWidget = { run(options) {
                const { host, ...rest } = options;
                host.textContent = JSON.stringify(rest);
            } };""",
        ),
    )
    parameters = {"widgetId": "w", "merchantTransactionId": "m", "fixAmount": True}
    handover = {"script": script, "parameters": parameters}
    answer = api.create(step="handover", provider="mercuryo", handover=handover, quote=None)
    page.goto(redirect_url(api, answer))
    shown = page.locator(".handover")
    expect(shown).to_contain_text("merchantTransactionId")
    assert json.loads(shown.inner_text()) == parameters
    page.reload()
    expect(shown).to_contain_text("merchantTransactionId")
