import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.web.html_page import Page

from proof.web.markdown import Renderer, Section

RENDERER = Renderer({"picture.svg": "picture-0123.svg"})
OURS = {
    "a", "blockquote", "br", "code", "div", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "img",
    "li", "ol", "p", "pre", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip


def test_the_title_and_the_sections_are_found() -> None:
    rendered = RENDERER.render("# All of it\n\n## First `part`\n\n### Deeper\n\n## Second\n")
    assert rendered.title == "All of it"
    assert rendered.sections == (Section("first-part", "First part"), Section("second", "Second"))


def test_a_heading_links_to_itself() -> None:
    html = RENDERER.render("# T\n\n## One & two\n").html
    assert '<h2 id="one-two"><a href="#one-two" class="anchor">One &amp; two</a></h2>' in html


def test_two_headings_of_one_name_have_two_anchors() -> None:
    page = Page(RENDERER.render("# T\n\n## Same\n\n## Same\n").html)
    assert page.values("id") == ["same", "same-2"]


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("the-log.md", "the-log"),
        ("the-log.md#keys", "the-log#keys"),
        ("https://c2sp.org/signed-note", "https://c2sp.org/signed-note"),
    ],
)
def test_links_to_pages_lose_their_suffix(written: str, address: str) -> None:
    page = Page(RENDERER.render(f"# T\n\n[there]({written})\n").html)
    assert page.all("a") == [{"href": address}]


def test_images_get_the_address_of_their_content() -> None:
    page = Page(RENDERER.render("# T\n\n![a tree](picture.svg)\n").html)
    assert page.all("img") == [{"src": "picture-0123.svg", "alt": "a tree"}]


def test_an_image_that_is_not_there_is_not_passed_over() -> None:
    with pytest.raises(KeyError):
        RENDERER.render("# T\n\n![a tree](other.svg)\n")


def test_what_may_be_too_wide_scrolls_and_takes_the_focus() -> None:
    html = RENDERER.render("# T\n\n```sh\na < b\n```\n\n| a |\n| --- |\n| b |\n").html
    assert '<pre tabindex="0"><code>a &lt; b\n</code></pre>' in html
    assert '<div class="scroll" tabindex="0"><table>' in html
    assert '<th scope="col">a</th>' in html


def test_methods_are_marked() -> None:
    html = RENDERER.render("# T\n\n### `POST` `/v1`\n").html
    assert '<code class="method post">POST</code> <code>/v1</code>' in html


@given(st.text(alphabet="<>&\"'`|#[]()!*_-\\ \nabcdescriptstyle=/:", max_size=80))
def test_no_text_brings_elements_or_attributes_of_its_own(text: str) -> None:
    html = Renderer(_AnyAddress()).render(f"# T\n\n{text}").html
    page = Page(html)
    assert {tag for tag, _ in page.elements} <= OURS
    attributes = {name for _, found in page.elements for name in found}
    assert attributes <= {
        "alt",
        "class",
        "href",
        "id",
        "scope",
        "src",
        "start",
        "tabindex",
        "title",
    }
    assert not any(href.startswith("javascript") for href in page.values("href"))


class _AnyAddress(dict[str, str]):
    def __missing__(self, name: str) -> str:
        return "picture.svg"
