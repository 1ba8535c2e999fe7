"""Requests and replies as the handlers see them, over bare ASGI.

A class-based endpoint with a reply of plain bytes is a quarter faster than Request and Response
objects, and stamping hashes is all about requests.
"""

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache
from typing import Any

import structlog
from starlette.datastructures import Headers as RequestHeaders
from starlette.types import Message, Receive, Scope, Send

from proof.core.errors import InvalidInputError, ProofError, TooLargeError
from proof.partners.access.buckets import Rate
from proof.partners.access.credentials import Credential
from proof.partners.access.networks import Address
from proof.partners.access.operators import Operator
from proof.partners.access.rates import CallClass, Standing
from proof.partners.audit import Actor
from proof.partners.types import Environment, PartnerEnvironment

JSON = b"application/json"

# A browser that guesses the type of a body could run what somebody else sent us as a page.
NOSNIFF = (b"x-content-type-options", b"nosniff")
NOT_KEPT = (b"cache-control", b"no-store")
Headers = tuple[tuple[bytes, bytes], ...]

# The caller of an operation; None where anybody may call.
Caller = PartnerEnvironment | Credential | Operator | None
_LENGTH_DIGITS = 18
_log = structlog.get_logger()
_NAMES = {each: each.value.encode() for each in CallClass}


@dataclass(frozen=True, slots=True)
class Edge:
    """What the edge established about a request before anything looked at it."""

    request_id: str
    environment: Environment
    address: Address


@dataclass(frozen=True, slots=True)
class Call:
    """A request that passed the gate, with its body decoded."""

    edge: Edge
    path: dict[str, str]
    query: dict[str, str]
    body: Any
    owner: Caller
    headers: RequestHeaders = field(default_factory=RequestHeaders)

    @property
    def caller(self) -> PartnerEnvironment:
        """Who calls, on a route that needs a credential."""
        assert isinstance(self.owner, PartnerEnvironment), "the route needs no partner's credential"
        return self.owner

    @property
    def credential(self) -> Credential:
        """The caller's credential, on a route that takes any kind or only identifies."""
        assert isinstance(self.owner, Credential), "the route takes one kind of credential or none"
        return self.owner

    @property
    def operator(self) -> Operator:
        """Who calls, on a route of the operator's."""
        assert isinstance(self.owner, Operator), "the route needs no operator's credential"
        return self.owner

    @property
    def actor(self) -> Actor:
        """The operator who calls, as the audit log names them."""
        return Actor(self.operator.key_id, str(self.edge.address), self.edge.request_id)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. One that is too long to be held has `pieces` in place of a body, `size` bytes in all."""

    status: int
    body: bytes = b""
    content_type: bytes = JSON
    headers: Headers = field(default=())
    pieces: AsyncIterator[bytes] | None = None
    size: int | None = None

    @property
    def length(self) -> int:
        """In bytes."""
        return len(self.body) if self.size is None else self.size


async def send_reply(
    reply: Reply, request_id: str, send: Send, notices: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    """Send an answer with its request id and length, and the `notices` to this caller."""
    await send(
        {
            "type": "http.response.start",
            "status": reply.status,
            "headers": [
                (b"content-type", reply.content_type),
                (b"content-length", b"%d" % reply.length),
                (b"x-request-id", request_id.encode()),
                NOSNIFF,
                *reply.headers,
                *notices,
            ],
        }
    )
    if reply.pieces is None or await _are_sent(reply.pieces, request_id, send):
        await send({"type": "http.response.body", "body": reply.body})


async def _are_sent(pieces: AsyncIterator[bytes], request_id: str, send: Send) -> bool:
    """Send each once the one before it is on its way; whether all were. A fault after the head cannot be
    answered any more: the server breaks the connection off, which a reader sees by the length."""
    try:
        async for piece in pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    except ProofError as error:
        _log.warning("reply.broken_off", request_id=request_id, error=error.message)
        return False
    return True


def refusing(send: Send) -> Send:
    """Sends the reply to the opening request of a WebSocket instead of opening it (ASGI's extension
    "WebSocket Denial Response"); the server closes the connection after it."""

    async def refuse(message: Message) -> None:
        await send({**message, "type": "websocket." + message["type"]})

    return refuse


async def read_body(scope: Scope, receive: Receive, limit: int) -> bytes:
    """The whole body. Raises TooLargeError, if a length is announced before any of it is read."""
    too_large = TooLargeError(f"the body is over {limit} bytes")
    for name, value in scope["headers"]:
        if name == b"content-length" and not _within(value, limit):
            raise too_large
    message = await receive()
    body: bytes = message.get("body", b"")
    if not message.get("more_body"):
        if len(body) > limit:
            raise too_large
        return body
    chunks, size = [body], len(body)
    while message.get("more_body"):
        message = await receive()
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > limit:
            raise too_large
    if message["type"] == "http.disconnect":
        raise InvalidInputError("the body ended early")
    return b"".join(chunks)


def _within(announced: bytes, limit: int) -> bool:
    """Whether a content-length is a number up to the limit; a long one is not even converted."""
    return announced.isdigit() and len(announced) <= _LENGTH_DIGITS and int(announced) <= limit


def ending_headers(credential: Credential) -> Headers:
    """`Deprecation` (RFC 9745: a date as `@` and seconds since 1970) and `Sunset` (RFC 8594: an HTTP date)
    of a credential another has taken the place of; none otherwise."""
    headers: list[tuple[bytes, bytes]] = []
    if credential.deprecated_at is not None:
        headers.append((b"deprecation", b"@%d" % int(credential.deprecated_at.timestamp())))
    if credential.expires_at is not None:
        headers.append((b"sunset", _http_date(credential.expires_at)))
    return tuple(headers)


def rate_headers(standing: Standing) -> Headers:
    """`RateLimit` and `RateLimit-Policy` as draft-ietf-httpapi-ratelimit-headers-10 spells them: `q` calls
    in `w` seconds, `r` left now, all of them again after `t` seconds."""
    call_class = standing.call_class
    left = (_NAMES[call_class], standing.remaining, standing.reset_s)
    return ((b"ratelimit", b'"%b";r=%d;t=%d' % left), _policy(call_class, standing.rate))


@lru_cache(maxsize=1024)
def _policy(call_class: CallClass, rate: Rate) -> tuple[bytes, bytes]:
    policy = (_NAMES[call_class], rate.calls, rate.window_s)
    return (b"ratelimit-policy", b'"%b";q=%d;w=%d' % policy)


def _http_date(moment: datetime) -> bytes:
    return format_datetime(moment.astimezone(UTC), usegmt=True).encode()
