"""The fields of a card as hands, browsers and other keyboards fill them."""

import re

from playwright.sync_api import Page, expect
from tests.e2e.widget.conftest import Tab
from tests.e2e.widget.test_people import shown
from tests.support.widgets import WidgetServer

EXPIRY_DATES = {
    "4/29": "04 / 29",
    "1/29": "01 / 29",
    "1229": "12 / 29",
    "12/2029": "12 / 29",
    "٠٤٢٩": "04 / 29",
}


def test_an_expiry_date_is_read_as_people_write_it(page: Page, server: WidgetServer) -> None:
    shown(page, server, "payment")
    field = page.get_by_label("Expiry date")
    for typed, read in EXPIRY_DATES.items():
        field.clear()
        field.press_sequentially(typed)
        expect(field, typed).to_have_value(read)
        field.clear()
        field.fill(typed)  # as a browser does that remembers cards
        expect(field, typed).to_have_value(read)


def test_a_card_number_is_typed_on_an_arabic_keyboard(page: Page, server: WidgetServer) -> None:
    shown(page, server, "payment")
    field = page.get_by_label("Card number")
    field.press_sequentially("٤٢٤٢٤٢٤٢٤٢٤٢٤٢٤٢")
    expect(field).to_have_value("4242 4242 4242 4242")


def test_a_field_being_mended_is_wrong_no_longer(page: Page, server: WidgetServer) -> None:
    shown(page, server, "payment")
    page.get_by_role("button", name=re.compile("^Pay")).click()
    field = page.get_by_label("Card number")
    expect(field).to_be_focused()
    expect(field).to_have_accessible_description(re.compile("Enter the card number"))
    field.press_sequentially("4")
    expect(field).not_to_have_attribute("aria-invalid", "true")
    expect(page.get_by_text("Enter the card number")).to_have_count(0)


def test_fields_side_by_side_stay_in_line(tab: Tab, server: WidgetServer) -> None:
    page = tab(viewport={"width": 320, "height": 568})
    shown(page, server, "payment", lang="tr")  # "Son kullanma tarihi" takes two lines
    tops = page.evaluate(
        "[...document.querySelectorAll('.pair input')].map(i => i.getBoundingClientRect().top)"
    )
    assert len(set(tops)) == 1, tops
    page.close()
