"""Markdown to HTML that needs no scripts: anchors, scrollable tables and code, local links."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token

METHODS = frozenset({"GET", "POST", "PATCH", "PUT", "DELETE"})

_PAGE_LINK = re.compile(r"([a-z-]+)\.md(#.*)?")

_NOT_IN_SLUG = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Section:
    """A second-level heading: its anchor and its text."""

    anchor: str
    title: str


@dataclass(frozen=True, slots=True)
class RenderedPage:
    """A page's title and sections, and the HTML of it all."""

    title: str
    sections: tuple[Section, ...]
    html: str


class Renderer:
    """Renders our own pages. HTML in them is shown as text, never passed on."""

    def __init__(self, assets: Mapping[str, str]) -> None:
        """`assets` gives the address of each image by its file name."""
        self._assets = assets
        self._markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
        for rule in (_fence, _code_inline, _table_open, _table_close):
            self._markdown.add_render_rule(rule.__name__[1:], rule)

    def render(self, text: str) -> RenderedPage:
        """Render one page, which begins with its title as the only first-level heading."""
        tokens = self._markdown.parse(text)
        anchors: dict[str, int] = {}
        title, sections = "", []
        for opening, inline in _headings(tokens):
            plain = _plain(inline)
            if opening.tag == "h1":
                title = plain
                continue
            anchor = _unique(_NOT_IN_SLUG.sub("-", plain.lower()).strip("-"), anchors)
            _link_to_itself(opening, inline, anchor)
            if opening.tag == "h2":
                sections.append(Section(anchor, plain))
        for token in tokens:
            self._adapt(token)
        html = self._markdown.renderer.render(tokens, self._markdown.options, {})
        return RenderedPage(title, tuple(sections), html)

    def _adapt(self, token: Token) -> None:
        if token.type == "th_open":
            token.attrSet("scope", "col")
        for child in token.children or ():
            if child.type == "link_open":
                match = _PAGE_LINK.fullmatch(str(child.attrGet("href")))
                if match:
                    child.attrSet("href", match[1] + (match[2] or ""))
            elif child.type == "image":
                child.attrSet("src", self._assets[str(child.attrGet("src"))])


def _headings(tokens: Sequence[Token]) -> Iterator[tuple[Token, Token]]:
    for opening, inline in pairwise(tokens):
        if opening.type == "heading_open":
            yield opening, inline


def _plain(inline: Token) -> str:
    return "".join(child.content for child in inline.children or ())


def _unique(anchor: str, taken: dict[str, int]) -> str:
    count = taken[anchor] = taken.get(anchor, 0) + 1
    return anchor if count == 1 else f"{anchor}-{count}"


def _link_to_itself(opening: Token, inline: Token, anchor: str) -> None:
    opening.attrSet("id", anchor)
    link = Token("link_open", "a", 1, attrs={"href": f"#{anchor}", "class": "anchor"})
    inline.children = [link, *(inline.children or ()), Token("link_close", "a", -1)]


# What overflows on a small screen scrolls by itself, and must be reachable by keyboard to do so.


def _fence(_self: Any, tokens: Sequence[Token], index: int, _options: Any, _env: Any) -> str:
    return f'<pre tabindex="0"><code>{escape(tokens[index].content)}</code></pre>\n'


def _code_inline(_self: Any, tokens: Sequence[Token], index: int, _options: Any, _env: Any) -> str:
    content = tokens[index].content
    kind = f' class="method {content.lower()}"' if content in METHODS else ""
    return f"<code{kind}>{escape(content)}</code>"


def _table_open(*_arguments: Any) -> str:
    return '<div class="scroll" tabindex="0"><table>\n'


def _table_close(*_arguments: Any) -> str:
    return "</table></div>\n"
