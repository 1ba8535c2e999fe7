"""/ws: one transaction's status changes as they happen (ramp API contract, "WebSocket")."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import urlsplit
from uuid import UUID

from starlette.datastructures import Headers as RequestHeaders
from starlette.types import Message, Receive, Scope, Send

from proof.api.endpoint import presented_token, query_fields
from proof.api.http import (
    NOSNIFF,
    Call,
    Edge,
    Headers,
    Reply,
    ending_headers,
    rate_headers,
    refusing,
    send_reply,
)
from proof.api.operations import Answer, Operation, Parameter
from proof.api.ramp.errors import ramp_error_reply, ramp_reply
from proof.api.ramp.families import READING
from proof.api.ramp.watches import OVER, Ending, Watch
from proof.api.refusals import hold_back
from proof.api.services import Services
from proof.db.shares import Work, working_for
from proof.partners.access.rates import CallClass
from proof.partners.types import CredentialKind
from proof.ramp.sessions.errors import ParameterError
from proof.ramp.transactions.updates import Update, UpdateMessage

PATH = "/ws"

_VERSION = b"13"

_PORTS = {"http": 80, "https": 443}

_TX_ID = Parameter(
    "tx_id",
    "query",
    "a transaction's `merchant_transaction_id`",
    {"type": "string", "format": "uuid"},
)


async def watch_transaction(call: Call) -> Reply:
    """GET /ws, without the Upgrade that makes it a WebSocket."""
    _transaction_id(call.query)
    message = (
        "this is a WebSocket: open it with Upgrade: websocket, version 13, or poll the transaction"
    )
    headers: Headers = (
        (b"upgrade", b"websocket"),
        (b"connection", b"upgrade"),
        (b"sec-websocket-version", _VERSION),
    )
    return ramp_reply(426, "invalid_request", "upgrade_required", message, headers)


class WebSocketEndpoint:
    """The opening request of a WebSocket: through the gate, then updates until one of the sides ends it."""

    def __init__(self, services: Services) -> None:
        self._gate = services.gate
        self._watches = services.watches
        self._base_urls = services.base_urls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        edge: Edge = scope["proof"]
        notices: list[tuple[bytes, bytes]] = []
        try:
            watch = await self._admit(scope, edge, notices)
        except Exception as error:  # noqa: BLE001 - mapped or logged, never swallowed
            reply = ramp_error_reply(error, edge.request_id)
            await hold_back(error)
            await send_reply(reply, edge.request_id, refusing(send), notices)
            return
        try:
            await receive()
            headers = [(b"x-request-id", edge.request_id.encode()), NOSNIFF, *notices]
            await send({"type": "websocket.accept", "headers": headers})
            # An idle connection keeps the scope alive, so its headers are dropped.
            scope.clear()
            await _converse(watch, receive, send)
        finally:
            self._watches.close(watch)

    async def _admit(self, scope: Scope, edge: Edge, notices: list[tuple[bytes, bytes]]) -> Watch:
        token = presented_token(scope["headers"])
        credential = await self._gate.authenticate(token, edge.environment, edge.address)
        if credential.expires_at is not None:
            notices += ending_headers(credential)
        standing = await self._gate.admit(
            credential,
            CredentialKind.CLIENT_TOKEN,
            edge.address,
            CallClass.READ,
            origin=foreign_origin(RequestHeaders(scope=scope), self._base_urls[edge.environment]),
        )
        if standing is not None:
            notices += rate_headers(standing)
        transaction_id = _transaction_id(query_fields(scope["query_string"]))
        with working_for((Work.PARTNER, credential.owner.id)):
            return await self._watches.open(credential, edge.address, transaction_id)


async def _converse(watch: Watch, receive: Receive, send: Send) -> None:
    """Send updates until the transaction's end, or until one of the sides ends it."""
    listening = asyncio.create_task(_until_gone(watch, receive))
    # The server raises an OSError when the other side is gone.
    with suppress(OSError):
        while isinstance(said := await watch.next(), Update):
            # If the other side does not read, the server ends the connection after a while.
            await send({"type": "websocket.send", "text": said.message.decode()})
            if said.terminal:
                said = OVER
                break
        if isinstance(said, Ending):
            await send({"type": "websocket.close", "code": said.code, "reason": said.reason})
    listening.cancel()
    with suppress(asyncio.CancelledError):
        await listening


async def _until_gone(watch: Watch, receive: Receive) -> None:
    """What the client says is read, so that its pongs and its close are, and means nothing."""
    while (await receive())["type"] != "websocket.disconnect":
        pass
    watch.stop()


def as_request(scope: Scope) -> Scope:
    """The opening request of a WebSocket where there is none, as the plain request that it is as well."""
    scheme = "https" if scope["scheme"] == "wss" else "http"
    return {**scope, "type": "http", "method": "GET", "scheme": scheme}


async def no_body() -> Message:
    """What such a request has to say beside its head."""
    return {"type": "http.request", "body": b"", "more_body": False}


def foreign_origin(headers: RequestHeaders, base_url: str) -> str | None:
    """The Origin that says a browser sent this; None for none, and for our own, which some clients for
    servers send."""
    for origin in headers.getlist("origin"):
        if _authority(origin) != _authority(base_url):
            return origin
    return None


def _authority(url: str) -> tuple[str, str | None, int | None]:
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return url, None, None


def _transaction_id(query: Mapping[str, str]) -> UUID:
    """Raises ParameterError."""
    text = query.get("tx_id", "")
    try:
        return UUID(text)
    except ValueError:
        pass
    raise ParameterError("tx_id: a transaction's merchant_transaction_id is required")


def websocket_routes() -> list[Operation]:
    """What /ws answers to a request that opens no WebSocket; the document tells of both."""
    return [
        Operation(
            READING, "GET", PATH, watch_transaction, "Watch a transaction over a WebSocket",
            {101: Answer("the WebSocket is open, and this is each message", UpdateMessage)},
            parameters=(_TX_ID,), refuses=(404, 426),
        ),
    ]  # fmt: skip
