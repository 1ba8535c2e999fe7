"""Buying in the framed page: what the user does, what the partner's page hears, what reaches the server."""

import json
import re

import pytest
from playwright.sync_api import FrameLocator, Page, expect
from tests.e2e.widget.conftest import (
    Shop,
    calls,
    heard,
    redirect_url,
    run_options,
    stop_the_clock,
)
from tests.support.widget_api import CARDS, WidgetApi

# Values stand between Unicode's isolates, which nobody sees.
BACK = re.compile("^Back to .Acme Exchange.$")
SOON = re.compile("^Returning automatically in ")
NUMBERS = {one["outcome"]: one["number"] for one in CARDS}


def type_card(frame: FrameLocator | Page, number: str) -> None:
    frame.get_by_label("Card number").fill(number)
    frame.get_by_label("Expiry date").press_sequentially("1234")
    frame.get_by_label("Security code").fill("737")
    frame.get_by_label("Name on card").fill("Zoe Quill")


def pay(frame: FrameLocator | Page) -> None:
    frame.get_by_role("button", name=re.compile("^Pay ")).click()


def heading(frame: FrameLocator | Page, text: str) -> None:
    expect(frame.get_by_role("heading", name=text, level=1)).to_be_visible()


def test_a_card_pays_and_the_partner_hears_of_each_step(
    page: Page, shop: Shop, api: WidgetApi
) -> None:
    answer = api.create()
    frame = shop.visit(page, run_options(answer))
    type_card(frame, NUMBERS["success"])
    pay(frame)
    heading(frame, "Your coins are on their way")
    session = api.sessions[answer["merchant_transaction_id"]]
    session.state |= {"status": "completed", "step": "done"}
    heading(frame, "Payment complete")
    heard(page, "onStatusChange", 3)
    assert page.evaluate("calls.map(call => call[0])") == [
        "onLoad",
        "onStatusChange",
        "onReady",
        "onStatusChange",
        "onPaymentFinished",
        "onStatusChange",
    ]
    assert [one["status"] for one in calls(page, "onStatusChange")] == [
        "pending",
        "processing",
        "completed",
    ]
    assert calls(page, "onStatusChange")[-1] == {
        "amount": "0.015",
        "currency": "BTC",
        "network": "BTC",
        "fiat_amount": session.state["fiat_amount"],
        "fiat_currency": session.state["fiat_currency"],
        "fiat_fee": session.state["fiat_fee"],
        "rate": session.state["rate"],
        "merchant_transaction_id": answer["merchant_transaction_id"],
        "status": "completed",
        "payment_method": "card",
        "failure_reason": "",
        "chain_transaction": "",
        "chain_transaction_url": "",
        "occurred_at": session.state["occurred_at"],
    }
    assert calls(page, "onPaymentFinished") == [{"payment_method": "card"}]
    assert session.charged == 1


def test_what_is_typed_of_a_card_leaves_the_browser_in_no_form(
    page: Page, shop: Shop, api: WidgetApi
) -> None:
    seen: list[str] = []
    page.on("request", lambda request: seen.append(request.url + (request.post_data or "")))
    frame = shop.visit(page, run_options(api.create()))
    type_card(frame, NUMBERS["declined"])
    pay(frame)
    expect(frame.get_by_text("The payment was declined")).to_be_visible()
    sent = " ".join(seen) + b" ".join(body for _, body in api.bodies).decode()
    for piece in ("4000", "0002", "737", "Zoe", "Quill", "12 / 34"):
        assert piece not in sent
    (paid,) = [json.loads(body) for name, body in api.bodies if name == "pay"]
    assert set(paid) == {"attempt_id", "method", "outcome"}


def test_a_declined_payment_is_tried_again_under_the_same_transaction(
    page: Page, shop: Shop, api: WidgetApi
) -> None:
    answer = api.create()
    session = api.sessions[answer["merchant_transaction_id"]]
    frame = shop.visit(page, run_options(answer))
    type_card(frame, NUMBERS["declined_then_success"])
    pay(frame)
    expect(frame.get_by_role("alert").filter(has_text="nothing was charged")).to_be_visible()
    frame.get_by_label("Apple Pay").check()
    pay(frame)
    heading(frame, "Your coins are on their way")
    assert list(session.attempts.values()) == ["declined", "captured"]
    assert heard(page, "onPaymentFinished", 2) == [
        {"payment_method": "card"},
        {"payment_method": "apple_pay"},
    ]


@pytest.mark.parametrize(
    ("press", "shown"),
    [("Confirm payment", "Your coins are on their way"), ("Decline", "Payment")],
)
def test_the_bank_asks(page: Page, api: WidgetApi, press: str, shown: str) -> None:
    answer = api.create()
    page.goto(redirect_url(api, answer))
    type_card(page, NUMBERS["challenge"])
    pay(page)
    heading(page, "Confirm with your bank")
    page.get_by_role("button", name=press).click()
    heading(page, shown)
    assert api.sessions[answer["merchant_transaction_id"]].charged == int(press != "Decline")


