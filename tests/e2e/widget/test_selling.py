"""Selling: the address with its code and its time, and what the partner's page hears."""

import re
from datetime import UTC, datetime, timedelta

import segno
from playwright.sync_api import BrowserContext, Page, expect
from tests.e2e.widget.conftest import Shop, calls, heard, redirect_url, run_options
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
    assert heard(page, "onSellTransferEnabled") == [
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


def test_an_amount_is_read_in_the_language_and_copied_as_wallets_take_it(
    context: BrowserContext, page: Page, api: WidgetApi
) -> None:
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(redirect_url(api, api.create(**SELL | {"crypto_amount": "1.125", "lang": "de"})))
    page.get_by_role("button", name="Einzahlungsadresse anzeigen").click()
    expect(page.locator(".copied .text").nth(1)).to_have_text("1,125 USDT")
    page.get_by_role("button", name="Kopieren: Betrag").click()
    expect(page.get_by_text("Kopiert.")).to_be_attached()
    assert page.evaluate("navigator.clipboard.readText()") == "1.125"


def test_a_frame_without_a_clipboard_copies_by_selection(page: Page, api: WidgetApi) -> None:
    page.add_init_script(
        "Object.defineProperty(navigator, 'clipboard', { value: undefined });"
        "Document.prototype.execCommand = function () {"
        "  const carried = new DataTransfer();"
        "  const event = new ClipboardEvent('copy', { clipboardData: carried, bubbles: true });"
        "  this.dispatchEvent(event);"
        "  window.carried = carried.getData('text/plain');"
        "  return true;"
        "};"
    )
    page.goto(redirect_url(api, api.create(**SELL | {"lang": "de"})))
    page.get_by_role("button", name="Einzahlungsadresse anzeigen").click()
    page.get_by_role("button", name="Kopieren: Betrag").click()
    expect(page.get_by_text("Kopiert.")).to_be_attached()
    assert page.evaluate("carried") == "1250.5"


def test_the_clock_is_the_servers(page: Page, api: WidgetApi) -> None:
    page.clock.set_system_time(datetime.now(UTC) + timedelta(hours=3))
    page.goto(redirect_url(api, api.create(**SELL)))
    page.get_by_role("button", name="Show deposit address").click()
    expect(page.get_by_role("timer")).to_have_text(re.compile(r"^5:59:\d\d$"))


def test_a_sandbox_whose_clock_was_moved_counts_down_by_it(page: Page, api: WidgetApi) -> None:
    page.goto(redirect_url(api, api.create(**SELL)))
    page.get_by_role("button", name="Show deposit address").click()
    expect(page.get_by_role("timer")).to_have_text(re.compile(r"^5:59:\d\d$"))
    api.ahead = timedelta(hours=2)
    expect(page.get_by_role("timer")).to_have_text(re.compile(r"^3:59:\d\d$"))
    expect(page.get_by_text(ADDRESS)).to_be_visible()
    api.ahead = timedelta(hours=6, minutes=1)
    expect(page.get_by_role("alert").filter(has_text="do not send them now")).to_be_visible()
    expect(page.get_by_text(ADDRESS)).to_be_hidden()


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
