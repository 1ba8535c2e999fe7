"""/operator/v1/refusals and /operator/v1/audit: what happened, to read."""

from datetime import datetime, timedelta
from functools import partial
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from proof.api.http import Call, Reply
from proof.api.operations import Answer, Operation, Parameter
from proof.api.operator.families import BEFORE, ID_MAX, OF, limit, operator_family
from proof.api.parameters import moment, printable_text, whole_number
from proof.api.services import Services
from proof.partners.access.refusals import Reason, Refusal, list_refusals
from proof.partners.audit import LIST_AT_MOST, AuditQuery, newest_entries
from proof.partners.audit_chain import wire
from proof.partners.environments import environment_names
from proof.partners.types import CredentialKind, Environment

REFUSALS_AT_MOST = 1_000

AUDIT_DEFAULT = 50

_BACK = timedelta(hours=24)

_encode = msgspec.json.Encoder().encode

_SINCE = Parameter(
    "since", "query", "24 hours ago unless given", {"type": "string", "format": "date-time"},
    required=False,
)  # fmt: skip

_MOMENT = {"type": "string", "format": "date-time"}

_ENTRIES = (
    Parameter("actor", "query", "part of who acted", {"type": "string"}, required=False),
    Parameter(
        "action", "query", "one action, or what stands before its dot", {"type": "string"},
        required=False,
    ),
    Parameter("since", "query", "from this time on", _MOMENT, required=False),
    Parameter("until", "query", "before this time", _MOMENT, required=False),
)  # fmt: skip


class RefusalBody(Struct):
    """One caller's refusals for one reason, counted."""

    partner_id: str
    name: str
    environment: Environment
    kind: Annotated[CredentialKind, Meta(description="of the token sent")]
    network: Annotated[
        str | None, Meta(description="the address, or an IPv6 address's /64; null: further ones")
    ]
    reason: Reason
    key_id: Annotated[
        str | None, Meta(description="of a token that has expired or was revoked; else null")
    ]
    count: int
    last_at: datetime


class RefusalList(Struct):
    """Callers that were turned away, the latest first."""

    refusals: list[RefusalBody]


class AuditEntry(Struct):
    """One entry; `before` and `after` hold what changed, without secrets."""

    id: int
    at: str
    actor: Annotated[
        str,
        Meta(description="an operator's key id, `cli:user@host`, `worker`, or what else acted"),
    ]
    address: str | None
    request_id: str | None
    action: str
    partner_id: str | None
    before: Any
    after: Any


class AuditPage(Struct):
    """Entries, the newest first."""

    entries: list[AuditEntry]
    next: Annotated[int, Meta(description="`before` of the next page; 0 on the last")]


class OperatorRecordHandlers:
    """The handlers of what is only read."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def refusals(self, call: Call) -> Reply:
        """GET /operator/v1/refusals."""
        since = moment(call.query, "since") or self._services.clock.now() - _BACK
        limit = whole_number(call.query, "limit", REFUSALS_AT_MOST, 1, REFUSALS_AT_MOST)
        async with self._services.database.connection() as connection:
            found = await list_refusals(connection, since, call.query.get("partner_id"), limit)
        return Reply(200, _encode(RefusalList([_refusal(refusal) for refusal in found])))

    async def audit(self, call: Call) -> Reply:
        """GET /operator/v1/audit."""
        limit = whole_number(call.query, "limit", AUDIT_DEFAULT, 1, LIST_AT_MOST)
        wanted = AuditQuery(
            call.query.get("partner_id"),
            printable_text(call.query, "actor"),
            printable_text(call.query, "action"),
            moment(call.query, "since"),
            moment(call.query, "until"),
            whole_number(call.query, "before", None, 1, ID_MAX),
        )
        async with self._services.database.connection() as connection:
            if wanted.partner_id is not None:
                await environment_names(connection, wanted.partner_id)
            found = await newest_entries(connection, limit, wanted)
        entries = [msgspec.convert(wire(entry), AuditEntry) for entry in found]
        following = entries[-1].id if len(entries) == limit else 0
        return Reply(200, _encode(AuditPage(entries, following)))


def _refusal(refusal: Refusal) -> RefusalBody:
    return RefusalBody(
        partner_id=refusal.partner_id,
        name=refusal.name,
        environment=refusal.environment,
        kind=refusal.kind,
        network=None if refusal.network is None else str(refusal.network).removesuffix("/32"),
        reason=refusal.reason,
        key_id=refusal.key_id,
        count=refusal.count,
        last_at=refusal.last_at,
    )


def record_routes(services: Services) -> list[Operation]:
    """Refusals and the audit log."""
    records = OperatorRecordHandlers(services)
    operation = partial(Operation, operator_family("operator access"))
    return [
        operation(
            "GET", "/operator/v1/refusals", records.refusals, "Callers that were turned away, and why",
            {200: Answer("counted by caller and reason", RefusalList)},
            parameters=(OF, _SINCE, limit(REFUSALS_AT_MOST, REFUSALS_AT_MOST)), refuses=(404,),
        ),
        operation(
            "GET", "/operator/v1/audit", records.audit, "What operators and credentials did",
            {200: Answer("a page of the audit log", AuditPage)},
            parameters=(OF, *_ENTRIES, BEFORE, limit(AUDIT_DEFAULT, LIST_AT_MOST)),
            refuses=(404,),
        ),
    ]  # fmt: skip
