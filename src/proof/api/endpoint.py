"""From a matched route to its handler: gate, body, call, answer."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from prometheus_client import Counter
from starlette.types import Receive, Scope, Send

from proof.api.errors import error_reply, message_reply, with_code
from proof.api.http import Call, Caller, Edge, Reply, read_body, send_reply
from proof.api.notices import ending_headers, rate_headers
from proof.api.operations import ANY_METHOD, Operation
from proof.api.ramp_errors import method_not_allowed, ramp_error_reply
from proof.core.errors import InvalidInputError, NotAnObjectError
from proof.partners.errors import InvalidTokenError
from proof.partners.gate import Gate
from proof.partners.operators import Operators

_requests = Counter("proof_requests", "Answered requests", ["path", "method", "status"])

_MAX_QUERY_FIELDS = 20

# A shared cache spares what `Authorization` came with, not what `x-api-key` did (RFC 9111, section 3.5):
# left to itself it may give one partner what another was answered.
_CACHEABLE = frozenset({"GET", "HEAD"})
_NOT_KEPT = (b"cache-control", b"no-store")

# What msgspec says of a body whose outermost value is something else; deeper ones have a path.
_NO_OBJECT = re.compile(r"Expected `object`, got `\w+`$")


class Endpoint:
    """All methods of one path, as an ASGI application."""

    def __init__(
        self,
        operations: Mapping[str, Operation],
        gate: Gate,
        operators: Operators,
    ) -> None:
        self._operations = dict(operations)
        self._gate = gate
        self._operators = operators
        self._path = next(iter(operations.values())).path
        self._counters: dict[tuple[str, int], Counter] = {}
        self._coded = any(one.operator_scope is not None for one in operations.values())
        self._ramp = any(one.ramp for one in operations.values())
        self._gated = any(one.gated for one in operations.values())
        self._decoders = {
            operation.method: msgspec.json.Decoder(operation.body)
            for operation in operations.values()
            if operation.body is not None
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        edge: Edge = scope["proof"]
        notices: list[tuple[bytes, bytes]] = []
        try:
            reply = await self._reply(scope, receive, edge, notices)
            if self._coded and reply.status == 405:
                reply = with_code(reply, None)
            elif self._ramp and reply.status == 405:
                reply = method_not_allowed(reply)
        except Exception as error:  # noqa: BLE001 - mapped or logged, never swallowed
            reply = (ramp_error_reply if self._ramp else error_reply)(error, edge.request_id)
            if self._coded:
                reply = with_code(reply, error)
        self._count(scope["method"], reply.status)
        if self._gated and scope["method"] in _CACHEABLE and _NOT_KEPT not in reply.headers:
            notices.append(_NOT_KEPT)
        await send_reply(reply, edge.request_id, send, notices)

    def _count(self, method: str, status: int) -> None:
        # Callers choose methods, so those nobody serves share one name.
        known = method if method in self._operations else "other"
        counter = self._counters.get((known, status))
        if counter is None:
            counter = self._counters[known, status] = _requests.labels(self._path, known, status)
        counter.inc()

    async def _reply(
        self, scope: Scope, receive: Receive, edge: Edge, notices: list[tuple[bytes, bytes]]
    ) -> Reply:
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        operation = self._operations.get(method) or self._operations.get(ANY_METHOD)
        if operation is None:
            if self._ramp:
                # The whole family is behind the gate, wrong methods included.
                await self._admit(scope, edge, next(iter(self._operations.values())), notices)
            allowed = ", ".join(sorted(self._operations))
            return message_reply(
                405,
                f"{scope['method']} is not allowed here; allowed: {allowed}",
                (b"allow", allowed.encode()),
            )
        owner = await self._admit(scope, edge, operation, notices)
        body = None
        if operation.body is not None:
            raw = await read_body(scope, receive, operation.body_limit)
            body = decode(self._decoders[method], raw)
        elif operation.raw_body is not None:
            body = await read_body(scope, receive, operation.body_limit)
        query = query_fields(scope["query_string"])
        return await operation.handler(
            Call(edge, scope["path_params"], query, body, owner, scope["headers"])
        )

    async def _admit(
        self,
        scope: Scope,
        edge: Edge,
        operation: Operation,
        notices: list[tuple[bytes, bytes]],
    ) -> Caller:
        """Who calls. `notices` gets the headers that any answer to this caller carries."""
        if operation.operator_scope is not None:
            token = presented_token(scope["headers"])
            return await self._operators.admit(token, operation.operator_scope)
        if not operation.gated:
            return None
        token = presented_token(scope["headers"])
        origin = _origin(scope) if operation.ramp else None
        credential = await self._gate.authenticate(token, edge.environment, edge.address)
        if credential.expires_at is not None:
            notices += ending_headers(credential)
        if operation.identifies:
            return credential
        kind = operation.credential or credential.kind
        standing = await self._gate.admit(
            credential, kind, edge.address, operation.call_class, origin=origin
        )
        if standing is not None:
            notices += rate_headers(standing)
        return credential if operation.any_kind else credential.owner


def _origin(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"origin":
            found: str = value.decode("latin-1")
            return found
    return None


def presented_token(headers: list[tuple[bytes, bytes]]) -> str | None:
    """The credential of a request, from either header. Raises InvalidTokenError when they differ."""
    found = None
    for name, value in headers:
        if name == b"x-api-key":
            token = value
        elif name == b"authorization" and value[:7].lower() == b"bearer ":
            token = value[7:]
        else:
            continue
        token = token.strip()
        if found is not None and found != token:
            raise InvalidTokenError("the credential is not valid here")
        found = token
    return None if found is None else found.decode("latin-1")


def decode(decoder: "msgspec.json.Decoder[Any]", raw: bytes) -> Any:
    """Decode a body. Raises InvalidInputError that says what is wrong and where, NotAnObjectError when
    it is no JSON or no object."""
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        kind = NotAnObjectError if _NO_OBJECT.match(str(error)) else InvalidInputError
        raise kind(f"body: {error}") from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise NotAnObjectError(f"body: not JSON: {error}") from None


def query_fields(raw: bytes) -> dict[str, str]:
    """The fields of a query string, the last of each name. Raises InvalidInputError."""
    if not raw:
        return {}
    try:
        return dict(
            parse_qsl(raw.decode(), keep_blank_values=True, max_num_fields=_MAX_QUERY_FIELDS)
        )
    except ValueError:
        raise InvalidInputError("the query string is malformed or has too many fields") from None
