"""From a matched route to its handler: gate, body, call, answer."""

import re
from collections.abc import AsyncIterator, Hashable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from prometheus_client import Counter
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from proof.api.errors import MethodNotAllowedError
from proof.api.forms import ErrorForm
from proof.api.http import (
    NOT_KEPT,
    Call,
    Caller,
    Edge,
    Reply,
    ending_headers,
    rate_headers,
    read_body,
    send_reply,
)
from proof.api.operations import (
    ANY_METHOD,
    Access,
    Anybody,
    Identification,
    Operation,
    OperationFamily,
    OperatorCredential,
    PartnerCredential,
)
from proof.api.refusals import hold_back
from proof.core.errors import InvalidInputError, NotAnObjectError
from proof.core.json_members import RepeatedMemberError, require_distinct
from proof.db.shares import Share, Turns, Work, working_for
from proof.partners.access.anonymous import AnonymousRates, subscriber
from proof.partners.access.credentials import Credential
from proof.partners.access.gate import Gate
from proof.partners.access.operators import Operator, Operators, OperatorScope
from proof.partners.errors import InvalidTokenError
from proof.partners.types import PartnerEnvironment

_requests = Counter("proof_requests", "Answered requests", ["path", "method", "status"])

_MAX_QUERY_FIELDS = 20

# A shared cache does not store the answer to a request with `Authorization`, but may store that to one with
# `x-api-key` (RFC 9111, section 3.5), and give one partner what another was answered. And it may keep a 404
# that says nothing of caches (RFC 9110, section 15.1), though what is not there now may be in a second.
_CACHEABLE = frozenset({"GET", "HEAD"})
_FIRST_ERROR = 400

# The words of msgspec for a body whose outermost value is no object; an error further inside names a path.
_NO_OBJECT = re.compile(r"Expected `object`, got `\w+`$")


@dataclass(slots=True)
class _Terms:
    """What an answer to this caller has, whatever it is: the form of an error, headers of any."""

    errors: ErrorForm
    notices: list[tuple[bytes, bytes]]


