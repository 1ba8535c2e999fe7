"""The operator's URLs: partners, their webhooks, and who may call."""

from functools import partial

from proof.api.forms import CODED
from proof.api.operations import Answer, Operation, OperationFamily, OperatorCredential, Parameter
from proof.api.operator.access import (
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
from proof.api.operator.partners import OperatorHandlers
from proof.api.operator.records import (
    AUDIT_DEFAULT,
    REFUSALS_AT_MOST,
    AuditPage,
    OperatorRecordHandlers,
    RefusalList,
)
from proof.api.operator.webhooks import (
    ID_MAX,
    PAGE_DEFAULT,
    DeliveryPage,
    EndpointList,
    EndpointRequest,
    OperatorWebhookHandlers,
    ReplayAnswer,
    ReplayRequest,
    RotationRequest,
    SecretList,
    SentTest,
)
from proof.api.operator.wire import (
    EditAnswer,
    EditRequest,
    HandoverAnswer,
    NewPartnerAnswer,
    NewPartnerRequest,
    PartnerPage,
)
from proof.api.services import Services
from proof.partners.access.rates import CallClass
from proof.partners.audit import LIST_AT_MOST
from proof.partners.records.service import PAGE_MAX
from proof.partners.records.view import PartnerView
from proof.partners.types import CredentialKind, Environment
from proof.webhooks.inspection import DELIVERIES_AT_MOST, EndpointView
from proof.webhooks.types import DeliveryState

PARTNER = Parameter("partner_id", "path", "a partner's id", {"type": "string"})
ENVIRONMENT = Parameter(
    "environment", "path", "of the partner", {"type": "string", "enum": [*Environment]}
)
BEFORE = Parameter(
    "before",
    "query",
    "`next` of the page before",
    {"type": "integer", "minimum": 1, "maximum": ID_MAX},
    required=False,
)
_MARKDOWN = "text/markdown"
_AFTER = Parameter(
    "after", "query", "`next` of the page before", {"type": "string"}, required=False
)
_ENDPOINT = Parameter(
    "endpoint_id", "path", "an endpoint's UUID", {"type": "string", "format": "uuid"}
)
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


def _family(tag: str) -> OperationFamily:
    """They exist without prefix only: one operator looks after both environments."""
    return OperationFamily(
        tag,
        OperatorCredential(),
        CODED,
        environments=(Environment.PRODUCTION,),
        body_limit=1024 * 1024,
    )


def limit(default: int, most: int) -> Parameter:
    """How long a page may be."""
    schema = {"type": "integer", "minimum": 1, "maximum": most, "default": default}
    return Parameter("limit", "query", "how many at most", schema, required=False)


def partner_record_routes(services: Services) -> list[Operation]:
    handlers = OperatorHandlers(services)
    operation = partial(Operation, _family("operator"))
    view = {200: Answer("the partner", PartnerView)}
    return [
        operation(
            "POST", "/operator/v1/partners", handlers.add, "Onboard a partner",
            {201: Answer("the partner, and its secrets this once or a link to them", NewPartnerAnswer)},
            body=NewPartnerRequest,
        ),
        operation(
            "GET", "/operator/v1/partners", handlers.list, "List partners",
            {200: Answer("a page", PartnerPage)},
            parameters=(_AFTER, limit(PAGE_MAX, PAGE_MAX)),
        ),
        operation(
            "GET", "/operator/v1/partners/{partner_id}", handlers.show, "Show a partner", view,
            parameters=(PARTNER,), refuses=(404,),
        ),
        operation(
            "PATCH", "/operator/v1/partners/{partner_id}", handlers.edit, "Change a partner",
            {200: Answer("the partner, and what changed", EditAnswer)},
            body=EditRequest, parameters=(PARTNER,), refuses=(404, 409),
        ),
        operation(
            "POST", "/operator/v1/partners/{partner_id}/suspend", handlers.suspend,
            "Suspend a partner: every call of its is refused", view,
            parameters=(PARTNER,), refuses=(404,),
        ),
        operation(
            "POST", "/operator/v1/partners/{partner_id}/resume", handlers.resume,
            "End a suspension", view,
            parameters=(PARTNER,), refuses=(404,),
        ),
        operation(
            "GET", "/operator/v1/partners/{partner_id}/handover", handlers.handover,
            "Integration sheet, without secrets",
            {200: Answer("a page for the partner's developers", content_type=_MARKDOWN)},
            parameters=(PARTNER,), refuses=(404,),
        ),
        operation(
            "POST", "/operator/v1/partners/{partner_id}/handover", handlers.renew,
            "Issue new tokens, behind a link that shows them once",
            {201: Answer("the link; the old tokens end as after a rotation", HandoverAnswer)},
            parameters=(PARTNER,), refuses=(404,),
        ),
    ]  # fmt: skip


_DELIVERIES = (
    Parameter(
        "endpoint_id",
        "query",
        "one endpoint's only",
        {"type": "string", "format": "uuid"},
        required=False,
    ),
    Parameter(
        "state",
        "query",
        "one state only",
        {"type": "string", "enum": [*DeliveryState]},
        required=False,
    ),
    Parameter("subject", "query", "of one object's events", {"type": "string"}, required=False),
    Parameter(
        "since",
        "query",
        "of events that happened since",
        {"type": "string", "format": "date-time"},
        required=False,
    ),
    BEFORE,
    limit(PAGE_DEFAULT, DELIVERIES_AT_MOST),
)


def operator_webhook_routes(services: Services) -> list[Operation]:
    """The path names the environment."""
    handlers = OperatorWebhookHandlers(services)
    base = "/operator/v1/partners/{partner_id}/{environment}/webhooks"
    operation = partial(Operation, _family("operator webhooks"))
    where = (PARTNER, ENVIRONMENT)
    return [
        operation(
            "GET", base, handlers.endpoints, "Endpoints, and whether they are called",
            {200: Answer("all endpoints of the environment", EndpointList)},
            parameters=where, refuses=(404,),
        ),
        operation(
            "GET", f"{base}/deliveries", handlers.deliveries, "What was sent, and what came of it",
            {200: Answer("a page", DeliveryPage)},
            parameters=(*where, *_DELIVERIES), refuses=(404,),
        ),
        operation(
            "POST", f"{base}/replay", handlers.replay, "Send again, with the same `webhook-id`",
            {200: Answer("how many are due again", ReplayAnswer)},
            body=ReplayRequest, parameters=where, refuses=(404,),
        ),
        operation(
            "POST", f"{base}/{{endpoint_id}}/test",
            handlers.test, "Send an event of the type `webhook.test` to one endpoint",
            {202: Answer("it is on its way", SentTest)},
            parameters=(*where, _ENDPOINT), refuses=(404,),
        ),
        operation(
            "GET", f"{base}/secrets", handlers.secrets, "Which webhook secrets are live",
            {200: Answer("when each was made and ends; not the secrets themselves", SecretList)},
            parameters=where, refuses=(404,),
        ),
        operation(
            "POST", f"{base}/secrets",
            handlers.rotate, "Make a new webhook secret; the old ones sign along for a while",
            {201: Answer("the new secret with its text, and the ends of the others", SecretList)},
            body=RotationRequest, parameters=where, refuses=(404,),
        ),
        operation(
            "POST", f"{base}/secrets/reveal",
            handlers.reveal, "Show the live webhook secrets; it is audited",
            {200: Answer("the secrets with their texts", SecretList)},
            parameters=where, refuses=(404,),
        ),
        operation(
            "PATCH", f"{base}/{{endpoint_id}}", handlers.change, "Change how an endpoint is called",
            {200: Answer("the endpoint as it is now", EndpointView)},
            body=EndpointRequest, parameters=(*where, _ENDPOINT), refuses=(404,),
        ),
    ]  # fmt: skip


def access_routes(services: Services) -> list[Operation]:
    """Tokens, allowlists, rates, refusals and the audit log."""
    gate, records = OperatorGateHandlers(services), OperatorRecordHandlers(services)
    partner = "/operator/v1/partners/{partner_id}"
    tokens, lists = f"{partner}/tokens", f"{partner}/{{environment}}/allowlists/{{kind}}"
    rates, where = f"{partner}/{{environment}}/rates", (PARTNER, ENVIRONMENT)
    operation = partial(Operation, _family("operator access"))
    allowlist = {200: Answer("the list as it is now", AllowlistBody)}
    limits = {200: Answer("the limits as they are now", RateList)}
    return [
        operation(
            "GET", tokens, gate.tokens, "Tokens: state, deadline, and when and from where last used",
            {200: Answer("every token the partner ever had", TokenList)},
            parameters=(PARTNER,), refuses=(404,),
        ),
        operation(
            "POST", f"{tokens}/{{key_id}}/revoke", gate.revoke,
            "End a token now, everywhere within a second",
            {200: Answer("the token", TokenBody)}, parameters=(PARTNER, _KEY_ID), refuses=(404,),
        ),
        operation(
            "POST", f"{partner}/{{environment}}/tokens", gate.rotate,
            "Issue a new token; old ones end after a grace",
            {201: Answer("the token, shown this once, and the ends of the old ones", NewToken)},
            body=TokenRequest, parameters=where, refuses=(404,),
        ),
        operation(
            "GET", lists, gate.allowlist, "From where a kind of token may be used", allowlist,
            parameters=(*where, _KIND), refuses=(404,),
        ),
        operation(
            "POST", lists, gate.allow, "Let an address or network in", allowlist,
            body=NetworkRequest, parameters=(*where, _KIND), refuses=(404,),
        ),
        operation(
            "DELETE", lists, gate.disallow, "Take an address or network off the list", allowlist,
            parameters=(*where, _KIND, _NETWORK), refuses=(404,),
        ),
        operation(
            "PATCH", lists, gate.mode, "Enforce the list, or report only whom it would refuse", allowlist,
            body=ModeRequest, parameters=(*where, _KIND), refuses=(404,),
        ),
        operation(
            "GET", rates, gate.rates, "How fast the partner may call",
            {200: Answer("the limits that hold", RateList)}, parameters=where, refuses=(404,),
        ),
        operation(
            "PUT", f"{rates}/{{call_class}}", gate.set_rate, "Limit a class of calls", limits,
            body=RateBody, parameters=(*where, _CLASS), refuses=(404,),
        ),
        operation(
            "DELETE", f"{rates}/{{call_class}}", gate.unset_rate,
            "Set no limit for a class of calls", limits,
            parameters=(*where, _CLASS), refuses=(404,),
        ),
        operation(
            "GET", "/operator/v1/refusals", records.refusals, "Callers that were turned away, and why",
            {200: Answer("counted by caller and reason", RefusalList)},
            parameters=(_OF, _SINCE, limit(REFUSALS_AT_MOST, REFUSALS_AT_MOST)), refuses=(404,),
        ),
        operation(
            "GET", "/operator/v1/audit", records.audit, "What operators and credentials did",
            {200: Answer("a page of the audit log", AuditPage)},
            parameters=(_OF, *_ENTRIES, BEFORE, limit(AUDIT_DEFAULT, LIST_AT_MOST)),
            refuses=(404,),
        ),
    ]  # fmt: skip
