"""What users do in the page, by hand or, where the test is about what follows, by its own token."""

import re
from typing import Any

from playwright.sync_api import Frame, FrameLocator, Page, expect

from proof.ramp.providers.outcomes import OUTCOMES, Name

NUMBERS = {item.name: item.card for item in OUTCOMES}

_CALL = """async ([name, body]) => {
  // A tab that opened several sessions keeps the token of each.
  const ours = `proof-widget:${location.pathname.split("/").pop()}:`;
  const [key] = Object.keys(sessionStorage).filter((key) => key.startsWith(ours));
  const { token } = JSON.parse(sessionStorage.getItem(key));
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  const reply = await fetch(`api/${name}`, { method: "POST", headers, body: JSON.stringify(body) });
  if (!reply.ok) throw new Error(await reply.text());
}"""


def type_card(frame: FrameLocator | Page, number: str) -> None:
    frame.get_by_label("Card number").fill(number)
    frame.get_by_label("Expiry date").press_sequentially("1234")
    frame.get_by_label("Security code").fill("737")
    frame.get_by_label("Name on card").fill("Zoe Quill")


def card(frame: FrameLocator | Page, outcome: Name) -> None:
    """Type the card that brings this outcome about."""
    type_card(frame, NUMBERS[outcome])


def pay(frame: FrameLocator | Page) -> None:
    frame.get_by_role("button", name=re.compile("^Pay ")).click()


def identify(frame: FrameLocator | Page) -> None:
    frame.get_by_role("button", name="Continue").click()
    frame.get_by_role("button", name="Start the check").click()


def heading(frame: FrameLocator | Page, text: str | re.Pattern[str]) -> None:
    """Wait until the page's heading is this."""
    expect(frame.get_by_role("heading", name=text, level=1)).to_be_visible()


def tab_call(page: Page | Frame, name: str, **body: Any) -> None:
    """Call the API as the page itself does, with its token; the page sees it at its next look."""
    page.evaluate(_CALL, [name, body])
