import asyncio
import threading
from typing import Any

import pytest
from starlette.types import Message

from proof.web.serving import FOREVER, Document, Documents, Rendered

PAGE = Document(b"<h1>Here</h1>", "text/html; charset=utf-8")
STYLE = Document(b"a{}", "text/css; charset=utf-8", FOREVER)
MISSING = Document(b"<h1>Not here</h1>", "text/html; charset=utf-8", "no-store", 404)
RENDERED = {"/docs/": PAGE, "/docs/style.css": STYLE}, MISSING
DOCUMENTS = Documents(lambda: RENDERED)


class Reply:
    def __init__(self, messages: list[Message]) -> None:
        start, body = messages
        self.status: int = start["status"]
        self.headers = {name.decode(): value.decode() for name, value in start["headers"]}
        assert len(self.headers) == len(start["headers"]), "a header was sent twice"
        self.body: bytes = body["body"]


def ask(path: str, method: str = "GET", *headers: tuple[bytes, bytes]) -> Reply:
    return asyncio.run(asked(DOCUMENTS, path, method, *headers))


async def asked(
    documents: Documents, path: str, method: str = "GET", *headers: tuple[bytes, bytes]
) -> Reply:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        raise AssertionError("a document needs no body")

    scope: dict[str, Any] = {"type": "http", "method": method, "path": path, "headers": headers}
    await documents(scope, receive, send)
    return Reply(sent)


async def test_they_are_rendered_once_however_many_ask_and_not_before() -> None:
    rendered: list[threading.Thread] = []

    def render() -> Rendered:
        rendered.append(threading.current_thread())
        return RENDERED

    documents = Documents(render)
    await asked(documents, "/docs/", "POST")
    assert rendered == []
    replies = await asyncio.gather(*(asked(documents, "/docs/") for _ in range(5)))
    assert {reply.body for reply in replies} == {PAGE.body}
    assert len(rendered) == 1
    assert rendered[0] is not threading.main_thread(), "it would keep all others waiting"


async def test_who_gives_up_leaves_the_rendering_to_the_others() -> None:
    begun, go_on, times = threading.Event(), threading.Event(), [0]

    def render() -> Rendered:
        times[0] += 1
        begun.set()
        go_on.wait()
        return RENDERED

    documents = Documents(render)
    first = asyncio.create_task(asked(documents, "/docs/"))
    await asyncio.to_thread(begun.wait)
    second = asyncio.create_task(asked(documents, "/docs/"))
    first.cancel()
    await asyncio.wait({first})
    go_on.set()
    assert (await second).body == PAGE.body
    assert times == [1]


async def test_what_could_not_be_rendered_is_tried_again() -> None:
    outcomes: list[Exception | Rendered] = [OSError("too many open files"), RENDERED]

    def render() -> Rendered:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    documents = Documents(render)
    with pytest.raises(OSError, match="too many open files"):
        await asked(documents, "/docs/")
    assert (await asked(documents, "/docs/")).status == 200


def test_a_page_may_load_nothing_but_our_style_and_images() -> None:
    headers = ask("/docs/").headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy == {
        "default-src": "'none'",
        "style-src": "'self'",
        "img-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }


@pytest.mark.parametrize("path", ["/docs/", "/docs/style.css", "/docs/nowhere"])
def test_every_answer_is_taken_for_what_it_says_and_tells_nobody_where_one_was(path: str) -> None:
    headers = ask(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["content-security-policy"].startswith("default-src 'none'")


def test_what_changes_its_address_with_its_content_is_kept_for_ever() -> None:
    assert ask("/docs/style.css").headers["cache-control"] == FOREVER
    assert ask("/docs/").headers["cache-control"] == "public, no-cache"


def test_a_page_that_is_known_is_not_sent_again() -> None:
    tag = ask("/docs/").headers["etag"].encode()
    for known in (tag, b"W/" + tag, b'"other", ' + tag, b"*"):
        reply = ask("/docs/", "GET", (b"if-none-match", known))
        assert (reply.status, reply.body) == (304, b"")
        assert "content-length" not in reply.headers
        assert reply.headers["etag"].encode() == tag
    assert ask("/docs/", "GET", (b"if-none-match", b'"other"')).status == 200


def test_head_has_the_headers_of_get_and_no_body() -> None:
    got, asked = ask("/docs/"), ask("/docs/", "HEAD")
    assert asked.body == b""
    assert asked.headers == got.headers
    assert got.headers["content-length"] == str(len(got.body))


def test_an_unknown_page_is_missing_whatever_is_known() -> None:
    reply = ask("/docs/nowhere", "GET", (b"if-none-match", b"*"))
    assert (reply.status, reply.body) == (404, MISSING.body)
    assert reply.headers["cache-control"] == "no-store"


def test_nothing_but_reading_is_allowed() -> None:
    reply = ask("/docs/", "POST")
    assert reply.status == 405
    assert reply.headers["allow"] == "GET, HEAD"
