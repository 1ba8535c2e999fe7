"""For everybody: keyboard, screen reader, small screens, dark and light, seven languages."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, Route, expect
from tests.e2e.widget.conftest import Shop, Tab, redirect_url, run_options
from tests.e2e.widget.driving import NUMBERS, tab_call
from tests.support.widgets import WidgetPartner, WidgetServer

from proof.ramp.providers.outcomes import Name
from proof.web.widget.assets import static

BACK = "https://acme.example/thanks"
_ATTEMPT = "7d0a9c60-58b4-4b0e-9d0a-2a51f3d05b6c"
_SALE = {"type": "sell", "currency": "USDT", "network": "TRC20", "amount": "1250.5"}


@dataclass(frozen=True)
class Way:
    """How a user gets to a state: what the session is opened with, what is done in it, how much time
    passes then, and how the page is headed there."""

    heading: str
    opened: Mapping[str, Any] = field(default_factory=dict)
    acts: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    later_s: int = 0


def _email(outcome: Name) -> dict[str, str]:
    return {"user_email": f"user+{outcome}@acme.example"}


def _paid(outcome: Name) -> tuple[tuple[str, Mapping[str, Any]], ...]:
    return (("pay", {"attempt_id": _ATTEMPT, "method": "card", "outcome": str(outcome)}),)


_IDENTITY = (("kyc", {"document": "passport", "liveness": True}),)
_DEPOSIT: tuple[tuple[str, Mapping[str, Any]], ...] = (("deposit", {}),)
STATES = {
    "identity": Way("Confirm your identity", {"verified": False}),
    "identity-waiting": Way("Checking your identity", _email(Name.KYC_SLOW), _IDENTITY),
    "identity-failed": Way("Identity not confirmed", _email(Name.KYC_FAILED), _IDENTITY, 60),
    "payment": Way("Payment"),
    "declined": Way("Payment", acts=_paid(Name.DECLINED)),
    "challenge": Way("Confirm with your bank", acts=_paid(Name.CHALLENGE)),
    "processing": Way("Your coins are on their way", acts=_paid(Name.CALLBACK_LATE)),
    "review": Way("The delivery is delayed", acts=_paid(Name.DELIVERY_FAILED), later_s=60),
    "deposit-offer": Way("Get ready to send", _SALE),
    "deposit": Way("Send", _SALE | _email(Name.DEPOSIT_NEVER_ARRIVES), _DEPOSIT),
    "payout": Way("Your money is on its way", _SALE | _email(Name.CALLBACK_LATE), _DEPOSIT, 2),
    "complete": Way("Payment complete", {"redirect_url": BACK}, _paid(Name.SUCCESS), 60),
    "failed": Way(
        "Sale failed",
        _SALE | _email(Name.DEPOSIT_NEVER_ARRIVES) | {"redirect_url": BACK},
        _DEPOSIT,
        6 * 3600 + 60,
    ),
    "cancelled": Way("Payment cancelled", acts=(("cancel", {}),)),
}
LANGUAGES = {
    "en": "Payment",
    "de": "Zahlung",
    "fr": "Paiement",
    "es": "Pago",
    "pt": "Pagamento",
    "tr": "Ödeme",
    "ar": "الدفع",
}
_OVERFLOWING = """() => document.documentElement.scrollWidth > innerWidth"""


def shown(page: Page, server: WidgetServer, state: str, **config: Any) -> WidgetPartner:
    """Go to a state, with a partner of this test's; `config` are fields of its WidgetConfig."""
    way, partner = STATES[state], server.partner(config=config)
    page.goto(redirect_url(server, partner.open(**way.opened)))
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    for name, body in way.acts:
        tab_call(page, name, **body)
    if way.later_s:
        partner.later(way.later_s)
    if config.get("lang", "en") == "en":
        expect(page.get_by_role("heading", name=way.heading, level=1)).to_be_visible()
    else:
        page.reload()
        expect(page.get_by_role("heading", level=1)).to_be_visible()
    if state == "deposit":
        expect(page.get_by_role("img")).to_be_visible()
    return partner


