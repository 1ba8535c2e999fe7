"""The user's receipt: from the widget's last screen to a file that the verifier accepts, by a link that
shows nothing to whoever guesses."""

import json
import os
import re
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urljoin
from uuid import UUID, uuid4

import pytest
from playwright.sync_api import Page, Request, Route, expect
from tests.e2e.widget.conftest import ON_A_PHONE, Tab, redirect_url
from tests.e2e.widget.driving import card, pay
from tests.e2e.widget.test_people import LANGUAGES, shown, violations
from tests.support.receipts_lab import Bought
from tests.support.widget_truth import claims
from tests.support.widgets import SANDBOX, WidgetPartner, WidgetServer

from proof.core.clock import SystemClock
from proof.partners.audit import Actor
from proof.ramp.providers.outcomes import Name
from proof.ramp.transactions.erasure import erase_user
from proof.verify.cli import main as verifier
from proof.web.widget.assets import static
from proof.webhooks.pruning import forget_replies

# Pictures to look at are kept where this names a folder.
PICTURES = os.environ.get("PROOF_TEST_PICTURES")


def picture(page: Page, name: str) -> None:
    if PICTURES:
        page.screenshot(path=Path(PICTURES) / f"receipt-{name}.png", full_page=True)


def bought(page: Page, server: WidgetServer, partner: WidgetPartner, **changes: Any) -> str:
    """A purchase to its end, and the address of its receipt."""
    answer = partner.open(**changes)
    page.goto(redirect_url(server, answer))
    card(page, Name.SUCCESS)
    pay(page)
    partner.later(60)
    expect(page.get_by_role("heading", name="Payment complete")).to_be_visible()
    return address(page)


def address(page: Page) -> str:
    link = page.get_by_role("link", name="Receipt")
    expect(link).to_be_visible()
    return str(link.get_attribute("href"))


def transaction_of(url: str) -> UUID:
    return UUID(url.rpartition("/")[2].partition("#")[0])


def stamp(server: WidgetServer, partner: WidgetPartner, url: str) -> None:
    """As the worker does."""
    transaction = transaction_of(url)
    server.run(Bought(server.platform, partner.shop, transaction, SANDBOX).stamp())