@pytest.mark.parametrize("fault", ["unanswered", 500])
def test_a_call_that_fails_is_made_again_and_charges_once(
    page: Page, api: WidgetApi, fault: str | int
) -> None:
    answer = api.create()
    api.faults["pay"] = [fault]
    page.goto(redirect_url(api, answer))
    type_card(page, NUMBERS["success"])
    pay(page)
    heading(page, "Your coins are on their way")
    sent = [json.loads(body)["attempt_id"] for name, body in api.bodies if name == "pay"]
    assert len(sent) == 2
    assert len(set(sent)) == 1
    assert api.sessions[answer["merchant_transaction_id"]].charged == 1


def test_an_attempt_whose_end_is_unknown_keeps_its_id_over_a_reload(
    page: Page, api: WidgetApi
) -> None:
    answer = api.create()
    api.faults["pay"] = [502] * 4
    page.goto(redirect_url(api, answer))
    type_card(page, NUMBERS["success"])
    pay(page)
    expect(page.get_by_role("alert").filter(has_text="cannot charge you twice")).to_be_visible()
    page.reload()
    type_card(page, NUMBERS["success"])
    pay(page)
    heading(page, "Your coins are on their way")
    sent = {json.loads(body)["attempt_id"] for name, body in api.bodies if name == "pay"}
    assert len(sent) == 1


def test_reload_and_back_find_the_payment_as_it_is(page: Page, api: WidgetApi) -> None:
    answer = api.create()
    page.goto("about:blank")
    page.goto(redirect_url(api, answer))
    heading(page, "Payment")
    assert answer["init_token"] not in page.url
    page.reload()
    type_card(page, NUMBERS["success"])
    pay(page)
    heading(page, "Your coins are on their way")
    page.go_back()
    page.go_forward()
    heading(page, "Your coins are on their way")
    session = api.sessions[answer["merchant_transaction_id"]]
    assert session.charged == 1
    assert [name for name, _ in api.bodies].count("open") == 1


def test_a_second_run_in_the_same_tab_goes_on(page: Page, shop: Shop, api: WidgetApi) -> None:
    options = run_options(api.create())
    heading(shop.visit(page, options), "Payment")
    heading(shop.visit(page, options), "Payment")
    assert [name for name, _ in api.bodies].count("open") == 1


def test_nothing_is_sent_for_a_card_that_cannot_be_right(page: Page, api: WidgetApi) -> None:
    page.goto(redirect_url(api, api.create()))
    type_card(page, "4242 4242 4242 4241")
    page.get_by_label("Expiry date").fill("01 / 20")
    pay(page)
    number = page.get_by_label("Card number")
    expect(number).to_be_focused()
    expect(number).to_have_accessible_description("Check the card number; a digit seems wrong.")
    expect(page.get_by_label("Expiry date")).to_have_attribute("aria-invalid", "true")
    assert "pay" not in [name for name, _ in api.bodies]


def test_another_currency_changes_the_total(page: Page, api: WidgetApi) -> None:
    page.goto(redirect_url(api, api.create()))
    button = page.get_by_role("button", name=re.compile("^Pay "))
    expect(button).to_contain_text("€934.36")
    page.get_by_label("Currency").select_option("USD")
    expect(button).to_contain_text("$1,015.61")


def test_identity_is_asked_for_with_document_and_face(page: Page, api: WidgetApi) -> None:
    answer = api.create(kyc="not_started")
    page.goto(redirect_url(api, answer))
    heading(page, "Confirm your identity")
    page.get_by_label("Identity card").check()
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("heading", name="Face check")).to_be_focused()
    page.get_by_role("button", name="Start the check").click()
    heading(page, "Checking your identity")
    (sent,) = [json.loads(body) for name, body in api.bodies if name == "kyc"]
    assert sent == {"document": "id_card", "liveness": True}
    state = api.sessions[answer["merchant_transaction_id"]].state
    state |= {"kyc": "verified", "step": "pay"}
    heading(page, "Payment")


def test_giving_up_is_asked_for_twice(page: Page, shop: Shop, api: WidgetApi) -> None:
    answer = api.create()
    frame = shop.visit(page, run_options(answer))
    frame.get_by_role("button", name="Cancel payment").click()
    frame.get_by_role("button", name="No, go on").click()
    expect(frame.get_by_role("dialog")).to_have_count(0)
    frame.get_by_role("button", name="Cancel payment").click()
    frame.get_by_role("button", name="Yes, cancel").click()
    heading(frame, "Payment cancelled")
    statuses = [one["status"] for one in heard(page, "onStatusChange", 2)]
    assert statuses == ["pending", "cancelled"]


def test_the_way_back_leads_to_the_partners_page(page: Page, shop: Shop, api: WidgetApi) -> None:
    back = f"{shop.url}/thanks"
    stop_the_clock(page)
    answer = api.create(status="completed", step="done", redirect_url=back)
    frame = shop.visit(page, run_options(answer))
    expect(frame.get_by_role("link", name=BACK)).to_have_attribute("href", back)
    frame.get_by_role("button", name="Stay here").click()
    expect(frame.get_by_text(SOON)).to_have_count(0)
    frame.get_by_role("link", name=BACK).click()
    page.wait_for_url(back)


def test_after_success_the_page_goes_back_by_itself(page: Page, shop: Shop, api: WidgetApi) -> None:
    back = f"{shop.url}/thanks"
    stop_the_clock(page)
    answer = api.create(status="completed", step="done", redirect_url=back)
    frame = shop.visit(page, run_options(answer))
    expect(frame.get_by_text(SOON)).to_be_visible()
    page.clock.run_for(11_000)
    page.wait_for_url(back)