def violations(page: Page, *rules: str) -> list[str]:
    """What axe finds, by those rules or by all. Injected by the test, past the page's policy."""
    only: dict[str, Any] = {"runOnly": list(rules)} if rules else {}
    found = Axe().run(page, options={"resultTypes": ["violations"], **only})
    return [
        f"{item['id']}: {[node['html'] for node in item['nodes']]}"
        for item in found.response["violations"]
    ]


@pytest.mark.parametrize("state", STATES)
def test_axe_finds_nothing_and_nothing_is_cut_off_at_320_pixels(
    tab: Tab, server: WidgetServer, state: str
) -> None:
    page = tab(viewport={"width": 320, "height": 568}, bypass_csp=True)
    # Looking takes longer than the page waits before it goes back by itself; from there it leads nowhere.
    page.route(BACK, lambda route: route.fulfill(status=204))
    shown(page, server, state, theme="light")
    assert violations(page) == []
    assert not page.evaluate(_OVERFLOWING)
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    assert violations(page, "color-contrast") == []
    page.close()


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_language_is_spoken_throughout(tab: Tab, server: WidgetServer, language: str) -> None:
    page = tab(viewport={"width": 320, "height": 568})
    shown(page, server, "payment", lang=language)
    expect(page.get_by_role("heading", level=1)).to_have_text(LANGUAGES[language])
    root = page.locator("html")
    expect(root).to_have_attribute("lang", language)
    expect(root).to_have_attribute("dir", "rtl" if language == "ar" else "ltr")
    assert not page.evaluate(_OVERFLOWING)
    page.close()


def test_money_is_written_as_the_language_does(page: Page, server: WidgetServer) -> None:
    shown(page, server, "deposit", lang="de")
    expect(page.locator(".amount")).to_have_text("1.250,5 USDT")
    expect(page.locator(".total dd")).to_have_text(re.compile(r"^1\.\d{3},\d\d\s€$"))


def test_without_a_theme_the_systems_is_taken(tab: Tab, server: WidgetServer) -> None:
    grounds = set()
    for scheme in ("light", "dark"):
        page = tab(color_scheme=scheme)
        shown(page, server, "payment", theme="")
        grounds.add(
            page.evaluate("getComputedStyle(document.querySelector('.sheet')).backgroundColor")
        )
        page.close()
    assert len(grounds) == 2


def test_a_payment_is_made_by_keyboard_alone(
    page: Page, shop: Shop, partner: WidgetPartner
) -> None:
    frame = shop.visit(page, run_options(partner.open(verified=False)))
    keys = page.keyboard
    expect(frame.get_by_role("heading", name="Confirm your identity")).to_be_focused()
    keys.press("Tab")
    keys.press("ArrowDown")
    expect(frame.get_by_label("Identity card")).to_be_checked()
    keys.press("Enter")
    expect(frame.get_by_role("heading", name="Face check")).to_be_focused()
    keys.press("Tab")
    keys.press("Enter")
    expect(frame.get_by_role("heading", name="Checking your identity")).to_be_focused()
    partner.later(60)
    expect(frame.get_by_role("heading", name="Payment")).to_be_focused()
    keys.press("Tab")
    expect(frame.get_by_label("Card", exact=True)).to_be_focused()
    keys.press("Tab")
    keys.type(NUMBERS[Name.CHALLENGE].replace(" ", ""))
    keys.press("Tab")
    keys.type("1234")
    keys.press("Tab")
    keys.type("737")
    keys.press("Tab")
    keys.type("Zoe Quill")
    keys.press("Enter")
    expect(frame.get_by_role("heading", name="Confirm with your bank")).to_be_focused()
    keys.press("Tab")
    keys.press("Space")
    expect(frame.get_by_role("heading", name=re.compile("on their way|complete"))).to_be_focused()


def test_the_dialog_is_left_by_escape_to_where_it_was_opened(
    page: Page, server: WidgetServer
) -> None:
    shown(page, server, "payment")
    button = page.get_by_role("button", name="Cancel payment")
    button.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="No, go on")).to_be_focused()
    page.keyboard.press("Escape")
    expect(button).to_be_focused()


def test_cancelling_leaves_the_focus_at_how_it_ended(page: Page, server: WidgetServer) -> None:
    shown(page, server, "payment")
    page.get_by_role("button", name="Cancel payment").press("Enter")
    page.get_by_role("button", name="Yes, cancel").press("Enter")
    expect(page.get_by_role("heading", name="Payment cancelled")).to_be_focused()


