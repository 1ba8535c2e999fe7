"""The documentation, rendered once in each process that is asked for it."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from starlette.routing import Route

from proof.web.contents import CHAPTERS, ENTRIES, PAGES_FOLDER, Entry, source
from proof.web.markdown import RenderedPage, Renderer
from proof.web.reference import reference_markdown
from proof.web.serving import FOREVER, REVALIDATE, Document, Documents, Rendered, content_hash
from proof.web.tables import (
    Command,
    commands_markdown,
    outcomes_markdown,
    providers_markdown,
    settings_markdown,
)

# The pages are written for this installation; served, they name the one they are served by.
EXAMPLE_URL = "https://proof.example"
# What stands elsewhere in the checkout than where it is served: links of the pages lead there in both.
_ELSEWHERE = {"(../../../../docs/openapi.json)": "(../openapi.json)"}
_HTML = "text/html; charset=utf-8"
_MARKDOWN = "text/markdown; charset=utf-8"
_IMAGES = ("proof-path.svg", "receipt-chain.svg", "mark.svg")
_SUMMARY = (
    "A self-hosted partner platform of two products: a ramp, by which a partner's users buy and sell coins"
    " (sessions, an embeddable widget, status by polling, WebSocket and webhook), and timestamps, proofs"
    " that a SHA-256 hash was known by a time, which anybody verifies without the server."
    " Every page below is Markdown; without .md it is HTML."
)


@dataclass(frozen=True, slots=True)
class Sources:
    """What the pages say about the program they come with: generated, so that it stays true.

    `openapi` is the OpenAPI document as JSON, `defaults` the text of the default settings file;
    base URLs are without a trailing slash.
    """

    openapi: bytes
    defaults: str
    commands: Sequence[Command]
    production_url: str
    sandbox_url: str
    version: str


def documentation(sources: Callable[[], Sources]) -> list[Route]:
    """The routes of `/docs/` and `/llms.txt`; `sources` is called in a thread, when the first page is
    asked for."""
    served = Documents(lambda: render(sources()))
    paths = ("/docs", "/docs/", "/docs/{page}", "/llms.txt")
    return [Route(path, served, include_in_schema=False) for path in paths]


def render(sources: Sources) -> Rendered:
    """Every document by its path below the base URL, and the one for paths that have none."""
    assets = _assets()
    written = {entry.name: _expanded(source(entry.name), sources) for entry in ENTRIES}
    renderer = Renderer({name: path.rpartition("/")[2] for name, path in _paths(assets).items()})
    rendered = {name: renderer.render(text) for name, text in written.items()}
    layout = _Layout(rendered, _paths(assets), sources.version)
    documents = dict(assets.values())
    # As the Markdown names them, which has no hashes in it.
    documents |= {f"/docs/{name}": replace(assets[name][1], cache=REVALIDATE) for name in _IMAGES}
    documents["/docs"] = Document(b"", "text/plain", status=308, location="docs/")
    documents["/docs/"] = Document(layout.index(), _HTML)
    for name, text in written.items():
        documents[f"/docs/{name}"] = Document(layout.page(name), _HTML)
        documents[f"/docs/{name}.md"] = Document(text.encode(), _MARKDOWN)
    listing = _llms(rendered, sources.production_url)
    documents["/llms.txt"] = Document(listing.encode(), "text/plain; charset=utf-8")
    return documents, Document(layout.missing(), _HTML, "no-store", 404)


class _Layout:
    def __init__(
        self, rendered: Mapping[str, RenderedPage], paths: Mapping[str, str], version: str
    ) -> None:
        environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
        text = files("proof.web").joinpath("page.html.j2").read_text()
        self._template = environment.from_string(text)
        self._rendered = rendered
        self._common = {
            "chapters": CHAPTERS,
            "titles": {name: page.title for name, page in rendered.items()},
            "assets": {name: path.removeprefix("/docs/") for name, path in paths.items()},
            "version": version,
        }

    def index(self) -> bytes:
        return self._html("Documentation", kind="index")

    def missing(self) -> bytes:
        return self._html("There is no such page", kind="missing")

    def page(self, name: str) -> bytes:
        page, names = self._rendered[name], [entry.name for entry in ENTRIES]
        at = names.index(name)
        return self._html(
            page.title,
            kind="page",
            entry=ENTRIES[at],
            sections=page.sections,
            content=Markup(page.html),  # noqa: S704 - made by our renderer from our own pages
            before=ENTRIES[at - 1] if at else None,
            after=ENTRIES[at + 1] if at + 1 < len(ENTRIES) else None,
        )

    def _html(self, title: str, **values: object) -> bytes:
        page: dict[str, object] = {"entry": Entry("", ""), "sections": ()}
        return self._template.render(title=title, **self._common, **{**page, **values}).encode()


def _assets() -> dict[str, tuple[str, Document]]:
    """Path and document of each file whose address changes with its content."""
    contents = {name: PAGES_FOLDER.joinpath(name).read_bytes() for name in _IMAGES}
    contents["style.css"] = files("proof.web").joinpath("style.css").read_bytes()
    types = {"svg": "image/svg+xml", "css": "text/css; charset=utf-8"}
    found = {}
    for name, body in contents.items():
        stem, _, extension = name.rpartition(".")
        path = f"/docs/{stem}-{content_hash(body)}.{extension}"
        found[name] = path, Document(body, types[extension], FOREVER)
    return found


def _paths(assets: Mapping[str, tuple[str, Document]]) -> dict[str, str]:
    return {name: path for name, (path, _) in assets.items()}


def _expanded(text: str, sources: Sources) -> str:
    """A page with what is generated in its place and with this installation's addresses."""
    generated: dict[str, Callable[[], str]] = {
        "<!-- settings -->": lambda: settings_markdown(sources.defaults),
        "<!-- commands -->": lambda: commands_markdown(sources.commands),
        "<!-- outcomes -->": outcomes_markdown,
        "<!-- providers -->": providers_markdown,
        "<!-- paths -->": lambda: reference_markdown(json.loads(sources.openapi), EXAMPLE_URL),
    }
    for mark, make in generated.items():
        if mark in text:
            text = text.replace(mark, make())
    for written, served in _ELSEWHERE.items():
        text = text.replace(written, served)
    return text.replace(f"{EXAMPLE_URL}/sandbox", sources.sandbox_url).replace(
        EXAMPLE_URL, sources.production_url
    )


def _llms(rendered: Mapping[str, RenderedPage], base_url: str) -> str:
    """The list of all pages for programs that read (llmstxt.org)."""
    lines = ["# Proof", "", f"> {_SUMMARY}"]
    for chapter in CHAPTERS:
        lines += ["", f"## {chapter.title}", ""]
        lines += [
            f"- [{rendered[entry.name].title}]({base_url}/docs/{entry.name}.md): {entry.about}"
            for entry in chapter.entries
        ]
    lines += ["", "## Documents", "", f"- [OpenAPI]({base_url}/openapi.json): the API for programs"]
    return "\n".join(lines) + "\n"
