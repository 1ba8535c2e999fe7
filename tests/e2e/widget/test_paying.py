"""Buying in the framed page: what the user does, what the partner's page hears, what reaches the server."""

import re
from decimal import Decimal
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from tests.e2e.widget.conftest import (
    Line,
    Shop,
    calls,
    heard,
    hurry,
    redirect_url,
    run_options,
)
from tests.e2e.widget.driving import card, heading, identify, pay, tab_call, type_card
from tests.support.widgets import WidgetPartner, WidgetServer

from proof.ramp.providers.outcomes import Name

# Values stand between Unicode's isolates, which nobody sees.
BACK = re.compile("^Back to .Acme Exchange.$")
SOON = re.compile("^Returning automatically in ")
# What is paid with it stays on its way for half a minute: the provider's callbacks come late.
LATE = Name.CALLBACK_LATE
ON_ITS_WAY = "Your coins are on their way"


def test_a_card_pays_and_the_partner_hears_of_each_step(
    page: Page, shop: Shop, partner: WidgetPartner
) -> None:
    answer = partner.open()
    frame = shop.visit(page, run_options(answer))
    card(frame, Name.SUCCESS)
    pay(frame)
    heading(frame, "Payment complete")
    told = heard(page, "onStatusChange", 3)
    assert [item["status"] for item in told] == ["pending", "processing", "completed"]
    names = page.evaluate("calls.map(call => call[0])")
    assert names[:3] == ["onLoad", "onStatusChange", "onReady"]
    assert sorted(names[3:]) == ["onPaymentFinished", "onStatusChange", "onStatusChange"]
    record = partner.transaction(answer)
    said = told[-1]
    backend = {name: record[name] for name in said if name != "amount"}
    assert said == backend | {"amount": record["crypto_amount"]}
    assert (said["payment_method"], said["status"]) == ("card", "completed")
    assert Decimal(said["fiat_amount"]) == Decimal("822.15")
    assert calls(page, "onPaymentFinished") == [{"payment_method": "card"}]
    assert partner.attempts(answer) == ["captured"]


def test_what_is_typed_of_a_card_leaves_the_browser_in_no_form(
    page: Page, shop: Shop, partner: WidgetPartner, line: Line
) -> None:
    seen: list[str] = []
    page.on("request", lambda request: seen.append(request.url + (request.post_data or "")))
    frame = shop.visit(page, run_options(partner.open()))
    card(frame, Name.DECLINED)
    pay(frame)
    expect(frame.get_by_text("The payment was declined")).to_be_visible()
    # Digits of a card may be in an identifier by chance.
    sent = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[\w-]{40,}", "", " ".join(seen))
    for piece in ("4000", "0002", "737", "Zoe", "Quill", "12 / 34"):
        assert piece not in sent
    (paid,) = line.bodies("pay")
    assert set(paid) == {"attempt_id", "method", "outcome"}


def test_a_declined_payment_is_tried_again_under_the_same_transaction(
    page: Page, shop: Shop, partner: WidgetPartner
) -> None:
    answer = partner.open()
    frame = shop.visit(page, run_options(answer))
    card(frame, Name.DECLINED_THEN_SUCCESS)
    pay(frame)
    expect(frame.get_by_role("alert").filter(has_text="nothing was charged")).to_be_visible()
    frame.get_by_label("Apple Pay").check()
    frame.get_by_label("How the test ends").select_option(
        label="Paid, but the messages about it come late"
    )
    pay(frame)
    heading(frame, ON_ITS_WAY)
    assert partner.attempts(answer) == ["declined", "captured"]
    assert heard(page, "onPaymentFinished", 2) == [
        {"payment_method": "card"},
        {"payment_method": "apple_pay"},
    ]


@pytest.mark.parametrize(
    ("press", "shown", "results"),
    [
        ("Confirm payment", re.compile("on their way|complete"), ["captured"]),
        ("Decline", "Payment", ["declined"]),
    ],
)
def test_the_bank_asks(
    page: Page, server: WidgetServer, partner: WidgetPartner, press: str, shown: Any, results: Any
) -> None:
    answer = partner.open()
    page.goto(redirect_url(server, answer))
    card(page, Name.CHALLENGE)
    pay(page)
    heading(page, "Confirm with your bank")
    page.get_by_role("button", name=press).click()
    heading(page, shown)
    assert partner.attempts(answer) == results


