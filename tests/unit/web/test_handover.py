"""The page of one-time links: only its button uses one up."""

import asyncio
import re
from base64 import b64encode
from hashlib import sha256
from typing import Any

import pytest
from tests.unit.web.html_page import Page

from proof.partners.handover.links import TOKEN_CHARACTERS, HandoverGoneError
from proof.web.handover import OPENING_AT_MOST, WAITING_AT_MOST, handover_route

TOKEN = "A1" * 21 + "z"


class Opening:
    """Stands for the store of links: it holds one."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []

    async def __call__(self, token: str, edge: Any) -> str:
        self.asked.append((token, edge))
        if len(self.asked) > 1 or token != TOKEN:
            raise HandoverGoneError("this link was opened already")
        return "# Sheet – proof_live_…"


def call(
    opening: Opening, method: str, *chunks: bytes, path: str = "/handover"
) -> tuple[int, dict[str, str], bytes]:
    route, sent, left = handover_route(opening), list[Any](), list(chunks)

    async def receive() -> dict[str, Any]:
        body = left.pop(0) if left else b""
        return {"type": "http.request", "body": body, "more_body": bool(left)}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "headers": [], "proof": "the edge"}

    async def called() -> None:
        await route.app(scope, receive, send)

    asyncio.run(called())
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    assert headers["content-length"] == str(len(sent[1]["body"])) or method == "HEAD"
    return sent[0]["status"], headers, sent[1]["body"]


def test_looking_at_the_page_uses_nothing_up() -> None:
    opening = Opening()
    for method in ("GET", "HEAD", "GET"):
        assert call(opening, method)[0] == 200
    assert opening.asked == []
    assert call(opening, "POST", TOKEN.encode())[2].startswith(b"# Sheet")


def test_the_button_shows_it_once() -> None:
    opening = Opening()
    status, headers, body = call(opening, "POST", TOKEN[:7].encode(), TOKEN[7:].encode())
    assert (status, headers["content-type"]) == (200, "text/markdown; charset=utf-8")
    assert body.decode() == "# Sheet – proof_live_…"
    assert opening.asked == [(TOKEN, "the edge")]
    status, _, body = call(opening, "POST", TOKEN.encode())
    assert (status, body) == (410, b"this link was opened already")


@pytest.mark.parametrize(
    "body",
    [b"", TOKEN[:-1].encode(), TOKEN.encode() + b"x", b"\x00" * 43, b"_" * 43, "ü".encode() * 22],
)
def test_what_is_no_token_is_not_looked_up(body: bytes) -> None:
    opening = Opening()
    assert call(opening, "POST", body)[0] == 410
    assert opening.asked == []


def test_a_long_body_is_not_read_to_its_end() -> None:
    opening, chunks = Opening(), [b"x" * 1000] * 50
    assert call(opening, "POST", *chunks)[0] == 410
    assert opening.asked == []


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS"])
def test_other_methods(method: str) -> None:
    status, headers, _ = call(Opening(), method)
    assert (status, headers["allow"]) == (405, "GET, HEAD, POST")


@pytest.mark.parametrize(
    ("method", "body"), [("GET", b""), ("POST", b"x"), ("POST", TOKEN.encode())]
)
def test_nothing_of_it_is_kept_or_told_on(method: str, body: bytes) -> None:
    _, headers, _ = call(Opening(), method, body)
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-robots-tag"] == "noindex"


def test_only_its_own_script_and_style_run() -> None:
    _, headers, body = call(Opening(), "GET")
    page, policy = body.decode(), headers["content-security-policy"]
    for tag, rule in (("script", "script-src"), ("style", "style-src")):
        (inside,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.S)
        digest = b64encode(sha256(inside.encode()).digest()).decode()
        assert f"{rule} 'sha256-{digest}';" in policy
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "form-action 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"\son\w+=|src=|href=|https?:", page)


def test_the_page_is_one_for_everybody_and_fits_a_phone() -> None:
    body = call(Opening(), "GET")[2].decode()
    page = Page(body)
    assert TOKEN not in body
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("h1")) == len(page.all("main")) == len(page.all("title")) == 1
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in page.all(
        "meta"
    )
    assert page.all("noscript")
    # The token leaves the address bar before anything else happens.
    script = re.findall(r"<script>(.*?)</script>", body, re.S)[0]
    assert script.index("history.replaceState") < script.index("addEventListener")


def test_a_token_is_as_long_as_the_page_expects() -> None:
    assert len(TOKEN) == TOKEN_CHARACTERS == 43


async def test_a_flood_reaches_the_database_two_at_a_time_and_ends_at_the_door() -> None:
    inside, most = 0, 0

    async def open_sheet(_token: str, _edge: Any) -> str:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        await asyncio.sleep(0)
        inside -= 1
        raise HandoverGoneError("not valid")

    route, statuses = handover_route(open_sheet), list[int]()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": TOKEN.encode(), "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])
            if message["status"] == 503:
                assert (b"retry-after", b"2") in message["headers"]

    scope = {"type": "http", "method": "POST", "path": "/handover", "headers": [], "proof": ""}
    await asyncio.gather(*(route.app(dict(scope), receive, send) for _ in range(100)))
    await route.app(dict(scope), receive, send)
    assert most == OPENING_AT_MOST
    assert statuses.count(503) == 100 - WAITING_AT_MOST
    assert statuses.count(410) == WAITING_AT_MOST + 1
