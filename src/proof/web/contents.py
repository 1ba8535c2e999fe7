"""The pages in their order: name, and what each is about in one line."""

from dataclasses import dataclass
from importlib.resources import files

PAGES_FOLDER = files("proof.web").joinpath("pages")


@dataclass(frozen=True, slots=True)
class Entry:
    """One page: `name` is the last part of its address and its file's name without `.md`."""

    name: str
    about: str


@dataclass(frozen=True, slots=True)
class Chapter:
    """Pages for the same readers."""

    title: str
    entries: tuple[Entry, ...]


CHAPTERS = (
    Chapter(
        "Start",
        (
            Entry("introduction", "What Proof is, what it promises, and what it does not"),
            Entry("quickstart", "From nothing to a proof verified without the server"),
        ),
    ),
    Chapter(
        "For partners",
        (
            Entry("integration", "From credentials to the first completed purchase and sale"),
            Entry("sessions", "The ramp: opening sessions, reading transactions, its errors"),
            Entry(
                "widget",
                "Putting the widget on your site: loader, callbacks, safety, a sample shop",
            ),
            Entry("timestamps", "Submitting hashes: flow, rounds, states, errors and limits"),
            Entry("proofs-and-verifying", "What a proof holds, and checking it without us"),
            Entry("the-log", "The append-only log behind every proof, and how to watch it"),
            Entry("following", "Watching that the log only grows, and mirroring it"),
            Entry("calendar", "The OpenTimestamps calendar: `ots` stamps and upgrades against it"),
            Entry("time-stamping", "RFC 3161 tokens, for programs that know nothing of Proof"),
            Entry(
                "receipts",
                "Everything that was said about a transaction, in one file that proves it",
            ),
            Entry(
                "statements",
                "What each day came to, signed and provable, and comparing it with your books",
            ),
            Entry("watching", "A transaction's status changes over a WebSocket"),
            Entry("sandbox", "Trying every path of the ramp: scripted outcomes, a clock to move"),
            Entry("webhooks", "Notices sent to you: headers, signatures, retries"),
            Entry("credentials-and-addresses", "Tokens, environments and allowlists"),
            Entry("errors", "Every status, what causes it, and whether to try again"),
            Entry("reference", "Every path of the API with its fields, statuses and an example"),
        ),
    ),
    Chapter(
        "For auditors",
        (Entry("auditing", "What a receipt proves and what not, and a dispute worked through"),),
    ),
    Chapter(
        "For operators",
        (
            Entry("operating", "Settings, database, backups, health, upgrades, live mode"),
            Entry(
                "partners", "Onboarding partners, their records, and handing over what they need"
            ),
            Entry("providers", "Provider accounts, their credentials, and what they post to us"),
            Entry(
                "chains", "Anchoring in Bitcoin and Ethereum: nodes, wallets, schedules, ceilings"
            ),
            Entry("witnessing", "A witness for your own log, or for another company's"),
            Entry("cli", "Every command with its options and exit codes"),
        ),
    ),
)

ENTRIES = tuple(entry for chapter in CHAPTERS for entry in chapter.entries)


def source(name: str) -> str:
    """A page's Markdown as written."""
    return PAGES_FOLDER.joinpath(f"{name}.md").read_text()
