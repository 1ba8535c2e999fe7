"""Selling: the address with its code and its time, and what the partner's page hears."""

import re
from datetime import UTC, datetime, timedelta

import segno
from playwright.sync_api import BrowserContext, Page, expect
from tests.e2e.widget.conftest import Shop, calls, redirect_url, run_options
from tests.support.widget_api import ADDRESS, WidgetApi

from proof.web.widget.assets import release

SELL = {"type": "sell", "currency": "USDT", "network": "ERC20", "crypto_amount": "1250.5"}
_ENCODE = """async ([url, texts]) => {
  const { encode } = await import(url);
  return texts.map(([text, mask]) => encode(text, mask).map((row) => row.map(Number)));
}"""


def test_the_address_is_shown_on_asking_and_the_partner_hears_of_it(
    page: Page, shop: Shop, api: WidgetApi
) -> None:
    answer = api.create(**SELL)
    session = api.sessions[answer["merchant_transaction_id"]]
    frame = shop.visit(page, run_options(answer))
    expect(frame.get_by_role("heading", name="Get ready to send")).to_be_visible()
    assert calls(page, "onSellTransferEnabled") == []
    frame.get_by_role("button", name="Show deposit address").click()
    expect(frame.get_by_text(ADDRESS)).to_be_visible()
    expect(frame.get_by_role("img", name="QR code of the deposit address")).to_be_visible()
    expect(frame.get_by_role("timer")).to_have_text(re.compile(r"^5:59:\d\d$"))
    assert calls(page, "onSellTransferEnabled") == [
        {
            "amount": "1250.5",
            "currency": "USDT",
            "network": "ERC20",
            "address": ADDRESS,
            "id": session.state["deposit"]["id"],
            "flow_id": "payout",
        }
    ]
    session.state |= {"status": "processing", "step": "processing"}
    expect(frame.get_by_role("heading", name="Your money is on its way")).to_be_visible()
    assert calls(page, "onPaymentFinished") == []


def test_the_address_is_copied_by_a_button(
    context: BrowserContext, page: Page, api: WidgetApi
) -> None:
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(redirect_url(api, api.create(**SELL)))
    page.get_by_role("button", name="Show deposit address").click()
    page.get_by_role("button", name="Copy: Deposit address").click()
    expect(page.get_by_text("Copied.")).to_be_attached()
    assert page.evaluate("navigator.clipboard.readText()") == ADDRESS


def test_the_clock_is_the_servers(page: Page, api: WidgetApi) -> None:
    page.clock.set_system_time(datetime.now(UTC) + timedelta(hours=3))
    page.goto(redirect_url(api, api.create(**SELL)))
    page.get_by_role("button", name="Show deposit address").click()
    expect(page.get_by_role("timer")).to_have_text(re.compile(r"^5:59:\d\d$"))


def test_a_window_that_elapsed_is_seen(page: Page, api: WidgetApi) -> None:
    answer = api.create(**SELL)
    page.goto(redirect_url(api, answer))
    page.get_by_role("button", name="Show deposit address").click()
    expect(page.get_by_role("timer")).to_be_visible()
    state = api.sessions[answer["merchant_transaction_id"]].state
    state |= {"status": "failed", "step": "done"}
    expect(page.get_by_role("heading", name="Sale failed")).to_be_visible()
    expect(page.get_by_text("Do not send any coins now")).to_be_visible()


def test_codes_are_those_of_another_encoder(page: Page, shop: Shop, api: WidgetApi) -> None:
    """Texts that fill their version to the last byte: where padding begins, segno adds a byte of zeros."""
    texts = ["x" * size for size in (14, 26, 42, 62, 84, 106, 122, 152, 180, 213)] + [ADDRESS]
    asked = [(text, mask) for text in texts for mask in range(8)]
    page.goto(shop.url)
    drawn = page.evaluate(_ENCODE, [f"{api.base}/w/static/{release()}/qr.js", asked])
    for (text, mask), rows in zip(asked, drawn, strict=True):
        made = segno.make(text, error="m", mode="byte", micro=False, boost_error=False, mask=mask)
        assert rows == [list(row) for row in made.matrix], (text, mask)