@pytest.mark.parametrize("fault", ["lost", "unanswered", "doubled", 502])
def test_a_call_that_fails_is_made_again_and_charges_once(
    page: Page, server: WidgetServer, partner: WidgetPartner, line: Line, fault: str | int
) -> None:
    answer = partner.open()
    line.faults["pay"] = [fault]
    page.goto(redirect_url(server, answer))
    card(page, LATE)
    pay(page)
    heading(page, ON_ITS_WAY)
    sent = [body["attempt_id"] for body in line.bodies("pay")]
    assert len(sent) == (1 if fault == "doubled" else 2)
    assert len(set(sent)) == 1
    assert partner.attempts(answer) == ["captured"]


def test_an_attempt_whose_end_is_unknown_keeps_its_id_over_a_reload(
    page: Page, server: WidgetServer, partner: WidgetPartner, line: Line
) -> None:
    answer = partner.open()
    line.faults["pay"] = [502] * 4
    hurry(page)
    page.goto(redirect_url(server, answer))
    card(page, LATE)
    pay(page)
    expect(page.get_by_role("alert").filter(has_text="cannot charge you twice")).to_be_visible()
    page.reload()
    card(page, LATE)
    pay(page)
    heading(page, ON_ITS_WAY)
    assert len({body["attempt_id"] for body in line.bodies("pay")}) == 1
    assert partner.attempts(answer) == ["captured"]


def test_reload_and_back_find_the_payment_as_it_is(
    page: Page, server: WidgetServer, partner: WidgetPartner, line: Line
) -> None:
    answer = partner.open()
    page.goto("about:blank")
    page.goto(redirect_url(server, answer))
    heading(page, "Payment")
    assert answer["init_token"] not in page.url
    page.reload()
    card(page, LATE)
    pay(page)
    heading(page, ON_ITS_WAY)
    page.go_back()
    page.go_forward()
    heading(page, ON_ITS_WAY)
    assert partner.attempts(answer) == ["captured"]
    assert line.names().count("open") == 1


def test_a_second_run_in_the_same_tab_goes_on(
    page: Page, shop: Shop, partner: WidgetPartner, line: Line
) -> None:
    options = run_options(partner.open())
    heading(shop.visit(page, options), "Payment")
    heading(shop.visit(page, options), "Payment")
    assert line.names().count("open") == 1


def test_nothing_is_sent_for_a_card_that_cannot_be_right(
    page: Page, server: WidgetServer, partner: WidgetPartner, line: Line
) -> None:
    page.goto(redirect_url(server, partner.open()))
    type_card(page, "4242 4242 4242 4241")
    page.get_by_label("Expiry date").fill("01 / 20")
    pay(page)
    number = page.get_by_label("Card number")
    expect(number).to_be_focused()
    expect(number).to_have_accessible_description("Check the card number; a digit seems wrong.")
    expect(page.get_by_label("Expiry date")).to_have_attribute("aria-invalid", "true")
    assert "pay" not in line.names()


def test_fields_left_empty_are_called_empty(
    page: Page, server: WidgetServer, partner: WidgetPartner, line: Line
) -> None:
    page.goto(redirect_url(server, partner.open()))
    pay(page)
    for label, said in {
        "Card number": "Enter the card number.",
        "Expiry date": "Enter the expiry date.",
        "Security code": "Enter the security code.",
        "Name on card": "Enter the name on the card.",
    }.items():
        expect(page.get_by_label(label)).to_have_accessible_description(said)
    assert "pay" not in line.names()


def test_another_currency_changes_the_total(
    page: Page, server: WidgetServer, partner: WidgetPartner
) -> None:
    page.goto(redirect_url(server, partner.open()))
    button = page.get_by_role("button", name=re.compile("^Pay "))
    expect(button).to_contain_text("€822.15")
    page.get_by_label("Currency").select_option("USD")
    expect(button).to_contain_text("$913.50")