class Endpoint:
    """All methods of one path, as an ASGI application."""

    def __init__(
        self,
        operations: Mapping[str, Operation],
        gate: Gate,
        operators: Operators,
        anonymous: AnonymousRates,
        turns: Turns,
    ) -> None:
        """`turns` is where the operations that are handled in turn wait."""
        self._operations = dict(operations)
        self._gate = gate
        self._operators = operators
        self._anonymous = anonymous
        self._turns = turns
        self._first = next(iter(operations.values()))
        self._path = self._first.path
        self._family = self._first.family
        self._counters: dict[tuple[str, int], Counter] = {}
        self._gated = any(operation.gated for operation in operations.values())
        self._decoders = {
            operation.method: msgspec.json.Decoder(operation.body)
            for operation in operations.values()
            if operation.body is not None
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        edge: Edge = scope["proof"]
        terms = _Terms(self._family.errors, [*self._family.headers])
        try:
            reply = await self._reply(scope, receive, edge, terms)
        except Exception as error:  # noqa: BLE001 - mapped or logged, never swallowed
            reply = terms.errors.reply(error, edge.request_id)
            await hold_back(error)
        self._count(scope["method"], reply.status)
        if scope["method"] == "HEAD":
            reply = replace(reply, pieces=None)
        private = self._gated and scope["method"] in _CACHEABLE
        if (private or reply.status >= _FIRST_ERROR) and NOT_KEPT not in reply.headers:
            terms.notices.append(NOT_KEPT)
        await send_reply(reply, edge.request_id, send, terms.notices)

    def _count(self, method: str, status: int) -> None:
        # Callers choose the method, so methods that no operation has are counted under one name.
        known = method if method in self._operations else "other"
        counter = self._counters.get((known, status))
        if counter is None:
            counter = self._counters[known, status] = _requests.labels(self._path, known, status)
        counter.inc()

    async def _reply(self, scope: Scope, receive: Receive, edge: Edge, terms: _Terms) -> Reply:
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        operation = self._operations.get(method) or self._operations.get(ANY_METHOD)
        if operation is None:
            if self._family.gated_paths:
                await self._admit(scope, edge, self._first, terms)
            raise MethodNotAllowedError(scope["method"], self._operations)
        access, name = operation.family.access, None
        owner = await self._admit(scope, edge, operation, terms)
        if isinstance(access, Anybody):
            name = await self._counted(scope, edge, access)
        body = None
        if operation.body is not None:
            raw = await read_body(scope, receive, operation.family.body_limit)
            body = decode(self._decoders[method], raw)
        elif operation.raw_body is not None:
            body = await read_body(scope, receive, operation.family.body_limit)
        query = query_fields(scope["query_string"])
        call = Call(edge, scope["path_params"], query, body, owner, Headers(scope=scope))
        reply = await self._handled(operation, call)
        if name is not None:
            self._anonymous.remember(name)
        return reply

    async def _handled(self, operation: Operation, call: Call) -> Reply:
        """Handle a call within its caller's share of the database."""
        share = _share_of(operation.family.access, call)
        with working_for(share):
            if share is None or not operation.in_turn:
                reply = await operation.handler(call)
            else:
                async with self._turns.turn(share):
                    reply = await operation.handler(call)
        if reply.pieces is None:
            return reply
        return replace(reply, pieces=_worked_for(share, reply.pieces))

    async def _counted(self, scope: Scope, edge: Edge, access: Anybody) -> Hashable:
        """Count a call that the gate does not, unless its caller is known. Given back is the name under
        which a caller that succeeds is remembered, None where there is none.

        Raises AnonymousRateError, BusyError.
        """
        name = None
        if access.own_credential is not None:
            presented = access.own_credential(scope)
            name = None if presented is None else (presented, edge.address)
            if name is not None and self._anonymous.knows(name):
                return None
        await self._anonymous.admit(edge.address, in_all=not access.vital)
        return name

    async def _admit(self, scope: Scope, edge: Edge, operation: Operation, terms: _Terms) -> Caller:
        """Who calls. `terms` gets what any answer to this caller has."""
        match operation.family.access:
            case Anybody():
                return None
            case OperatorCredential() as access:
                return await self._admit_operator(scope, edge, access.scope(operation.method))
            case Identification():
                return await self._authenticate(scope, edge, operation.family, terms)
            case PartnerCredential() as access:
                return await self._admit_partner(scope, edge, operation.family, access, terms)

    async def _authenticate(
        self, scope: Scope, edge: Edge, family: OperationFamily, terms: _Terms
    ) -> Credential:
        token = presented_token(scope["headers"])
        credential = await self._gate.authenticate(token, edge.environment, edge.address)
        if credential.expires_at is not None:
            terms.notices += ending_headers(credential)
        terms.errors = family.errors_by_kind.get(credential.kind, terms.errors)
        return credential

    async def _admit_partner(
        self,
        scope: Scope,
        edge: Edge,
        family: OperationFamily,
        access: PartnerCredential,
        terms: _Terms,
    ) -> Credential | PartnerEnvironment:
        origin = None if access.from_browsers else Headers(scope=scope).get("origin")
        credential = await self._authenticate(scope, edge, family, terms)
        standing = await self._gate.admit(
            credential,
            access.kind or credential.kind,
            edge.address,
            access.call_class,
            origin=origin,
        )
        if standing is not None:
            terms.notices += rate_headers(standing)
        return credential if access.kind is None else credential.owner

    async def _admit_operator(self, scope: Scope, edge: Edge, needed: OperatorScope) -> Operator:
        try:
            token = presented_token(scope["headers"])
        except InvalidTokenError:
            self._operators.several_tokens(edge.address, edge.request_id)
            raise
        return await self._operators.admit(token, needed, edge.address, edge.request_id)


async def _worked_for(share: Share | None, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same pieces, each made within the caller's share of the database."""
    while True:
        with working_for(share):
            piece = await anext(pieces, None)
        if piece is None:
            return
        yield piece


def _share_of(access: Access, call: Call) -> Share | None:
    """Whose share of the database a call takes."""
    match call.owner:
        case PartnerEnvironment() as owner:
            return Work.PARTNER, owner.id
        case Credential() as credential:
            return Work.PARTNER, credential.owner.id
        case Operator() as operator:
            return Work.OPERATOR, operator.key_id
    if not isinstance(access, Anybody) or access.work is None:
        return None
    return access.work, subscriber(call.edge.address)


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
            raise InvalidTokenError
        found = token
    return None if found is None else found.decode("latin-1")


def decode(decoder: "msgspec.json.Decoder[Any]", raw: bytes) -> Any:
    """Decode a body. Raises InvalidInputError that says what is wrong and where, NotAnObjectError when
    it is no JSON or no object."""
    try:
        found = decoder.decode(raw)
    except msgspec.ValidationError as error:
        kind = NotAnObjectError if _NO_OBJECT.match(str(error)) else InvalidInputError
        raise kind(f"body: {error}") from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise NotAnObjectError(f"body: not JSON: {error}") from None
    try:
        require_distinct(raw)
    except RepeatedMemberError as error:
        raise InvalidInputError(f"body: {error}") from None
    return found


def query_fields(raw: bytes) -> dict[str, str]:
    """The fields of a query string. Raises InvalidInputError, also for a field that is there twice."""
    if not raw:
        return {}
    try:
        fields = parse_qsl(raw.decode(), keep_blank_values=True, max_num_fields=_MAX_QUERY_FIELDS)
    except ValueError:
        raise InvalidInputError("the query string is malformed or has too many fields") from None
    found = dict(fields)
    if len(found) != len(fields):
        raise InvalidInputError("a field of the query string is there twice")
    return found
