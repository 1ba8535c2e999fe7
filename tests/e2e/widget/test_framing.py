"""The border between the partner's page and ours: who may frame, who is heard, what is kept secret."""

import json
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, Request, Route, expect
from starlette.requests import Request as Asked
from tests.e2e.widget.conftest import (
    Line,
    Shop,
    Tab,
    calls,
    heard,
    hurry,
    redirect_url,
    run_options,
)
from tests.e2e.widget.driving import heading, identify, tab_call
from tests.support.mercuryo import PARTNER_TOKEN, SECRET, SIGN_KEY, Mercuryo
from tests.support.sites import http_served, site
from tests.support.widget_truth import hosted
from tests.support.widgets import PRODUCTION, WidgetPartner, WidgetServer

_FIRST_PAINT_BYTES = 60_000


@pytest.fixture
def requests(page: Page) -> list[Request]:
    found: list[Request] = []

    def keep(request: Request) -> None:
        found.append(request)

    page.on("request", keep)
    return found


def test_no_address_but_a_fragment_holds_a_secret(
    page: Page, shop: Shop, server: WidgetServer, partner: WidgetPartner, requests: list[Request]
) -> None:
    answer = partner.open()
    frame = shop.visit(page, run_options(answer))
    expect(frame.get_by_role("heading", name="Payment")).to_be_visible()
    token = hosted(page).evaluate("JSON.parse(Object.values(sessionStorage)[0]).token")
    for request in requests:
        sent = urlsplit(request.url)
        assert not sent.query
        for secret in (answer["init_token"], token, answer["signature"], answer["address"]):
            assert secret not in sent.path
        assert request.headers.get("referer", "") in {"", f"{shop.url}/"}


@pytest.mark.usefixtures("context")
def test_the_first_paint_is_small_and_asks_nobody_else(
    page: Page, server: WidgetServer, partner: WidgetPartner, requests: list[Request]
) -> None:
    page.goto(redirect_url(server, partner.open()))
    expect(page.get_by_role("heading", name="Payment")).to_be_visible()
    assert {urlsplit(request.url).netloc for request in requests} == {urlsplit(server.url).netloc}
    sizes = [request.sizes() for request in requests]
    total = sum(size["responseBodySize"] + size["responseHeadersSize"] for size in sizes)
    assert 0 < total < _FIRST_PAINT_BYTES, total


def test_the_page_breaks_no_rule_of_its_own(
    page: Page, server: WidgetServer, partner: WidgetPartner
) -> None:
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.goto(redirect_url(server, partner.open(verified=False)))
    identify(page)
    expect(page.get_by_role("heading", name="Checking your identity")).to_be_visible()
    assert said == []


@pytest.mark.usefixtures("context")
@pytest.mark.parametrize("allowed", [(), ("https://other.example",)])
def test_a_site_that_may_not_frame_it_gets_the_whole_window(
    page: Page, shop: Shop, server: WidgetServer, allowed: tuple[str, ...]
) -> None:
    partner = server.partner(widget_origins=allowed)
    page.clock.install()
    shop.visit(page, run_options(partner.open()))
    page.wait_for_timeout(500)
    page.clock.run_for(5_000)
    page.wait_for_url(f"{server.base_url()}/w/**")
    expect(page.get_by_role("heading", name="Payment")).to_be_visible()


def test_redirect_mode_opens_the_whole_window_at_once(
    page: Page, shop: Shop, server: WidgetServer
) -> None:
    partner = server.partner()
    shop.visit(page, run_options(partner.open(), mode="redirect", host=None))
    page.wait_for_url(f"{server.base_url()}/w/**")
    expect(page.get_by_role("heading", name="Payment")).to_be_visible()


def test_a_frame_that_may_not_store_gets_the_whole_window(
    page: Page, shop: Shop, server: WidgetServer, partner: WidgetPartner
) -> None:
    page.add_init_script(
        "if (parent !== window) Object.defineProperty(window, 'sessionStorage',"
        " { get() { throw new DOMException('blocked', 'SecurityError'); } })"
    )
    answer = partner.open()
    shop.visit(page, run_options(answer))
    page.wait_for_url(f"{server.base_url()}/w/**")
    expect(page.get_by_role("heading", name="Payment")).to_be_visible()


@pytest.fixture
def stranger() -> Iterator[str]:
    async def page(_request: Asked) -> str:
        return "<!doctype html><title>Elsewhere</title><p>Nothing to see"

    with http_served(site(page)) as url:
        yield url


def test_messages_of_anybody_else_are_not_heard(
    page: Page, shop: Shop, server: WidgetServer, partner: WidgetPartner, stranger: str
) -> None:
    frame = shop.visit(page, run_options(partner.open()))
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
    other = next(item for item in page.frames if item.url.startswith(stranger))
    other.evaluate("forged => parent.postMessage(forged, '*')", forged)
    framed = next(item for item in page.frames if "/w/" in item.url)
    framed.evaluate(
        "forged => parent.postMessage({ ...forged, version: 2 }, '*')",
        forged,
    )
    framed.evaluate("forged => parent.postMessage({ ...forged, type: 'toString' }, '*')", forged)
    page.evaluate("new Promise((resolve) => setTimeout(resolve, 100))")
    assert page.evaluate("calls.length") == before


