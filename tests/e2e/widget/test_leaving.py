"""The ways a payment is left or closed, and what the partner's page hears of it."""

import pytest
from playwright.sync_api import Page, expect
from tests.e2e.widget.conftest import Shop, heard, run_options
from tests.e2e.widget.driving import heading, tab_call
from tests.support.widget_truth import hosted
from tests.support.widgets import WidgetPartner, WidgetServer

_ATTEMPT = "7d0a9c60-58b4-4b0e-9d0a-2a51f3d05b6c"
_ENDS = {
    "cancelled": "Payment cancelled",
    "failed": "Identity not confirmed",
    "completed": "Payment complete",
}


def test_close_takes_the_frame_away_and_gives_the_focus_back(
    page: Page, shop: Shop, server: WidgetServer, partner: WidgetPartner
) -> None:
    page.goto(shop.url)
    frame = shop.visit(page, run_options(partner.open()))
    expect(frame.get_by_role("heading", name="Payment", exact=True)).to_be_focused()
    assert len(heard(page, "onReady")) == 1
    page.evaluate("handle.close()")
    expect(page.locator("iframe")).to_have_count(0)
    expect(page.locator("#buy")).to_be_focused()


@pytest.mark.parametrize(
    ("end", "reason"), [("cancel", "cancelled"), ("kyc", "failed"), ("pay", "completed")]
)
def test_without_a_page_to_return_to_an_end_is_left_by_its_button(
    page: Page, shop: Shop, server: WidgetServer, end: str, reason: str
) -> None:
    partner = server.partner(widget_origins=(shop.url,))
    email = "user+kyc_failed@acme.example" if end == "kyc" else "user@acme.example"
    frame = shop.visit(page, run_options(partner.open(user_email=email)))
    expect(frame.get_by_role("heading", level=1)).to_be_visible()
    bodies: dict[str, dict[str, object]] = {
        "kyc": {"document": "passport", "liveness": True},
        "pay": {"attempt_id": _ATTEMPT, "method": "card", "outcome": "success"},
    }
    tab_call(hosted(page), end, **bodies.get(end, {}))
    partner.later(60)
    done = frame.get_by_role("button", name="Done")
    expect(frame.get_by_role("heading", name=_ENDS[reason])).to_be_visible()
    done.click()
    assert heard(page, "onClose") == [{"reason": reason}]
    expect(page.locator("iframe")).to_have_count(0)
    expect(page.locator("#buy")).to_be_focused()


def test_who_leaves_while_the_payment_goes_on_is_told_apart(
    page: Page, shop: Shop, partner: WidgetPartner
) -> None:
    frame = shop.visit(page, run_options(partner.open()))
    heading(frame, "Payment")
    tab_call(hosted(page), "pay", attempt_id=_ATTEMPT, method="card", outcome="callback_late")
    heading(frame, "Your coins are on their way")
    frame.get_by_role("button", name="Done").click()
    assert heard(page, "onClose") == [{"reason": "processing"}]


def test_close_is_told_of_once(page: Page, shop: Shop, partner: WidgetPartner) -> None:
    frame = shop.visit(page, run_options(partner.open()))
    heading(frame, "Payment")
    page.evaluate("handle.close(); handle.close()")
    assert heard(page, "onClose") == [{"reason": "closed"}]
