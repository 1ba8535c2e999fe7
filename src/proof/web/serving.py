"""Finished documents over ASGI: conditional requests, cache and security headers."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256

from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

FOREVER = "public, max-age=31536000, immutable"
REVALIDATE = "public, no-cache"
_TAG_DIGITS = 24

# Nothing but our own style and images; nobody frames a page, and a form would have nowhere to go.
_PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'"
)
# An image brings its own colours for light and dark, and can do nothing else.
_IMAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
_POLICIES = {"text/html; charset=utf-8": _PAGE_POLICY, "image/svg+xml": _IMAGE_POLICY}


@dataclass(frozen=True, slots=True)
class Document:
    """What one address answers with."""

    body: bytes
    content_type: str
    cache: str = REVALIDATE
    status: int = 200
    location: str = ""

    @property
    def tag(self) -> str:
        return f'"{content_hash(self.body)}"'

    def headers(self) -> list[tuple[bytes, bytes]]:
        """All but the length."""
        named = {
            "content-type": self.content_type,
            "cache-control": self.cache,
            "etag": self.tag,
            "content-security-policy": _POLICIES.get(self.content_type, "default-src 'none'"),
            "x-content-type-options": "nosniff",
            "referrer-policy": "no-referrer",
            "cross-origin-opener-policy": "same-origin",
            "cross-origin-resource-policy": "same-origin",
        }
        if self.location:
            named["location"] = self.location
        return [(name.encode(), value.encode()) for name, value in named.items()]


Rendered = tuple[Mapping[str, Document], Document]
"""Every document by its path, and the one for paths that have none."""


class Documents:
    """Answers GET and HEAD with the document of the path.

    `render` makes all of them when the first is asked for, once, in a thread: it takes as long as the rest
    of a start, and most processes are never asked.
    """

    def __init__(self, render: Callable[[], Rendered]) -> None:
        self._render = render
        self._rendering: asyncio.Task[Rendered] | None = None
        self._refused = Document(b"GET and HEAD are allowed here\n", "text/plain", "no-store", 405)

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        if scope["method"] not in {"GET", "HEAD"}:
            await _send(self._refused, send, extra=[(b"allow", b"GET, HEAD")])
            return
        documents, missing = await self._rendered()
        document = documents.get(scope["path"], missing)
        if document.status == 200 and _known(scope, document):
            await _send(document, send, status=304)
        else:
            await _send(document, send, with_body=scope["method"] == "GET")

    async def _rendered(self) -> Rendered:
        rendering = self._rendering
        if rendering is None or (rendering.done() and rendering.exception()):
            rendering = self._rendering = asyncio.create_task(asyncio.to_thread(self._render))
        # Who gives up leaves it to the others who wait.
        return await asyncio.shield(rendering)


def content_hash(body: bytes) -> str:
    """Short name of some content, for its address and its entity tag."""
    return sha256(body).hexdigest()[:_TAG_DIGITS]


def _known(scope: Scope, document: Document) -> bool:
    """Whether the caller holds this very content (RFC 9110 section 13.1.2)."""
    named = Headers(scope=scope).get("if-none-match", "").split(",")
    tags = {tag.strip().removeprefix("W/") for tag in named}
    return document.tag in tags or "*" in tags


async def _send(
    document: Document,
    send: Send,
    *,
    status: int | None = None,
    with_body: bool = True,
    extra: list[tuple[bytes, bytes]] | None = None,
) -> None:
    headers = document.headers() + (extra or [])
    empty = status == 304
    if not empty:
        headers.append((b"content-length", b"%d" % len(document.body)))
    await send(
        {"type": "http.response.start", "status": status or document.status, "headers": headers}
    )
    body = document.body if with_body and not empty else b""
    await send({"type": "http.response.body", "body": body})
