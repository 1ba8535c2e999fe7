"""The documentation holds what the program has, and every link leads somewhere."""

import json
import re
import tomllib
import urllib.request
from collections.abc import Mapping
from enum import StrEnum
from functools import cache, cached_property
from hashlib import sha256
from importlib.resources import files
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit
from uuid import UUID

import pytest
from starlette.routing import Match
from tests.support.commands import COMMAND
from tests.support.receiver import documented_headers
from tests.support.signer import (
    EXISTED_BY_MS,
    KEYS,
    LOG,
    WITNESS,
    checkpoint,
    consistency_path,
    log_root,
    payload,
)
from tests.unit.markdown import ELSEWHERE, links
from tests.unit.web.html_page import Page

from proof.api.errors import STATUSES
from proof.api.ramp.errors import RAMP_STATUSES
from proof.config import load_settings
from proof.core.errors import CallerError, ProofError
from proof.main.server.pages import sources
from proof.outbound.errors import Reason as NoReply
from proof.partners.access.operators import OperatorScope
from proof.partners.access.refusals import Reason as Refused
from proof.partners.keys.webhook_secrets import webhook_secret_text
from proof.ramp.transactions.events import EVENT_TYPE, REFUND_EVENT
from proof.ramp.transactions.transitions import Alert
from proof.receipts.maturing import RECEIPT_EVENT
from proof.timestamps.anchors.notices import TREE_EVENT
from proof.timestamps.proofs.service import PROOF_EVENT
from proof.verify import RefusedError, cli
from proof.web.contents import ENTRIES, PAGES_FOLDER
from proof.web.serving import Document
from proof.web.site import Sources, documentation, render
from proof.webhooks.schedule import Schedule
from proof.webhooks.signing import webhook_headers, x_signature
from proof.webhooks.types import TEST_EVENT, Waiting

BASE = "https://stamps.test/proof"
NAMES = [entry.name for entry in ENTRIES]
PATHS = ["/docs/", *(f"/docs/{name}" for name in NAMES)]


class Site:
    """What is served. It is rendered when a test asks for it: while tests are collected, every worker of a
    parallel run would."""

    @cached_property
    def sources(self) -> Sources:
        return sources(load_settings({"PROOF_PUBLIC_URL": BASE, "PROOF_DATA_DIR": "/nowhere"}))

    @cached_property
    def _rendered(self) -> tuple[Mapping[str, Document], Document]:
        return render(self.sources)

    @property
    def documents(self) -> Mapping[str, Document]:
        return self._rendered[0]

    @property
    def missing(self) -> Document:
        return self._rendered[1]

    @cached_property
    def html(self) -> dict[str, str]:
        return {
            path: item.body.decode()
            for path, item in self.documents.items()
            if "html" in item.content_type
        }

    @cached_property
    def pages(self) -> dict[str, Page]:
        return {path: Page(html) for path, html in self.html.items()}

    @cached_property
    def everything(self) -> str:
        return "\n".join(self.html.values())


SITE = Site()


def markdown(name: str) -> str:
    return SITE.documents[f"/docs/{name}.md"].body.decode()


def shown(name: str) -> str:
    return SITE.pages[f"/docs/{name}"].shown()


def snippet(name: str, marker: str) -> str:
    """The one Python block of a page that holds the marker."""
    (found,) = (
        block
        for block in re.findall(r"```python\n(.*?)```", markdown(name), re.S)
        if marker in block
    )
    return str(found)


@cache
def commands() -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []

    def walk(name: str, command: Any) -> None:
        found.append((name, command))
        for child in getattr(command, "commands", {}).values():
            walk(f"{name} {child.name}", child)

    walk("proof", COMMAND)
    return found


def test_the_pages_are_those_that_are_listed_and_the_front_page() -> None:
    assert set(SITE.pages) == set(PATHS)


def test_every_page_that_is_written_is_listed() -> None:
    written = {
        path.name.removesuffix(".md")
        for path in PAGES_FOLDER.iterdir()
        if path.name.endswith(".md")
    }
    assert written == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_page_is_in_llms_txt_in_every_menu_and_on_the_front_page(name: str) -> None:
    assert f"]({BASE}/docs/{name}.md): " in SITE.documents["/llms.txt"].body.decode()
    for page in SITE.pages.values():
        assert page.values("href").count(name) >= 2
    assert SITE.pages["/docs/"].values("href").count(name) == 3


