"""The page behind a one-time link: it shows nothing until its button is pressed."""

import asyncio
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping
from hashlib import sha256
from importlib.resources import files
from typing import Any

from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from proof.partners.handover.links import PATH, TOKEN_CHARACTERS, HandoverGoneError

# Hashes in the content security policy allow the page's own style and script.
_MARKS = {"style": ("<style>", "</style>"), "script": ("<script>", "</script>")}

# Strangers may press the button too: so many at once reach the database, so many wait for it, and the
# others are told to come again.
OPENING_AT_MOST = 2
WAITING_AT_MOST = 32
_COME_AGAIN_S = 2

Open = Callable[[str, Any], Awaitable[str]]


def handover_route(open_sheet: Open) -> Route:
    """`/handover`. `open_sheet` takes the token and the request's edge: its address and request id."""
    return Route(PATH, _HandoverPage(open_sheet), include_in_schema=False)


class _HandoverPage:
    """GET gives the same page to everybody; POST takes a token and gives its sheet, once."""

    def __init__(self, open_sheet: Open) -> None:
        self._open_sheet = open_sheet
        self._places = asyncio.Semaphore(OPENING_AT_MOST)
        self._waiting = 0
        self._page = files("proof.web").joinpath("handover.html").read_bytes()
        self._policy = _policy(self._page.decode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        match scope["method"]:
            case "GET":
                await self._send(send, 200, self._page, "text/html; charset=utf-8")
            case "HEAD":
                await self._send(send, 200, b"", "text/html; charset=utf-8")
            case "POST":
                await self._show(scope, receive, send)
            case _:
                await self._send(send, 405, b"GET and POST are allowed here\n")

    async def _show(self, scope: Scope, receive: Receive, send: Send) -> None:
        token = await _token(receive)
        if token is None:
            await self._send(send, 410, b"this link is not whole; copy all of it\n")
            return
        if self._waiting >= WAITING_AT_MOST:
            await self._send(send, 503, b"too many are opening links; try again in a moment\n")
            return
        try:
            sheet = await self._in_turn(token, scope["proof"])
        except HandoverGoneError as error:
            await self._send(send, 410, error.message.encode())
            return
        await self._send(send, 200, sheet.encode(), "text/markdown; charset=utf-8")

    async def _in_turn(self, token: str, edge: Any) -> str:
        self._waiting += 1
        try:
            async with self._places:
                return await self._open_sheet(token, edge)
        finally:
            self._waiting -= 1

    async def _send(
        self, send: Send, status: int, body: bytes, kind: str = "text/plain; charset=utf-8"
    ) -> None:
        headers = {
            "content-type": kind,
            "content-length": str(len(body)),
            "cache-control": "no-store",
            "referrer-policy": "no-referrer",
            "content-security-policy": self._policy,
            "x-content-type-options": "nosniff",
            "x-robots-tag": "noindex",
            "cross-origin-opener-policy": "same-origin",
            "cross-origin-resource-policy": "same-origin",
        }
        if status == 405:
            headers["allow"] = "GET, HEAD, POST"
        if status == 503:
            headers["retry-after"] = str(_COME_AGAIN_S)
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": body})


async def _token(receive: Receive) -> str | None:
    """The body, when it is as long as a token; None for any other, which is not read to its end."""
    body, more = b"", True
    while more and len(body) <= TOKEN_CHARACTERS:
        message: Mapping[str, Any] = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    if more or len(body) != TOKEN_CHARACTERS or not body.isalnum():
        return None
    return body.decode("ascii")


def _policy(page: str) -> str:
    """Nothing but the page's own style and script, by their hashes, and calls to where it came from."""
    hashes = {}
    for name, (start, end) in _MARKS.items():
        inside = page.partition(start)[2].partition(end)[0]
        hashes[name] = b64encode(sha256(inside.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{hashes['style']}';"
        f" script-src 'sha256-{hashes['script']}'; connect-src 'self'; base-uri 'none';"
        " form-action 'none'; frame-ancestors 'none'"
    )
