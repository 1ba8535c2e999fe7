"""The operator's URLs of what the gate goes by, and of the records of who came and what was done."""

from functools import partial

from proof.api.operations import Answer, Operation, Parameter
from proof.api.operator_gate import (
    AllowlistBody,
    ModeRequest,
    NetworkRequest,
    NewToken,
    OperatorGateHandlers,
    RateBody,
    RateList,
    TokenBody,
    TokenList,
    TokenRequest,
)
from proof.api.operator_records import (
    AUDIT_DEFAULT,
    REFUSALS_AT_MOST,
    AuditPage,
    OperatorRecordHandlers,
    RefusalList,
)
from proof.api.routes.operator_parameters import BEFORE, ENVIRONMENT, PARTNER, limit
from proof.api.services import Services
from proof.partners.access.operators import OperatorScope
from proof.partners.access.rates import CallClass
from proof.partners.audit import LIST_AT_MOST
from proof.partners.types import CredentialKind

_KIND = Parameter("kind", "path", "of token", {"type": "string", "enum": [*CredentialKind]})
_CLASS = Parameter("call_class", "path", "of calls", {"type": "string", "enum": [*CallClass]})
_KEY_ID = Parameter("key_id", "path", "a token's key id", {"type": "string"})
_NETWORK = Parameter("network", "query", "an address or CIDR network", {"type": "string"})
_OF = Parameter("partner_id", "query", "one partner's only", {"type": "string"}, required=False)
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


def access_routes(services: Services) -> list[Operation]:
    """Tokens, allowlists, rates, refusals and the audit log. They exist without prefix only."""
    gate, records = OperatorGateHandlers(services), OperatorRecordHandlers(services)
    one = "/operator/v1/partners/{partner_id}"
    tokens, lists = f"{one}/tokens", f"{one}/{{environment}}/allowlists/{{kind}}"
    rates, where = f"{one}/{{environment}}/rates", (PARTNER, ENVIRONMENT)
    operation = partial(Operation, tag="operator access", in_sandbox=False)
    read = partial(operation, operator_scope=OperatorScope.READ)
    write = partial(operation, operator_scope=OperatorScope.WRITE)
    allowlist = {200: Answer("the list as it is now", AllowlistBody)}
    limits = {200: Answer("the limits as they are now", RateList)}
    return [
        read(
            "GET", tokens, gate.tokens, "Tokens: state, deadline, and when and from where last used",
            {200: Answer("every token the partner ever had", TokenList)},
            parameters=(PARTNER,), refuses=(404,),
        ),
        write(
            "POST", f"{tokens}/{{key_id}}/revoke", gate.revoke,
            "End a token now, everywhere within a second",
            {200: Answer("the token", TokenBody)}, parameters=(PARTNER, _KEY_ID), refuses=(400, 404),
        ),
        write(
            "POST", f"{one}/{{environment}}/tokens", gate.rotate,
            "Issue a new token; old ones end after a grace",
            {201: Answer("the token, shown this once, and the ends of the old ones", NewToken)},
            body=TokenRequest, parameters=where, refuses=(400, 404, 413),
        ),
        read(
            "GET", lists, gate.allowlist, "From where a kind of token may be used", allowlist,
            parameters=(*where, _KIND), refuses=(404,),
        ),
        write(
            "POST", lists, gate.allow, "Let an address or network in", allowlist,
            body=NetworkRequest, parameters=(*where, _KIND), refuses=(400, 404, 413),
        ),
        write(
            "DELETE", lists, gate.disallow, "Take an address or network off the list", allowlist,
            parameters=(*where, _KIND, _NETWORK), refuses=(400, 404),
        ),
        write(
            "PATCH", lists, gate.mode, "Enforce the list, or report only whom it would refuse", allowlist,
            body=ModeRequest, parameters=(*where, _KIND), refuses=(400, 404, 413),
        ),
        read(
            "GET", rates, gate.rates, "How fast the partner may call",
            {200: Answer("the limits that hold", RateList)}, parameters=where, refuses=(404,),
        ),
        write(
            "PUT", f"{rates}/{{call_class}}", gate.set_rate, "Limit a class of calls", limits,
            body=RateBody, parameters=(*where, _CLASS), refuses=(400, 404, 413),
        ),
        write(
            "DELETE", f"{rates}/{{call_class}}", gate.unset_rate,
            "Set no limit for a class of calls", limits,
            parameters=(*where, _CLASS), refuses=(404,),
        ),
        read(
            "GET", "/operator/v1/refusals", records.refusals, "Callers that were turned away, and why",
            {200: Answer("counted by caller and reason", RefusalList)},
            parameters=(_OF, _SINCE, limit(REFUSALS_AT_MOST, REFUSALS_AT_MOST)), refuses=(400, 404),
        ),
        read(
            "GET", "/operator/v1/audit", records.audit, "What operators and credentials did",
            {200: Answer("a page of the audit log", AuditPage)},
            parameters=(_OF, *_ENTRIES, BEFORE, limit(AUDIT_DEFAULT, LIST_AT_MOST)),
            refuses=(400, 404),
        ),
    ]  # fmt: skip
