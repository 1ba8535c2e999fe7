"""What the page may claim, and a recorder of every frame it draws."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Frame, Page

# Claims of the page's English words. A frame makes every claim that its text matches.
CLAIMS: Mapping[str, re.Pattern[str]] = {
    "paid": re.compile(
        r"\breceived|on (?:its|their) way|You paid|Sending |Paying you out|(?:Payment|Transfer)\s+done"
    ),
    "complete": re.compile(r"complete\b|has been (?:delivered|sent)"),
    "cancelled": re.compile(r"[Cc]ancelled"),
    "failed": re.compile(
        r"failed|not confirmed|could not be (?:made|confirmed)|did not go through"
    ),
    "delayed": re.compile(r"delayed|could not be sent yet"),
    "free": re.compile(r"[Nn]othing was charged"),
    "asks": re.compile(
        r"^Pay [^\n]*\d|Show deposit address|QR code|Waiting for your transfer", re.M
    ),
}

RECORDER = """(() => {
  if (!location.pathname.includes("/w/")) return;
  const log = (window.proofFrames = []);
  const fetched = window.fetch;
  window.fetch = async (...values) => {
    const reply = await fetched(...values);
    if (reply.ok && String(values[0]).includes("/w/api/")) {
      const answer = await reply.clone().json();
      // Where the receipt is tells nothing of the transaction.
      if (!answer.url) log.push({ answer: answer.state ?? answer });
    }
    return reply;
  };
  let before = null;
  const poll = () => {
    const text = document.getElementById("widget")?.innerText ?? "";
    if (text !== before) log.push({ text: (before = text) });
  };
  new MutationObserver(poll).observe(document, {
    subtree: true, childList: true, characterData: true, attributes: true,
  });
  const frame = () => { poll(); requestAnimationFrame(frame); };
  requestAnimationFrame(frame);
})()"""


def claims(text: str) -> set[str]:
    """What a text claims."""
    return {name for name, pattern in CLAIMS.items() if pattern.search(text)}


@dataclass(frozen=True)
class Facts:
    """What has happened to a transaction, whoever says so. `declined`: the last attempt to pay was."""

    status: str
    paid: bool = False
    cancelled: bool = False
    failed: bool = False
    undeliverable: bool = False
    declined: bool = False

    @property
    def allowed(self) -> set[str]:
        """The claims that are true."""
        over = self.cancelled or self.failed or self.status in {"cancelled", "failed", "completed"}
        true = {
            "paid": self.paid,
            "complete": self.status == "completed",
            "cancelled": self.cancelled or self.status == "cancelled",
            "failed": self.failed or self.status == "failed",
            "delayed": self.undeliverable and not over,
            "free": not self.paid and (over or self.declined),
            "asks": not self.paid and not over,
        }
        return {name for name, holds in true.items() if holds}

    @property
    def required(self) -> set[str]:
        """The claims that have to be made."""
        ends = self.allowed & {"complete", "cancelled", "failed"}
        if ends:
            return ends
        return {"delayed"} if self.undeliverable else {"paid"} if self.paid else set()


def facts_of(answer: Mapping[str, Any]) -> Facts:
    """The facts of an answer of the API. That it tells them as they are is tested without a browser."""
    return Facts(
        status=answer["status"],
        paid=answer["paid"],
        cancelled=answer["end"] == "cancelled",
        failed=answer["end"] == "failed",
        undeliverable=answer["step"] == "review",
        declined=answer["attempt"]["result"] == "declined",
    )


def record(page: Page) -> None:
    """Record every frame of the hosted page from its next load on."""
    page.add_init_script(RECORDER)


def recorded(page: Page) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each text that was drawn, and the answer of the API that was the newest then; {} before the first."""
    answer: Mapping[str, Any] = {}
    for entry in hosted(page).evaluate("proofFrames"):
        if "answer" in entry:
            answer = entry["answer"]
        else:
            yield entry["text"], answer


def hosted(page: Page) -> Frame:
    """The hosted page, framed or in the whole window."""
    return next(frame for frame in page.frames if "/w/" in frame.url)


def require_truth(page: Page) -> list[set[str]]:
    """No frame that was recorded begins to claim what is not so, and the last claims nothing else; the
    claims of each. An answer may come while a clock in the page ticks on: until it is drawn, what was
    there is there."""
    made: list[set[str]] = []
    allowed: set[str] = set()
    for text, answer in recorded(page):
        allowed = facts_of(answer).allowed if answer else set()
        begun = claims(text) - (made[-1] if made else set())
        assert begun <= allowed, (begun - allowed, text, answer)
        made.append(claims(text))
    assert made, "nothing was recorded"
    assert made[-1] <= allowed, made[-1] - allowed
    return made