@pytest.mark.parametrize("path", PATHS)
def test_a_page_has_one_title_a_way_past_the_menu_and_a_language(path: str) -> None:
    page = SITE.pages[path]
    assert len(page.all("h1")) == len(page.all("main")) == len(page.all("title")) == 1
    assert page.all("html") == [{"lang": "en"}]
    assert page.values("href")[: len(page.all("link")) + 1][-1] == "#content"
    assert all(image.get("alt") is not None for image in page.all("img"))


@pytest.mark.parametrize("path", PATHS)
def test_a_page_brings_no_script_no_style_of_its_own_and_nothing_from_elsewhere(path: str) -> None:
    page = SITE.pages[path]
    assert not {tag for tag, _ in page.elements} & {
        "script",
        "style",
        "iframe",
        "form",
        "object",
        "base",
    }
    assert not [
        name for _, found in page.elements for name in found if name == "style" or name[:2] == "on"
    ]
    loaded = page.values("src") + [link["href"] for link in page.all("link")]
    assert loaded
    assert all(urljoin(path, address) in SITE.documents for address in loaded)


@pytest.mark.parametrize("path", PATHS)
def test_headings_go_down_one_level_at_a_time(path: str) -> None:
    levels = [int(tag[1]) for tag, _ in SITE.pages[path].elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


@pytest.mark.parametrize("path", PATHS)
def test_an_anchor_is_there_once(path: str) -> None:
    anchors = SITE.pages[path].values("id")
    assert len(anchors) == len(set(anchors))


@pytest.mark.parametrize("path", PATHS)
def test_every_link_leads_somewhere(path: str) -> None:
    for href in SITE.pages[path].values("href"):
        target = urlsplit(urljoin(BASE + path, href))
        if target.netloc in ELSEWHERE:
            assert target.scheme == "https"
            continue
        assert target.netloc == urlsplit(BASE).netloc, href
        inside = target.path.removeprefix(urlsplit(BASE).path)
        assert inside in SITE.documents or inside == "/openapi.json", href
        if target.fragment:
            assert target.fragment in SITE.pages[inside].values("id"), href


# They run, or print what is for programs already.
WITHOUT_JSON = {
    "serve",
    "api",
    "worker",
    "witness serve",
    "audit export",
    "audit proof",
    "audit prove",
    "ots export",
    "tx receipt",
    "tx disclose",
}


def test_every_command_speaks_to_programs() -> None:
    without = {
        name.removeprefix("proof ")
        for name, command in commands()
        if not hasattr(command, "commands")
        and not any("--json" in param.opts for param in command.params)
    }
    assert without == WITHOUT_JSON


@pytest.mark.parametrize(
    ("name", "members"),
    [
        ("credentials-and-addresses", Refused),
        ("operating", Alert),
        ("operating", NoReply),
        ("operating", OperatorScope),
        ("operating", Waiting),
    ],
)
def test_every_word_that_an_operator_is_shown_is_explained(
    name: str, members: type[StrEnum]
) -> None:
    assert [each for each in members if f"`{each}`" not in markdown(name)] == []


def test_nothing_generated_was_forgotten() -> None:
    assert "<!--" not in SITE.everything
    assert "&lt;!--" not in SITE.everything


def test_the_pages_name_the_installation_they_are_served_by() -> None:
    assert "https://proof.example" not in SITE.everything
    assert f"{BASE}/v1/timestamp" in shown("quickstart")
    assert f"{BASE}/sandbox" in shown("introduction")


def test_no_page_shows_the_marks_it_was_written_with() -> None:
    assert "`" not in SITE.documents["/docs/"].body.decode()
    assert "`" not in SITE.missing.body.decode()
    assert not any("`" in value for page in SITE.pages.values() for value in page.values("content"))


@pytest.mark.parametrize(
    "path", ["/docs/", "/llms.txt", "/docs/introduction.md", "/docs/reference.md"]
)
def test_who_begins_here_is_told_of_both_products(path: str) -> None:
    text = (
        SITE.documents[path].body.decode().partition('id="content"')[2]
        or SITE.documents[path].body.decode()
    )
    opening = text[:2500].lower()
    assert "ramp" in opening
    assert "timestamps" in opening


def test_the_reference_begins_with_every_form_of_an_error() -> None:
    opening = markdown("reference").partition("\n## ")[0]
    forms = (
        '{"message": "…"}',
        '{"error": "…", "code": "…", "message": "…"}',
        '{"message": "…", "code": "…"}',
    )
    for page in (opening, markdown("errors").partition("```")[0]):
        assert all(f"`{form}`" in page for form in forms)
        assert "plain text" in page


def test_a_missing_page_shows_the_way() -> None:
    assert SITE.missing.status == 404
    assert set(NAMES) <= set(Page(SITE.missing.body.decode()).values("href"))


def test_the_address_without_a_slash_leads_to_the_front_page_below_any_prefix() -> None:
    document = SITE.documents["/docs"]
    assert (document.status, urljoin(f"{BASE}/docs", document.location)) == (308, f"{BASE}/docs/")


def test_every_document_has_a_route_and_nothing_else_has() -> None:
    routes = documentation(lambda: SITE.sources)

    def matched(path: str) -> bool:
        scope = {"type": "http", "method": "GET", "path": path}
        return any(route.matches(scope)[0] is Match.FULL for route in routes)

    assert all(map(matched, SITE.documents))
    assert not any(map(matched, ("/", "/docs/a/b", "/v1/proof", "/llms.txt/")))


@pytest.mark.parametrize(
    "setting", tomllib.loads(files("proof.config").joinpath("defaults.toml").read_text())
)
def test_every_setting_is_explained(setting: str) -> None:
    row = re.search(
        rf"^\| `{setting}` `PROOF_{setting.upper()}` \| `.+` \| (.+) \|$",
        markdown("operating"),
        re.M,
    )
    assert row is not None
    assert len(row[1]) > 20


@pytest.mark.parametrize(("name", "command"), commands())
def test_every_command_and_option_is_explained(name: str, command: Any) -> None:
    if not getattr(command, "commands", {}):
        assert f"<code>{name}</code>" in SITE.html["/docs/cli"]
    section = markdown("cli").partition(f"### `{name}`\n")[2].partition("\n### ")[0]
    for parameter in command.params:
        for option in parameter.opts if parameter.param_type_name == "option" else ():
            assert re.search(rf"^\| `[^`]*{option}\b", section, re.M), option


@pytest.mark.parametrize(("name", "command"), commands())
def test_every_command_that_needs_something_shows_an_example(name: str, command: Any) -> None:
    if any(parameter.required for parameter in command.params):
        assert f"Example: {name} " in " ".join((command.help or "").split())


def test_every_exit_code_of_the_commands_is_explained() -> None:
    for code in range(5):
        assert f"| {code} | " in markdown("cli")


def test_every_option_and_exit_code_of_the_verifier_is_explained() -> None:
    page = markdown("proofs-and-verifying")
    options = [option for action in cli._parser("x")._actions for option in action.option_strings]
    assert "--log-key" in options
    for option in options:
        assert option == "-h" or f"`{option}" in page
    for code in (cli.EXIT_TIED, cli.EXIT_REFUSED, cli.EXIT_USAGE, cli.EXIT_UNTIED):
        assert f"| {code} | " in page


def test_every_path_is_in_the_reference() -> None:
    reference = SITE.html["/docs/reference"]
    paths = json.loads(SITE.sources.openapi)["paths"]
    assert paths
    assert [path for path in paths if f"<code>{path}</code>" not in reference] == []


def test_every_path_of_the_product_is_told_of_in_prose() -> None:
    prose = "".join(markdown(name) for name in NAMES if name != "reference")
    for path in json.loads(SITE.sources.openapi)["paths"]:
        assert path in prose


def test_every_status_of_an_error_is_explained() -> None:
    page = markdown("errors")
    for status in {status for _, status in STATUSES} | {405, 500}:
        assert f"| {status} | " in page


@pytest.mark.parametrize(
    ("kind", "status", "slug"), [row for row in RAMP_STATUSES if row[0] is not CallerError]
)
def test_every_code_of_the_ramp_is_explained(
    kind: type[ProofError], status: int, slug: str
) -> None:
    assert re.search(
        rf"^\| {status} \| `{slug}` \| .*`{kind.code}`.* \|", markdown("sessions"), re.M
    )


def test_the_document_describes_every_webhook() -> None:
    found = json.loads(SITE.sources.openapi)
    assert found["webhooks"].keys() == {
        *(EVENT_TYPE, REFUND_EVENT, RECEIPT_EVENT, PROOF_EVENT, TREE_EVENT, TEST_EVENT)
    }
    for webhook in found["webhooks"].values():
        names = {item["name"] for item in webhook["post"]["parameters"]}
        assert names | {"content-type"} == documented_headers()
        reference = webhook["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"]
        assert reference.rpartition("/")[2] in found["components"]["schemas"]


@pytest.mark.parametrize("name", ["TransactionNotice", "ReceiptNotice"])
def test_the_webhook_of_a_transaction_is_as_the_document_says(name: str) -> None:
    schema = json.loads(SITE.sources.openapi)["components"]["schemas"][name]
    event = schema["properties"]["event"]["enum"][0]
    (example,) = re.findall(rf'^\{{.*"event":"{event}".*\}}$', markdown("webhooks"), re.M)
    assert json.loads(example).keys() == schema["properties"].keys() == set(schema["required"])


def test_the_schedule_of_deliveries_is_the_one_in_the_table() -> None:
    (row,) = re.findall(
        r"^\| After the one before \| at once \| (.+) \|$", markdown("webhooks"), re.M
    )
    units = {"s": 1, "min": 60, "h": 3600}
    seconds = [int(count) * units[unit] for count, unit in map(str.split, row.split(" | "))]
    assert [0, *seconds] == list(Schedule().delays_s)


def test_webhooks_verify_as_the_page_says() -> None:
    secret, body = bytes(range(32)), b'{"sha256":"00"}'
    names: dict[str, Any] = {"secret": webhook_secret_text(secret)}
    exec(snippet("webhooks", "is_genuine"), names)  # noqa: S102 - our own page
    headers = webhook_headers(UUID(int=7), 1_795_221_598, body, [bytes(32), secret])
    headers["x-signature"] = x_signature(secret, body)
    assert names["is_genuine"](headers, body)
    assert names["is_genuine_x_signature"](headers, body)
    assert not names["is_genuine"](headers, body + b" ")
    assert not names["is_genuine_x_signature"](headers, body + b" ")


def test_a_proof_is_verified_as_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("log.key").write_text(f"{LOG.text}\n{WITNESS.text}\n")
    proof = payload()
    program = snippet("proofs-and-verifying", "verify_payload(")
    for status, said in ((3, f"{proof['sha256']} True {EXISTED_BY_MS} ()"), (2, "refused: ")):
        proof["tree"]["submitStatus"] = status
        Path("hello.proof.json").write_text(json.dumps(proof))
        exec(program, {})  # noqa: S102 - our own page
        assert capsys.readouterr().out.startswith(said)


class _Log:
    """A log of which some sizes have a checkpoint."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.hashes = [sha256(b"%d" % n).digest() for n in range(9)]
        (folder / "log.key").write_text(f"{LOG.text}\n{WITNESS.text}\n")
        monkeypatch.chdir(folder)
        monkeypatch.setattr(urllib.request, "urlopen", self._answer)

    def note(self, size: int) -> bytes:
        return checkpoint(size, log_root(self.hashes[:size])).encode()

    def _answer(self, url: str) -> BytesIO:
        old, new = map(int, url.removeprefix(f"{BASE}/log/consistency/").split("/"))
        path = [] if old == new else consistency_path(old, self.hashes[:new])
        return BytesIO("".join(f"{node.hex()}\n" for node in path).encode())


def test_the_log_is_watched_as_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = _Log(tmp_path, monkeypatch)
    names: dict[str, Any] = {}
    exec(snippet("the-log", "def check"), names)  # noqa: S102 - our own page
    assert names["KEYS"] == list(KEYS)
    names["check"](log.note(3), log.note(8))
    names["check"](log.note(8), log.note(8))
    with pytest.raises(SystemExit, match="went back from 8 to 3"):
        names["check"](log.note(8), log.note(3))
    before = log.note(3)
    log.hashes[1] = bytes(32)
    with pytest.raises(RefusedError):
        names["check"](before, log.note(8))


@pytest.mark.parametrize("name", NAMES)
def test_every_link_of_a_page_as_markdown_leads_somewhere(name: str) -> None:
    path = f"/docs/{name}.md"
    for href in links(markdown(name)):
        target = urlsplit(urljoin(BASE + path, href))
        if target.netloc in ELSEWHERE:
            continue
        inside = target.path.removeprefix(urlsplit(BASE).path)
        assert inside in SITE.documents or inside == "/openapi.json", href
        if target.fragment:
            assert target.fragment in SITE.pages[inside.removesuffix(".md")].values("id"), href
