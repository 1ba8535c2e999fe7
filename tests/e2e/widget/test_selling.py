"""Selling: the address with its code and its time, and what the partner's page hears."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import segno
from playwright.sync_api import BrowserContext, Page, expect
from tests.e2e.widget.conftest import Shop, calls, heard, redirect_url, run_options
from tests.e2e.widget.driving import heading
from tests.support.widgets import WALLETS, WidgetPartner, WidgetServer

from proof.web.widget.assets import release

# Nothing comes in by itself, unless a test is about that.
SELL: dict[str, Any] = {
    "type": "sell",
    "currency": "USDT",
    "network": "ERC20",
    "amount": "1250.5",
    "user_email": "user+deposit_never_arrives@acme.example",
}
_ENCODE = """async ([url, texts]) => {
  const { encode } = await import(url);
  return texts.map(([text, mask]) => encode(text, mask).map((row) => row.map(Number)));
}"""


def test_the_address_is_shown_on_asking_and_the_partner_hears_of_it(
    page: Page, shop: Shop, partner: WidgetPartner
) -> None:
    answer = partner.open(**SELL | {"user_email": "user+callback_late@acme.example"})
    frame = shop.visit(page, run_options(answer))
    heading(frame, "Get ready to send")
    assert calls(page, "onSellTransferEnabled") == []
    frame.get_by_role("button", name="Show deposit address").click()
    (told,) = heard(page, "onSellTransferEnabled")
    assert told == {
        "amount": "1250.5",
        "currency": "USDT",
        "network": "ERC20",
        "address": told["address"],
        "id": answer["merchant_transaction_id"],
        "flow_id": "payout",
    }
    assert told["address"] != WALLETS["ERC20"], (
        "the deposit is the provider's, not the refund wallet"
    )
    heading(frame, "Your money is on its way")
    assert calls(page, "onPaymentFinished") == []


def test_the_address_is_shown_with_its_code_and_its_time(
    page: Page, server: WidgetServer, partner: WidgetPartner
) -> None:
    page.goto(redirect_url(server, partner.open(**SELL)))
    address = shown(page)
    expect(page.get_by_text(address)).to_be_visible()
    expect(page.get_by_role("img", name="QR code of the deposit address")).to_be_visible()


def shown(page: Page, show: str = "Show deposit address") -> str:
    """The deposit address, asked for."""
    with page.expect_response("**/w/api/deposit") as answered:
        page.get_by_role("button", name=show).click()
    address: str = answered.value.json()["deposit"]["address"]
    expect(page.get_by_role("timer")).to_have_text(re.compile(r"^5:59:\d\d$|^6:00:00$"))
    return address


def test_the_address_is_copied_by_a_button(
    context: BrowserContext, page: Page, server: WidgetServer, partner: WidgetPartner
) -> None:
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(redirect_url(server, partner.open(**SELL)))
    address = shown(page)
    page.get_by_role("button", name="Copy: Deposit address").click()
    expect(page.get_by_text("Copied.")).to_be_attached()
    assert page.evaluate("navigator.clipboard.readText()") == address


def test_an_amount_is_read_in_the_language_and_copied_as_wallets_take_it(
    context: BrowserContext, page: Page, server: WidgetServer
) -> None:
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(
        redirect_url(
            server, server.partner(config={"lang": "de"}).open(**SELL | {"amount": "1.125"})
        )
    )
    page.get_by_role("button", name="Einzahlungsadresse anzeigen").click()
    expect(page.locator(".copied .text").nth(1)).to_have_text("1,125 USDT")
    page.get_by_role("button", name="Kopieren: Betrag").click()
    expect(page.get_by_text("Kopiert.")).to_be_attached()
    assert page.evaluate("navigator.clipboard.readText()") == "1.125"


def test_a_frame_without_a_clipboard_copies_by_selection(page: Page, server: WidgetServer) -> None:
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
    page.goto(redirect_url(server, server.partner(config={"lang": "de"}).open(**SELL)))
    page.get_by_role("button", name="Einzahlungsadresse anzeigen").click()
    page.get_by_role("button", name="Kopieren: Betrag").click()
    expect(page.get_by_text("Kopiert.")).to_be_attached()
    assert page.evaluate("carried") == "1250.5"


@pytest.mark.usefixtures("context")
def test_the_clock_is_the_servers(page: Page, server: WidgetServer, partner: WidgetPartner) -> None:
    page.clock.set_system_time(datetime.now(UTC) + timedelta(hours=3))
    page.goto(redirect_url(server, partner.open(**SELL)))
    shown(page)


def test_a_sandbox_whose_clock_was_moved_counts_down_by_it(
    page: Page, server: WidgetServer, partner: WidgetPartner
) -> None:
    page.goto(redirect_url(server, partner.open(**SELL)))
    address = shown(page)
    partner.later(2 * 3600)
    expect(page.get_by_role("timer")).to_have_text(re.compile(r"^3:59:\d\d$"))
    expect(page.get_by_text(address)).to_be_visible()


def test_a_window_that_elapsed_is_seen(
    page: Page, server: WidgetServer, partner: WidgetPartner
) -> None:
    page.goto(redirect_url(server, partner.open(**SELL)))
    address = shown(page)
    partner.later(6 * 3600 + 60)
    heading(page, "Sale failed")
    expect(page.get_by_text("Do not send any coins now")).to_be_visible()
    expect(page.get_by_text(address)).to_have_count(0)


@pytest.mark.usefixtures("context")
def test_an_address_whose_time_is_over_is_taken_away_without_the_server(
    page: Page, server: WidgetServer, partner: WidgetPartner
) -> None:
    page.clock.install()
    page.goto(redirect_url(server, partner.open(**SELL)))
    address = shown(page)
    page.route("**/w/api/state", lambda route: route.abort())
    page.clock.fast_forward("06:01:00")
    expect(page.get_by_role("alert").filter(has_text="do not send them now")).to_be_visible()
    expect(page.get_by_text(address)).to_be_hidden()


def test_codes_are_those_of_another_encoder(page: Page, shop: Shop, server: WidgetServer) -> None:
    """Texts that fill their version to the last byte: where padding begins, segno adds a byte of zeros."""
    texts = ["x" * size for size in (14, 26, 42, 62, 84, 106, 122, 152, 180, 213)] + [
        WALLETS["ERC20"]
    ]
    asked = [(text, mask) for text in texts for mask in range(8)]
    page.goto(shop.url)
    drawn = page.evaluate(_ENCODE, [f"{server.url}/w/static/{release()}/qr.js", asked])
    for (text, mask), rows in zip(asked, drawn, strict=True):
        made = segno.make(text, error="m", mode="byte", micro=False, boost_error=False, mask=mask)
        assert rows == [list(row) for row in made.matrix], (text, mask)