def test_the_page_tells_nothing_to_a_site_that_is_not_on_the_list(
    page: Page, shop: Shop, server: WidgetServer, partner: WidgetPartner, line: Line, stranger: str
) -> None:
    answer = partner.open()
    handed = redirect_url(server, answer, origin=stranger, mode="frame")
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
    assert line.sent == []


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
    page: Page,
    shop: Shop,
    server: WidgetServer,
    partner: WidgetPartner,
    change: dict[str, object],
    said: str,
) -> None:
    shop.visit(page, run_options(partner.open()) | change)
    expect(page.locator("#host").get_by_role("alert")).to_contain_text(said)
    assert any(said in line for line in shop.said)
    page.evaluate("handle.close()")
    expect(page.locator("#host")).to_be_empty()


def test_a_host_that_is_not_there_is_named_in_the_console(
    page: Page, shop: Shop, server: WidgetServer, partner: WidgetPartner
) -> None:
    shop.visit(page, run_options(partner.open(), host="#nowhere"))
    page.wait_for_function("window.handle")
    assert any("host must be an element" in line for line in shop.said)


def _opened_elsewhere(tab: Tab, url: str) -> None:
    other = tab()
    other.goto(url)
    heading(other, "Payment")
    other.close()


@pytest.mark.parametrize(
    ("fault", "code", "said", "todo"),
    [
        ("used", "init_token_used", "opened before", "Go on in the tab where it is open"),
        ("expired", "init_token_expired", "link has expired", "good for one hour"),
        ("signature", "signature_invalid", "cannot be trusted", "start again"),
        ("options", "options_differ", "not as it was agreed", "start again"),
        ("unknown", "invalid_token", "session is over", "start again"),
        ("suspended", "partner_suspended", "Payments are stopped here", "ask for help there"),
    ],
)
def test_a_session_that_cannot_be_opened_says_why_and_what_to_do(
    page: Page,
    shop: Shop,
    server: WidgetServer,
    tab: Tab,
    fault: str,
    code: str,
    said: str,
    todo: str,
) -> None:
    partner = server.partner(widget_origins=(shop.url,))
    answer = partner.open()
    options = run_options(answer)
    match fault:
        case "used":
            _opened_elsewhere(tab, redirect_url(server, answer))
        case "expired":
            partner.later(3601)
        case "signature":
            options["signature"] = "v2:" + "ab" * 64
        case "options":
            options["amount"] = "99"
        case "unknown":
            options["initToken"] = "x"
        case "suspended":
            partner.suspend()
    frame = shop.visit(page, options)
    expect(frame.get_by_role("heading", level=1)).to_contain_text(said)
    expect(frame.get_by_text(todo)).to_be_visible()
    expect(frame.get_by_role("button", name="Try again")).to_have_count(0)
    (told,) = heard(page, "onError")
    assert set(told) == {"code", "message"}
    assert told["code"] == code
    assert any(code in line for line in shop.said)
    frame.get_by_role("button", name="Done").click()
    assert heard(page, "onClose") == [{"reason": "error"}]
    expect(page.locator("iframe")).to_have_count(0)


@pytest.mark.parametrize(
    ("fragment", "said"),
    [("", "There is no payment here"), ("#tx=77d7cd9c", "This payment was opened before")],
)
def test_an_address_without_a_session_says_where_it_is(
    page: Page, server: WidgetServer, partner: WidgetPartner, fragment: str, said: str
) -> None:
    """As in a second tab, or after the first one was closed."""
    page.goto(f"{server.base_url()}/w/{partner.widget_id}{fragment}")
    heading(page, said)


def test_an_environment_without_a_provider_says_so_and_is_not_tried_again(
    page: Page, server: WidgetServer
) -> None:
    partner = server.partner()
    partner.environment = PRODUCTION
    with Mercuryo() as mercuryo:
        partner.give_provider("mercuryo", _credentials(mercuryo))
        answer = partner.open()
        partner.remove_provider()
        page.goto(redirect_url(server, answer, environment=PRODUCTION))
        heading(page, "Payments cannot be made here at present")
    expect(page.get_by_text("ask for help there")).to_be_visible()
    expect(page.get_by_role("button", name="Try again")).to_have_count(0)
    page.get_by_role("button", name="Done").click()
    heading(page, "You can close this page.")


def test_what_may_pass_is_tried_again_but_not_for_ever(
    page: Page, shop: Shop, partner: WidgetPartner, line: Line
) -> None:
    hurry(page)
    line.faults["open"] = [*["lost"] * 4, *[502] * 4, *["lost"] * 4]
    frame = shop.visit(page, run_options(partner.open()))
    heading(frame, "The payment server cannot be reached")
    again = frame.get_by_role("button", name="Try again")
    expect(frame.get_by_text("Check your connection")).to_be_visible()
    lasting = frame.get_by_text("It still does not work")
    # A second click while a try is under way is no second try.
    again.dblclick()
    assert len(heard(page, "onError", 2)) == 2
    expect(lasting).to_be_hidden()
    again.dblclick()
    expect(lasting).to_be_visible()
    assert len(heard(page, "onError", 3)) == 3
    again.dblclick()
    heading(frame, "Payment")
    assert [item["code"] for item in calls(page, "onError")] == ["network"] * 3