def test_a_question_that_came_too_late_is_taken_back(page: Page, server: WidgetServer) -> None:
    shown(page, server, "payment")
    page.get_by_role("button", name="Cancel payment").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    for name, body in STATES["processing"].acts:
        tab_call(page, name, **body)
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_role("heading", name="Your coins are on their way")).to_be_focused()


def test_a_dialog_in_a_tall_frame_opens_where_its_button_is(
    page: Page, shop: Shop, partner: WidgetPartner
) -> None:
    page.set_viewport_size({"width": 390, "height": 480})
    frame = shop.visit(page, run_options(partner.open()))
    frame.get_by_role("button", name="Cancel payment").click()
    for name in ("Yes, cancel", "No, go on"):
        expect(frame.get_by_role("button", name=name)).to_be_in_viewport(ratio=1)


def test_a_dialog_stays_in_sight_when_its_frame_grows(
    page: Page, shop: Shop, partner: WidgetPartner
) -> None:
    page.set_viewport_size({"width": 390, "height": 480})
    frame = shop.visit(page, run_options(partner.open()))
    frame.get_by_role("button", name="Cancel payment").click()
    stay = frame.get_by_role("button", name="No, go on")
    expect(stay).to_be_in_viewport(ratio=1)
    before = page.evaluate("scrollY")
    page.locator("iframe").evaluate("frame => { frame.style.height = '3000px'; }")
    page.wait_for_function("before => scrollY > before", arg=before)
    expect(stay).to_be_in_viewport(ratio=1)


def test_text_twice_as_large_is_not_cut_off(tab: Tab, server: WidgetServer) -> None:
    """WCAG 2.2, success criterion 1.4.4, on a phone of 390 pixels."""
    page = tab(viewport={"width": 390, "height": 844})
    page.route(BACK, lambda route: route.fulfill(status=204))
    for state in ("payment", "deposit", "complete"):
        shown(page, server, state, lang="de")
        page.evaluate("document.documentElement.style.fontSize = '200%'")
        assert not page.evaluate(_OVERFLOWING), state
    page.close()


def test_a_browser_that_lacks_light_dark_gets_the_light_page(
    tab: Tab, server: WidgetServer
) -> None:
    page = tab(color_scheme="dark", bypass_csp=True)
    style = static()["widget.css"].body.decode().replace("light-dark(", "unheard-of(")
    page.route("**/widget.css", lambda route: route.fulfill(body=style, content_type="text/css"))
    shown(page, server, "payment", theme="dark")
    ground = page.evaluate("getComputedStyle(document.querySelector('.sheet')).backgroundColor")
    assert ground == "rgb(255, 255, 255)"
    assert violations(page, "color-contrast") == []
    page.close()


@pytest.mark.parametrize(("locale", "written"), [("en-GB", "4 May 2026"), ("en-US", "May 4, 2026")])
def test_dates_are_those_of_the_readers_region(
    tab: Tab, server: WidgetServer, locale: str, written: str
) -> None:
    page = tab(locale=locale)
    page.route(BACK, lambda route: route.fulfill(status=204))

    def dated(route: Route) -> None:
        reply = route.fetch()
        moment = "2026-05-04T12:00:00Z"
        state = reply.json() | {"updated_at": moment, "occurred_at": moment}
        route.fulfill(response=reply, json=state)

    page.route("**/w/api/state", dated)
    shown(page, server, "complete")
    expect(page.locator(".details")).to_contain_text(written)
    page.close()


def test_nothing_moves_for_who_asked_for_less(tab: Tab, server: WidgetServer) -> None:
    page = tab(reduced_motion="reduce")
    shown(page, server, "processing")
    lasting = page.evaluate(
        "getComputedStyle(document.querySelector('.turning')).animationDuration"
    )
    assert lasting == "0s"
    page.close()


def test_the_card_fields_tell_a_browser_what_they_are(page: Page, server: WidgetServer) -> None:
    shown(page, server, "payment")
    found = page.evaluate(
        "[...document.querySelectorAll('input[type=text]')].map(i => i.autocomplete)"
    )
    assert found == ["cc-number", "cc-exp", "cc-csc", "cc-name"]