def fits(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


def keys(server: WidgetServer, folder: Path) -> list[str]:
    """The options of the verifier, with the keys that the sandbox serves."""
    found = []
    for option, path in (("--log-key", "log/key"), ("--receipt-key", "receipts/key")):
        file = folder / path.replace("/", ".")
        with urllib.request.urlopen(f"{server.base_url()}/{path}") as reply:
            file.write_bytes(reply.read())
        found += [option, str(file)]
    return found


def saved(page: Page, folder: Path) -> Path:
    """The file, saved by keyboard."""
    button = page.get_by_role("button", name="Save the file")
    button.focus()
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("Saved.")
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


@pytest.fixture(scope="module")
def purchase(tab: Tab, server: WidgetServer, partner: WidgetPartner) -> str:
    """The address of the receipt of a purchase that is over, each record proved by the log."""
    page = tab(**ON_A_PHONE)
    url = bought(page, server, partner)
    page.close()
    stamp(server, partner, url)
    return url


def test_a_buyer_gets_the_receipt_and_a_file_that_the_verifier_accepts(
    page: Page, server: WidgetServer, partner: WidgetPartner, tmp_path: Path
) -> None:
    said: list[str] = []
    url = bought(page, server, partner)
    picture(page, "outcome")
    with page.expect_popup() as popup:
        page.get_by_role("link", name="Receipt").click()
    receipt = popup.value
    receipt.on("console", lambda message: said.append(message.text))
    receipt.on("pageerror", lambda error: said.append(str(error)))
    expect(receipt.get_by_role("heading", name="Payment complete", level=1)).to_be_visible()
    assert receipt.url == url
    expect(receipt.get_by_text("Nothing yet. The first proof takes")).to_be_visible()
    picture(receipt, "unproved")
    stamp(server, partner, url)
    receipt.reload()
    main = receipt.get_by_role("main")
    for text in (
        "Bought",
        "0.015\u00a0BTC",
        "You paid",
        "Fee",
        "1\u00a0BTC = €",
        "Card",
        "bc1qar…5mdq",
    ):
        expect(main).to_contain_text(text)
    for text in ("Order opened", "Payment received", "Payment complete"):
        expect(receipt.locator(".history")).to_contain_text(text)
    count = receipt.locator(".history li").count()
    expect(main).to_contain_text(f"\u2068{count}\u2069 of \u2068{count}\u2069 entries")
    picture(receipt, "phone")
    assert fits(receipt)
    path = saved(receipt, tmp_path)
    assert path.name == f"receipt-{transaction_of(url)}.json"
    assert verifier([str(path), *keys(server, tmp_path)]) == 0
    head = json.loads(path.read_bytes())["records"][-1]["sha256"]
    expect(main).to_contain_text(head)
    assert said == []
    receipt.close()


def test_who_cancelled_is_told_so_and_never_that_anything_was_paid(
    page: Page, server: WidgetServer, partner: WidgetPartner, tmp_path: Path
) -> None:
    page.goto(redirect_url(server, partner.open()))
    page.get_by_role("button", name="Cancel payment").click()
    page.get_by_role("button", name="Yes, cancel").click()
    expect(page.get_by_role("heading", name="Payment cancelled")).to_be_visible()
    # The provider's word for it may be on its way to the record.
    expect(page.locator(".details")).to_contain_text("Time")
    url = address(page)
    stamp(server, partner, url)
    page.goto(url)
    expect(page.get_by_role("heading", name="Payment cancelled", level=1)).to_be_visible()
    picture(page, "cancelled")
    text = page.locator("body").inner_text()
    assert claims(text) == {"cancelled", "free"}
    assert "€" not in text
    expect(page.get_by_text("Ordered")).to_be_visible()
    path = saved(page, tmp_path)
    assert verifier([str(path), *keys(server, tmp_path)]) == 0


@pytest.mark.parametrize(
    ("state", "heading", "made", "total"),
    [
        # Of a delay no record tells, nor that anything is on its way.
        ("review", "Payment received", {"paid"}, "You paid"),
        ("failed", "Sale failed", {"failed"}, ""),
        ("identity-failed", "Identity not confirmed", {"failed", "free"}, ""),
        ("sold", "Sale complete", {"paid", "complete"}, "You got"),
    ],
)
def test_it_says_of_every_end_what_is_so(
    page: Page, server: WidgetServer, state: str, heading: str, made: set[str], total: str
) -> None:
    if state == "sold":
        partner = server.partner()
        page.goto(
            redirect_url(
                server, partner.open(type="sell", currency="USDT", network="TRC20", amount="100")
            )
        )
        page.get_by_role("button", name="Show deposit address").click()
        partner.later(60)
        expect(page.get_by_role("heading", name=heading, level=1)).to_be_visible()
    else:
        shown(page, server, state)
    if state != "review":
        expect(page.locator(".details")).to_contain_text("Time")
    url = page.evaluate(_LINK)
    page.goto(url)
    expect(page.get_by_role("heading", name=heading, level=1)).to_be_visible()
    picture(page, f"end-{state}")
    text = page.locator("body").inner_text()
    assert claims(text) == made
    assert ("€" in text) == bool(total)
    assert total in text


def test_a_receipt_that_grows_says_so(
    page: Page, server: WidgetServer, partner: WidgetPartner
) -> None:
    answer = partner.open()
    page.goto(redirect_url(server, answer))
    expect(page.get_by_role("heading", name="Payment", level=1)).to_be_visible()
    url = page.evaluate(_LINK)
    page.goto(url)
    expect(page.get_by_role("heading", name="Not finished yet", level=1)).to_be_visible()
    assert claims(page.locator("body").inner_text()) == set()
    picture(page, "pending")


_LINK = """async () => {
  const [key] = Object.keys(sessionStorage).filter((key) => key.startsWith("proof-widget:w"));
  const { token } = JSON.parse(sessionStorage.getItem(key));
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  const reply = await fetch("api/receipt", { method: "POST", headers, body: "{}" });
  return (await reply.json()).url;
}"""


def test_who_was_erased_keeps_the_receipt_and_is_not_on_it(
    page: Page, server: WidgetServer, partner: WidgetPartner, tmp_path: Path
) -> None:
    user = f"user {uuid4()}"
    answer = partner.open(partner_user_id=user)
    page.goto(redirect_url(server, answer))
    page.get_by_role("button", name="Cancel payment").click()
    page.get_by_role("button", name="Yes, cancel").click()
    expect(page.locator(".details")).to_contain_text("Time")
    url = address(page)

    async def erased() -> None:
        at, clock = server.platform, SystemClock()
        async with at.database.transaction() as tx:
            partner_id = partner.shop.partner.partner_id
            how = (Actor("cli"), clock.now(), forget_replies)
            await erase_user(tx, at.vault, partner_id, user, *how)

    server.run(erased())
    stamp(server, partner, url)
    page.goto(url)
    expect(page.get_by_role("heading", name="Payment cancelled", level=1)).to_be_visible()
    expect(page.get_by_text("The personal details behind it were erased.")).to_be_visible()
    assert "bc1q" not in page.locator("body").inner_text()
    path = saved(page, tmp_path)
    assert verifier([str(path), *keys(server, tmp_path)]) == 0


@pytest.mark.parametrize("guess", ["token", "transaction", "none"])
def test_a_guess_shows_nothing_and_is_told_what_to_do(
    page: Page, purchase: str, guess: str
) -> None:
    place, _, token = purchase.partition("#")
    other = f"{place[:-4]}{'0000' if place[-4:] != '0000' else '1111'}"
    wrong = {
        "token": f"{place}#{token[1:]}A",
        "transaction": f"{other}#{token}",
        "none": place,
    }
    page.goto(wrong[guess])
    expect(page.get_by_role("heading", name="This link leads to no receipt")).to_be_visible()
    expect(page.get_by_text("to its last character")).to_be_visible()
    if guess == "none":
        picture(page, "gone")
    text = page.locator("body").inner_text()
    assert not [each for each in ("Acme", "BTC", "€") if each in text]
    # The whole link, opened in the same tab, is another page.
    page.goto(purchase)
    expect(page.get_by_role("heading", name="Payment complete", level=1)).to_be_visible()


def test_no_server_and_no_paper_gets_the_token(page: Page, purchase: str) -> None:
    place, _, token = purchase.partition("#")
    asked: list[Request] = []

    def hear(request: Request) -> None:
        asked.append(request)

    page.on("request", hear)
    page.goto(purchase)
    expect(page.get_by_role("heading", name="Payment complete", level=1)).to_be_visible()
    assert not [request.url for request in asked if token in request.url]
    assert not [request for request in asked if token in str(request.headers)]
    assert [request.url for request in asked if token in (request.post_data or "")] == [
        urljoin(place, "api/receipt")
    ]
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.url == place
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.url == purchase
    assert token not in page.content()


@pytest.mark.parametrize("form", ["A4", "Letter"])
def test_it_prints_on_one_page_in_black_on_white(tab: Tab, purchase: str, form: str) -> None:
    page = tab(**ON_A_PHONE, color_scheme="dark")
    page.goto(purchase)
    expect(page.get_by_role("heading", name="Payment complete", level=1)).to_be_visible()
    printed = page.pdf(format=form, prefer_css_page_size=False, print_background=True)
    if PICTURES:
        (Path(PICTURES) / f"receipt-{form}.pdf").write_bytes(printed)
    assert len(re.findall(rb"/Type /Page\b", printed)) == 1
    page.emulate_media(media="print", color_scheme="dark")
    for name, colour in (("backgroundColor", "rgb(255, 255, 255)"), ("color", "rgb(0, 0, 0)")):
        for place in ("body", ".receipt", ".lead"):
            found = page.eval_on_selector(place, f"each => getComputedStyle(each).{name}")
            assert found in {colour, "rgba(0, 0, 0, 0)"}, (place, name)
    expect(page.get_by_role("button", name="Print")).to_be_hidden()
    page.close()


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_axe_finds_nothing_in_light_and_dark(tab: Tab, purchase: str, width: int) -> None:
    page = tab(viewport={"width": width, "height": 844}, bypass_csp=True, locale="en-GB")
    page.emulate_media(color_scheme="light")
    page.goto(purchase)
    expect(page.get_by_role("heading", name="Payment complete", level=1)).to_be_focused()
    assert violations(page) == []
    assert fits(page)
    picture(page, f"{width}-light")
    page.emulate_media(color_scheme="dark")
    assert violations(page, "color-contrast") == []
    picture(page, f"{width}-dark")
    page.close()


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_language_is_spoken_throughout(tab: Tab, server: WidgetServer, language: str) -> None:
    """The session's, and not the browser's."""
    page = tab(viewport={"width": 320, "height": 568}, locale="en-GB")
    partner = server.partner(config={"lang": language})
    answer = partner.open()
    page.goto(redirect_url(server, answer))
    expect(page.locator("h1")).to_be_visible()
    url = page.evaluate(_LINK)
    stamp(server, partner, url)
    page.goto(url)
    words = json.loads(static()[f"i18n/{language}.json"].body)
    expect(page.get_by_role("heading", level=1)).to_have_text(words["receipt.pending"])
    expect(page.get_by_role("heading", level=2).first).to_have_text(words["receipt.history"])
    root = page.locator("html")
    expect(root).to_have_attribute("lang", language)
    expect(root).to_have_attribute("dir", "rtl" if language == "ar" else "ltr")
    assert fits(page)
    picture(page, f"language-{language}")
    page.close()


def test_it_is_tried_again_where_the_server_cannot_be_reached(page: Page, purchase: str) -> None:
    lost = [2]

    def lose(route: Route) -> None:
        lost[0] -= 1
        route.abort() if lost[0] >= 0 else route.continue_()

    page.route("**/r/api/receipt", lose)
    page.goto(purchase)
    again = page.get_by_role("button", name="Try again")
    expect(page.get_by_role("heading", name="The payment server cannot be reached")).to_be_visible()
    again.press("Enter")
    expect(again).not_to_have_attribute("aria-busy", "true")
    again.press("Enter")
    expect(page.get_by_role("heading", name="Payment complete", level=1)).to_be_visible()
