"""Every URL of the API, in one list."""

from proof.api.calendar import DIGEST_TYPE, TIMESTAMP_TYPE, CalendarHandlers
from proof.api.events import LIMIT_DEFAULT, LIMIT_MAX, EventHandlers, EventPage
from proof.api.http import JSON
from proof.api.log import LogHandlers
from proof.api.operations import Answer, Operation, Parameter
from proof.api.operator import OperatorHandlers
from proof.api.operator_routes import access_routes
from proof.api.operator_webhooks import (
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
from proof.api.operator_wire import (
    EditAnswer,
    EditRequest,
    HandoverAnswer,
    NewPartnerAnswer,
    NewPartnerRequest,
    PartnerPage,
)
from proof.api.ramp_routes import ramp_routes
from proof.api.services import Services
from proof.api.settings import SettingHandlers
from proof.api.system import SystemHandlers
from proof.api.timestamps import ProofFormat, TimestampHandlers
from proof.api.tsa import CHAIN_TYPE, REPLY_TYPE, REQUEST_TYPE, TsaHandlers
from proof.api.websocket import websocket_routes
from proof.api.whoami import WhoAmI, whoami
from proof.api.wire import (
    ExampleRequest,
    HashStatusAnswer,
    Health,
    ProofPayload,
    ProofRequest,
    SettingAnswer,
    SettingRequest,
    TimestampAnswer,
    TimestampData,
    TimestampRequest,
    TreeStatusRequest,
    UsageAnswer,
    UsageRequest,
)
from proof.partners.operators import OperatorScope
from proof.partners.rates import CallClass
from proof.partners.records.service import PAGE_MAX
from proof.partners.records.view import PartnerView
from proof.partners.types import CredentialKind, Environment
from proof.timestamps.calendar.service import MAX_COMMITMENT_BYTES
from proof.timestamps.tsa.request import MAX_REQUEST_BYTES
from proof.webhooks.inspection import PAGE_MAX as DELIVERIES_MAX
from proof.webhooks.types import State
from proof.webhooks.view import EndpointView

_KEY = CredentialKind.API_KEY
_MIB = 1024 * 1024
_TEXT = "text/plain"
_MARKDOWN = "text/markdown"
_BYTES = "application/octet-stream"

_SHA256 = Parameter(
    "sha256",
    "path",
    "64 hexadecimal digits",
    {"type": "string", "pattern": "^[0-9a-fA-F]{64}$"},
)
_TREE_ID = Parameter("treeId", "path", "a tree's UUID", {"type": "string", "format": "uuid"})
_COMMITMENT = Parameter(
    "commitment",
    "path",
    "hex of the message at the pending attestation, or of what was posted",
    {"type": "string", "pattern": "^[0-9a-fA-F]{2,128}$"},
)
_CURRENCY = Parameter(
    "currencyId",
    "query",
    "the chain; 900 is LOG",
    {"type": "integer", "default": 900},
    required=False,
)
_FORMAT = Parameter(
    "format",
    "query",
    "the webhook's payload, or an OpenTimestamps file of a Bitcoin proof",
    {"type": "string", "enum": [*ProofFormat]},
    required=False,
)
_AFTER = Parameter(
    "after", "query", "`next` of the page before", {"type": "string"}, required=False
)
_LIMIT = Parameter(
    "limit",
    "query",
    "how many at most",
    {"type": "integer", "minimum": 1, "maximum": PAGE_MAX, "default": PAGE_MAX},
    required=False,
)
_CURSOR = Parameter(
    "after",
    "query",
    "`next` of the call before; 0 begins with the first event",
    {"type": "integer", "minimum": 0, "default": 0, "examples": [4217]},
    required=False,
)
_EVENTS = Parameter(
    "limit",
    "query",
    "how many at most; a page of large bodies may be shorter",
    {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT},
    required=False,
)
_PREVIEW = {200: Answer("the example, which was also posted to the target", ProofPayload)}


def _path(name: str, description: str, pattern: str) -> Parameter:
    return Parameter(name, "path", description, {"type": "string", "pattern": pattern})


def _operator_routes(services: Services) -> list[Operation]:
    """They exist without prefix only: one operator looks after both environments."""
    handlers, read, write = OperatorHandlers(services), OperatorScope.READ, OperatorScope.WRITE
    partner = Parameter("partner_id", "path", "a partner's id", {"type": "string"})
    view = {200: Answer("the partner", PartnerView)}
    return [
        Operation(
            "POST", "/operator/v1/partners", handlers.add, "Onboard a partner",
            {201: Answer("the partner, and its secrets this once or a link to them", NewPartnerAnswer)},
            tag="operator", operator_scope=write, body=NewPartnerRequest, body_limit=_MIB,
            refuses=(400, 413), in_sandbox=False,
        ),
        Operation(
            "GET", "/operator/v1/partners", handlers.list, "List partners",
            {200: Answer("a page", PartnerPage)},
            tag="operator", operator_scope=read, parameters=(_AFTER, _LIMIT), refuses=(400,),
            in_sandbox=False,
        ),
        Operation(
            "GET", "/operator/v1/partners/{partner_id}", handlers.show, "Show a partner", view,
            tag="operator", operator_scope=read, parameters=(partner,), refuses=(404,),
            in_sandbox=False,
        ),
        Operation(
            "PATCH", "/operator/v1/partners/{partner_id}", handlers.edit, "Change a partner",
            {200: Answer("the partner, and what changed", EditAnswer)},
            tag="operator", operator_scope=write, body=EditRequest, body_limit=_MIB,
            parameters=(partner,), refuses=(400, 404, 409, 413), in_sandbox=False,
        ),
        Operation(
            "POST", "/operator/v1/partners/{partner_id}/suspend", handlers.suspend,
            "Suspend a partner: every call of its is refused", view,
            tag="operator", operator_scope=write, parameters=(partner,), refuses=(404,),
            in_sandbox=False,
        ),
        Operation(
            "POST", "/operator/v1/partners/{partner_id}/resume", handlers.resume,
            "End a suspension", view,
            tag="operator", operator_scope=write, parameters=(partner,), refuses=(404,),
            in_sandbox=False,
        ),
        Operation(
            "GET", "/operator/v1/partners/{partner_id}/handover", handlers.handover,
            "Integration sheet, without secrets",
            {200: Answer("a page for the partner's developers", content_type=_MARKDOWN)},
            tag="operator", operator_scope=read, parameters=(partner,), refuses=(404,),
            in_sandbox=False,
        ),
        Operation(
            "POST", "/operator/v1/partners/{partner_id}/handover", handlers.renew,
            "Issue new tokens, behind a link that shows them once",
            {201: Answer("the link; the old tokens end as after a rotation", HandoverAnswer)},
            tag="operator", operator_scope=write, parameters=(partner,), refuses=(404,),
            in_sandbox=False,
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
        "state", "query", "one state only", {"type": "string", "enum": [*State]}, required=False
    ),
    Parameter("subject", "query", "of one object's events", {"type": "string"}, required=False),
    Parameter(
        "since",
        "query",
        "of events that happened since",
        {"type": "string", "format": "date-time"},
        required=False,
    ),
    Parameter(
        "before",
        "query",
        "`next` of the page before",
        {"type": "integer", "minimum": 1, "maximum": ID_MAX},
        required=False,
    ),
    Parameter(
        "limit",
        "query",
        "how many at most",
        {"type": "integer", "minimum": 1, "maximum": DELIVERIES_MAX, "default": PAGE_DEFAULT},
        required=False,
    ),
)


def _operator_webhook_routes(services: Services) -> list[Operation]:
    handlers, read, write = (
        OperatorWebhookHandlers(services),
        OperatorScope.READ,
        OperatorScope.WRITE,
    )
    partner = Parameter("partner_id", "path", "a partner's id", {"type": "string"})
    environment = Parameter(
        "environment", "path", "of the partner", {"type": "string", "enum": [*Environment]}
    )
    one = Parameter(
        "endpoint_id", "path", "an endpoint's UUID", {"type": "string", "format": "uuid"}
    )
    where = (partner, environment)
    return [
        Operation(
            "GET", "/operator/v1/partners/{partner_id}/{environment}/webhooks", handlers.endpoints,
            "Endpoints, and whether they are called",
            {200: Answer("all endpoints of the environment", EndpointList)},
            tag="operator webhooks", operator_scope=read, parameters=where, refuses=(404,),
            in_sandbox=False,
        ),
        Operation(
            "GET", "/operator/v1/partners/{partner_id}/{environment}/webhooks/deliveries",
            handlers.deliveries, "What was sent, and what came of it",
            {200: Answer("a page", DeliveryPage)},
            tag="operator webhooks", operator_scope=read, parameters=(*where, *_DELIVERIES),
            refuses=(400, 404), in_sandbox=False,
        ),
        Operation(
            "POST", "/operator/v1/partners/{partner_id}/{environment}/webhooks/replay",
            handlers.replay, "Send again, with the same `webhook-id`",
            {200: Answer("how many are due again", ReplayAnswer)},
            tag="operator webhooks", operator_scope=write, body=ReplayRequest, parameters=where,
            refuses=(400, 404, 413), in_sandbox=False,
        ),
        Operation(
            "POST", "/operator/v1/partners/{partner_id}/{environment}/webhooks/{endpoint_id}/test",
            handlers.test, "Send an event of the type `webhook.test` to one endpoint",
            {202: Answer("it is on its way", SentTest)},
            tag="operator webhooks", operator_scope=write, parameters=(*where, one),
            refuses=(400, 404), in_sandbox=False,
        ),
        Operation(
            "GET", "/operator/v1/partners/{partner_id}/{environment}/webhooks/secrets",
            handlers.secrets, "Which webhook secrets are live",
            {200: Answer("when each was made and ends; not the secrets themselves", SecretList)},
            tag="operator webhooks", operator_scope=read, parameters=where, refuses=(404,),
            in_sandbox=False,
        ),
        Operation(
            "POST", "/operator/v1/partners/{partner_id}/{environment}/webhooks/secrets",
            handlers.rotate, "Make a new webhook secret; the old ones sign along for a while",
            {201: Answer("the new secret with its text, and the ends of the others", SecretList)},
            tag="operator webhooks", operator_scope=write, body=RotationRequest, parameters=where,
            refuses=(400, 404, 413), in_sandbox=False,
        ),
        Operation(
            "POST", "/operator/v1/partners/{partner_id}/{environment}/webhooks/secrets/reveal",
            handlers.reveal, "Show the live webhook secrets; it is audited",
            {200: Answer("the secrets with their texts", SecretList)},
            tag="operator webhooks", operator_scope=write, parameters=where, refuses=(404,),
            in_sandbox=False,
        ),
        Operation(
            "PATCH", "/operator/v1/partners/{partner_id}/{environment}/webhooks/{endpoint_id}",
            handlers.change, "Change how an endpoint is called",
            {200: Answer("the endpoint as it is now", EndpointView)},
            tag="operator webhooks", operator_scope=write, body=EndpointRequest,
            parameters=(*where, one), refuses=(400, 404, 413), in_sandbox=False,
        ),
    ]  # fmt: skip


def routes(services: Services, openapi: bytes = b"{}") -> list[Operation]:
    """All operations; the order is the order of matching."""
    v1, settings, log = (
        TimestampHandlers(services),
        SettingHandlers(services),
        LogHandlers(services),
    )
    system, tsa = SystemHandlers(services, openapi), TsaHandlers(services)
    calendar = CalendarHandlers(services)
    tile_path = _path("position", "a tile path: 067, x001/x234/067, 067.p/7", "^[x0-9./p]+$")
    return [
        Operation(
            "POST", "/v1/timestamp", v1.submit, "Submit hashes",
            {
                200: Answer("all or some hashes are new, and durable", TimestampAnswer),
                202: Answer("all hashes were known", TimestampAnswer),
            },
            tag="timestamps", credential=_KEY, call_class=CallClass.SUBMIT,
            body=TimestampRequest, body_limit=_MIB, refuses=(400, 413, 429),
        ),
        Operation(
            "GET", "/v1/timestamp/{sha256}", v1.hash_status, "State of a hash",
            {200: Answer("when it came, and its trees", HashStatusAnswer)},
            tag="timestamps", credential=_KEY, call_class=CallClass.READ,
            parameters=(_SHA256,), refuses=(400, 404, 429),
        ),
        Operation(
            "POST", "/v1/tree/status", v1.tree_status, "State of a tree",
            {200: Answer("the tree", TimestampData)},
            tag="timestamps", credential=_KEY, call_class=CallClass.READ,
            body=TreeStatusRequest, refuses=(400, 404, 413, 429),
        ),
        Operation(
            "GET", "/v1/tree/{treeId}", v1.tree, "State of a tree",
            {200: Answer("the tree", TimestampData)},
            tag="timestamps", credential=_KEY, call_class=CallClass.READ,
            parameters=(_TREE_ID,), refuses=(400, 404, 429),
        ),
        Operation(
            "POST", "/v1/proof", v1.request_proof, "Have a proof delivered to the proof webhook",
            {202: Answer("accepted; the proof webhook follows")},
            tag="proofs", credential=_KEY, call_class=CallClass.PROOF,
            body=ProofRequest, refuses=(400, 404, 413, 425, 429),
        ),
        Operation(
            "GET", "/v1/proof/{sha256}", v1.proof, "Fetch a proof",
            {200: Answer("the payload of the proof webhook, or the file", ProofPayload)},
            tag="proofs", credential=_KEY, call_class=CallClass.PROOF,
            parameters=(_SHA256, _CURRENCY, _FORMAT), refuses=(400, 404, 425, 429),
        ),
        Operation(
            "PATCH", "/v1/api-key/setting", settings.patch, "Change where notices go",
            {200: Answer("the whole setting", SettingAnswer)},
            tag="settings", credential=_KEY, call_class=CallClass.SETTINGS,
            body=SettingRequest, refuses=(400, 413, 429),
        ),
        Operation(
            "POST", "/v1/api-key/usage", settings.usage, "Usage and limits",
            {200: Answer("limits, and one report for each used month", UsageAnswer)},
            tag="settings", credential=_KEY, call_class=CallClass.SETTINGS,
            body=UsageRequest, refuses=(400, 413, 429),
        ),
        Operation(
            "POST", "/v1/webhook/proof/example", settings.proof_example, "Try a proof webhook",
            _PREVIEW, tag="settings", credential=_KEY, call_class=CallClass.EXAMPLE,
            body=ExampleRequest, refuses=(400, 413, 429),
        ),
        Operation(
            "POST", "/v1/webhook/tree/example", settings.tree_example, "Try a tree webhook",
            {200: Answer("the example, which was also posted to the target", TimestampData)},
            tag="settings", credential=_KEY, call_class=CallClass.EXAMPLE,
            body=ExampleRequest, refuses=(400, 413, 429),
        ),
        Operation(
            "GET", "/events", EventHandlers(services).read, "Read events in their order",
            {200: Answer("events of the credential's kind after the cursor", EventPage)},
            tag="events", any_kind=True, call_class=CallClass.READ,
            parameters=(_CURSOR, _EVENTS), refuses=(400, 429),
        ),
        Operation(
            "GET", "/whoami", whoami, "What we make of you, and the address we see",
            {200: Answer("whose token it is, and whether its allowlist holds the address", WhoAmI)},
            tag="credentials", identifies=True,
        ),
        Operation(
            "GET", "/log/checkpoint", log.checkpoint, "Newest checkpoint",
            {200: Answer("a signed note", content_type=_TEXT)}, tag="log", refuses=(404,),
        ),
        Operation(
            "GET", "/log/key", log.key, "Verifier keys of the log",
            {200: Answer("one key a line", content_type=_TEXT)}, tag="log",
        ),
        Operation(
            "GET", "/log/tile/entries/{position:path}", log.entries, "Entries",
            {200: Answer("entries, each after its length in two bytes", content_type=_BYTES)},
            tag="log", parameters=(tile_path,), refuses=(404,),
        ),
        Operation(
            "GET", "/log/tile/{level}/{position:path}", log.tile, "Tile of hashes",
            {200: Answer("up to 256 hashes of 32 bytes", content_type=_BYTES)},
            tag="log", parameters=(_path("level", "tile level", "^[0-5]$"), tile_path), refuses=(404,),
        ),
        Operation(
            "GET", "/log/consistency/{old}/{new}", log.consistency, "Consistency of two sizes",
            {200: Answer("the path, one hash a line", content_type=_TEXT)}, tag="log",
            parameters=(
                _path("old", "the smaller size", "^[0-9]+$"),
                _path("new", "the larger size", "^[0-9]+$"),
            ),
            refuses=(400, 404),
        ),
        Operation(
            "POST", "/digest", calendar.digest, "Stamp a commitment of 1 to 64 bytes",
            {200: Answer("a serialized timestamp that is pending", content_type=TIMESTAMP_TYPE)},
            tag="calendar", raw_body=DIGEST_TYPE, body_limit=MAX_COMMITMENT_BYTES,
            refuses=(400, 404, 413, 429), plain_refusals=True, in_sandbox=False,
        ),
        Operation(
            "GET", "/timestamp/{commitment}", calendar.timestamp, "Upgrade a pending timestamp",
            {200: Answer("a serialized timestamp up to a Bitcoin block", content_type=TIMESTAMP_TYPE)},
            tag="calendar", parameters=(_COMMITMENT,), refuses=(404, 429), plain_refusals=True,
            in_sandbox=False,
        ),
        *(
            Operation(
                "OPTIONS", path, calendar.preflight, "May a page of another site call it: it may",
                {204: Answer("CORS headers")}, tag="calendar", parameters=parameters, in_sandbox=False,
                listed=False,
            )
            for path, parameters in (("/digest", ()), ("/timestamp/{commitment}", (_COMMITMENT,)))
        ),
        Operation(
            "POST", "/tsa", tsa.stamp, "Have a digest time-stamped (RFC 3161)",
            {200: Answer("a token, or the status that says why there is none", content_type=REPLY_TYPE)},
            tag="time-stamping authority", raw_body=REQUEST_TYPE, body_limit=MAX_REQUEST_BYTES,
            refuses=(404, 413, 429), in_sandbox=False,
        ),
        Operation(
            "GET", "/tsa/chain", tsa.chain, "Certificates of the time-stamping authority",
            {200: Answer("PEM, the signer's first", content_type=CHAIN_TYPE)},
            tag="time-stamping authority", refuses=(404,), in_sandbox=False,
        ),
        *ramp_routes(services),
        *websocket_routes(),
        *_operator_routes(services),
        *_operator_webhook_routes(services),
        *access_routes(services),
        Operation(
            "GET", "/healthz", system.healthz, "The process answers",
            {200: Answer("it does", Health)}, tag="system", in_sandbox=False,
        ),
        Operation(
            "GET", "/readyz", system.readyz, "Everything it needs is there",
            {200: Answer("ready", Health), 503: Answer("what is missing", Health)},
            tag="system", in_sandbox=False,
        ),
        Operation(
            "GET", "/metrics", system.metrics, "Counters of this machine's HTTP processes",
            {200: Answer("Prometheus' text format", content_type=_TEXT)}, tag="system",
            operator_scope=OperatorScope.READ, in_sandbox=False,
        ),
        Operation(
            "GET", "/openapi.json", system.openapi, "This document",
            {200: Answer("OpenAPI 3.1", content_type=JSON.decode())}, tag="system", in_sandbox=False,
        ),
    ]  # fmt: skip