def test_a_reload_after_a_failure_still_has_the_session(
    page: Page, server: WidgetServer, partner: WidgetPartner, line: Line
) -> None:
    hurry(page)
    line.faults["open"] = ["lost", "lost", "unanswered", "lost"]
    page.goto(redirect_url(server, partner.open()))
    heading(page, "The payment server cannot be reached")
    page.reload()
    heading(page, "Payment")


@pytest.mark.parametrize("fault", ["lost", "unanswered", "doubled", 502])
def test_an_opening_that_fails_is_made_again_and_opens_the_session(
    page: Page,
    server: WidgetServer,
    partner: WidgetPartner,
    line: Line,
    tab: Tab,
    fault: str | int,
) -> None:
    line.faults["open"] = [fault]
    link = redirect_url(server, partner.open())
    page.goto(link)
    heading(page, "Payment")
    assert line.names().count("open") == (1 if fault == "doubled" else 2)
    other = tab()
    other.goto(link)
    heading(other, "This payment was opened before")
    other.close()


def test_words_that_do_not_load_are_asked_for_again(
    page: Page, server: WidgetServer, partner: WidgetPartner
) -> None:
    page.route("**/i18n/*.json", lambda route: route.abort())
    page.goto(redirect_url(server, partner.open()))
    heading(page, "The payment server cannot be reached")
    page.unroute("**/i18n/*.json")
    page.get_by_role("button", name="Try again").click()
    heading(page, "Payment")


def test_a_part_of_the_page_that_does_not_load_is_fetched_at_the_next_look(
    page: Page, server: WidgetServer, partner: WidgetPartner
) -> None:
    refused: list[str] = []

    def lose_once(route: Route) -> None:
        if len(refused) < 2:
            refused.append(route.request.url)
            route.abort()
        else:
            route.continue_()

    page.route("**/step/outcome.js", lose_once)
    page.goto(redirect_url(server, partner.open()))
    heading(page, "Payment")
    tab_call(page, "cancel")
    heading(page, "Payment cancelled")
    assert len(refused) == 2


def test_a_session_that_is_over_says_so(page: Page, shop: Shop, server: WidgetServer) -> None:
    """As who comes back after a day."""
    partner = server.partner(widget_origins=(shop.url,))
    frame = shop.visit(page, run_options(partner.open()))
    heading(frame, "Payment")
    partner.later(24 * 3600 + 60)
    heading(frame, re.compile("This payment session is over|Payment failed"))


def test_a_partner_that_is_stopped_stops_the_page(
    page: Page, shop: Shop, server: WidgetServer
) -> None:
    partner = server.partner(widget_origins=(shop.url,))
    frame = shop.visit(page, run_options(partner.open()))
    heading(frame, "Payment")
    partner.suspend()
    heading(frame, "Payments are stopped here")
    assert [item["code"] for item in heard(page, "onError")] == ["partner_suspended"]


def test_wrong_options_are_an_error_too(page: Page, shop: Shop, partner: WidgetPartner) -> None:
    shop.visit(page, run_options(partner.open()) | {"widgetId": 7})
    (told,) = heard(page, "onError")
    assert told["code"] == "invalid_options"
    assert "widgetId must be a text" in told["message"]


def _credentials(mercuryo: Mercuryo) -> dict[str, str]:
    return {
        "widget_id": "w-1",
        "widget_secret": SECRET,
        "sign_key": SIGN_KEY,
        "sdk_partner_token": PARTNER_TOKEN,
        "api_url": mercuryo.url,
        "widget_url": _SCRIPT,
    }


_SCRIPT = "https://widget.mercuryo.io/embed.2.1.js"


def test_another_provider_takes_over_with_its_parameters(page: Page, server: WidgetServer) -> None:
    """Mercuryo's script is not ours: here it writes down what it was run with."""
    page.route(
        _SCRIPT,
        lambda route: route.fulfill(
            content_type="text/javascript",
            body="""window.mercuryoWidget = { run(options) {
                const { host, ...rest } = options;
                host.textContent = JSON.stringify(rest);
            } };""",
        ),
    )
    partner = server.partner()
    partner.environment = PRODUCTION
    with Mercuryo() as mercuryo:
        partner.give_provider("mercuryo", _credentials(mercuryo))
        answer = partner.open()
        response = page.goto(redirect_url(server, answer, environment=PRODUCTION))
        assert response is not None
        let_in = "frame-src https://*.mercuryo.io https://*.mrcr.io"
        assert let_in in response.headers["content-security-policy"]
        shown = page.locator(".handover")
        for _ in range(2):
            expect(shown).to_contain_text(answer["merchant_transaction_id"])
            run = json.loads(shown.inner_text())
            assert run["merchantTransactionId"] == answer["merchant_transaction_id"]
            assert run["initToken"] == "0a25dd714163a9006"
            page.reload()
