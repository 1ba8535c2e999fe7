"""From a matched route to its handler: gate, body, call, answer."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from starlette.types import Receive, Scope, Send

from proof.api.errors import error_reply, message_reply
from proof.api.http import Call, Edge, Reply, read_body, send_reply
from proof.api.operations import Operation
from proof.core.clock import Clock
from proof.core.errors import InvalidInputError
from proof.partners.directory import Directory
from proof.partners.errors import InvalidTokenError
from proof.partners.gate import admit
from proof.partners.types import PartnerEnvironment

_MAX_QUERY_FIELDS = 20


class Endpoint:
    """All methods of one path, as an ASGI application."""

    def __init__(
        self, operations: Mapping[str, Operation], directory: Directory, clock: Clock
    ) -> None:
        self._operations = dict(operations)
        self._directory = directory
        self._clock = clock
        self._decoders = {
            operation.method: msgspec.json.Decoder(operation.body)
            for operation in operations.values()
            if operation.body is not None
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        edge: Edge = scope["proof"]
        try:
            reply = await self._reply(scope, receive, edge)
        except Exception as error:  # noqa: BLE001 - mapped or logged, never swallowed
            reply = error_reply(error, edge.request_id)
        await send_reply(reply, edge.request_id, send)

    async def _reply(self, scope: Scope, receive: Receive, edge: Edge) -> Reply:
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        operation = self._operations.get(method)
        if operation is None:
            allowed = ", ".join(sorted(self._operations))
            return message_reply(
                405,
                f"{scope['method']} is not allowed here; allowed: {allowed}",
                (b"allow", allowed.encode()),
            )
        owner = await self._admit(scope, edge, operation)
        body = None
        if operation.body is not None:
            raw = await read_body(scope, receive, operation.body_limit)
            body = decode(self._decoders[method], raw)
        return await operation.handler(
            Call(edge, scope["path_params"], _query(scope["query_string"]), body, owner)
        )

    async def _admit(
        self, scope: Scope, edge: Edge, operation: Operation
    ) -> PartnerEnvironment | None:
        if operation.credential is None:
            return None
        return await admit(
            self._directory,
            self._clock,
            presented_token(scope["headers"]),
            edge.environment,
            operation.credential,
            edge.address,
        )


def presented_token(headers: list[tuple[bytes, bytes]]) -> str | None:
    """The credential of a request, from either header. Raises InvalidTokenError when they differ."""
    found: set[str] = set()
    for name, value in headers:
        if name == b"x-api-key":
            found.add(value.decode("latin-1").strip())
        elif name == b"authorization" and value[:7].lower() == b"bearer ":
            found.add(value[7:].decode("latin-1").strip())
    if len(found) > 1:
        raise InvalidTokenError("the credential is not valid here")
    return found.pop() if found else None


def decode(decoder: "msgspec.json.Decoder[Any]", raw: bytes) -> Any:
    """Decode a body. Raises InvalidInputError that says what is wrong and where."""
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise InvalidInputError(f"body: {error}") from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"body: not JSON: {error}") from None


def _query(raw: bytes) -> dict[str, str]:
    if not raw:
        return {}
    try:
        return dict(
            parse_qsl(raw.decode(), keep_blank_values=True, max_num_fields=_MAX_QUERY_FIELDS)
        )
    except ValueError:
        raise InvalidInputError("the query string is malformed or has too many fields") from None