def test_identity_is_asked_for_with_document_and_face(
    page: Page, server: WidgetServer, partner: WidgetPartner, line: Line
) -> None:
    page.goto(redirect_url(server, partner.open(verified=False)))
    heading(page, "Confirm your identity")
    page.get_by_label("Identity card").check()
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("heading", name="Face check")).to_be_focused()
    page.get_by_role("button", name="Start the check").click()
    heading(page, "Checking your identity")
    assert line.bodies("kyc") == [{"document": "id_card", "liveness": True}]
    partner.later(60)
    heading(page, "Payment")


def test_an_act_whose_answer_is_lost_says_what_to_do(
    page: Page, server: WidgetServer, partner: WidgetPartner, line: Line
) -> None:
    hurry(page)
    page.goto(redirect_url(server, partner.open(verified=False)))
    line.faults["kyc"] = ["lost"] * 4
    identify(page)
    expect(page.get_by_role("alert").filter(has_text="Press the button again")).to_be_visible()
    page.get_by_role("button", name="Start the check").click()
    heading(page, "Checking your identity")


def test_giving_up_is_asked_for_twice(page: Page, shop: Shop, partner: WidgetPartner) -> None:
    frame = shop.visit(page, run_options(partner.open()))
    frame.get_by_role("button", name="Cancel payment").click()
    frame.get_by_role("button", name="No, go on").click()
    expect(frame.get_by_role("dialog")).to_have_count(0)
    frame.get_by_role("button", name="Cancel payment").click()
    frame.get_by_role("button", name="Yes, cancel").click()
    heading(frame, "Payment cancelled")
    statuses = [item["status"] for item in heard(page, "onStatusChange", 2)]
    assert statuses == ["pending", "cancelled"]


def paid(page: Page, shop: Shop, partner: WidgetPartner) -> Any:
    """The frame of a payment that is complete, with a way back to the partner's page."""
    answer = partner.open(redirect_url="https://acme.example/thanks")
    page.route("https://acme.example/**", lambda route: route.fulfill(body="thanks"))
    options = run_options(answer)
    frame = shop.visit(page, options)
    heading(frame, "Payment")
    hosted = next(item for item in page.frames if "/w/" in item.url)
    tab_call(hosted, "pay", attempt_id=ATTEMPT, method="card", outcome="success")
    heading(frame, re.compile("on their way|complete"))
    partner.later(60)
    heading(frame, "Payment complete")
    return frame


ATTEMPT = "7d0a9c60-58b4-4b0e-9d0a-2a51f3d05b6c"


def test_the_way_back_leads_to_the_partners_page(
    page: Page, shop: Shop, partner: WidgetPartner
) -> None:
    frame = paid(page, shop, partner)
    link = frame.get_by_role("link", name=BACK)
    expect(link).to_have_attribute("href", "https://acme.example/thanks")
    frame.get_by_role("button", name="Stay here").click()
    expect(frame.get_by_text(SOON)).to_have_count(0)
    link.click()
    page.wait_for_url("https://acme.example/thanks")


@pytest.mark.usefixtures("context")
def test_after_success_the_page_goes_back_by_itself(
    page: Page, shop: Shop, partner: WidgetPartner
) -> None:
    # What is called while the window leaves is read when it has come back.
    page.add_init_script(
        "addEventListener('DOMContentLoaded', () => { if (window.options)"
        " options.onClose = ({ reason }) => sessionStorage.setItem('left', reason); })"
    )
    page.clock.install()
    frame = paid(page, shop, partner)
    expect(frame.get_by_text(SOON)).to_be_visible()
    page.clock.run_for(11_000)
    page.wait_for_url("https://acme.example/thanks")
    page.goto(shop.url)
    assert page.evaluate("sessionStorage.getItem('left')") == "completed"


def test_money_is_shown_as_the_record_has_it(
    page: Page, server: WidgetServer, partner: WidgetPartner
) -> None:
    answer = partner.open()
    page.goto(redirect_url(server, answer))
    rows = page.locator(".summary")
    expect(rows).to_contain_text("You pay")
    expect(rows).to_contain_text("€822.15")
    tab_call(page, "pay", attempt_id=ATTEMPT, method="card", outcome="success")
    heading(page, re.compile("on their way|complete"))
    partner.later(60)
    heading(page, "Payment complete")
    expect(rows).to_contain_text("You paid")
