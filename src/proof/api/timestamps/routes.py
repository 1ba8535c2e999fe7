"""The URLs of timestamping, for partners: hashes, trees, proofs, and where notices of them go."""

from proof.api.forms import MESSAGE
from proof.api.operations import (
    DEFAULT_BODY_LIMIT,
    Answer,
    Operation,
    OperationFamily,
    Parameter,
    PartnerCredential,
)
from proof.api.services import Services
from proof.api.timestamps.handlers import ProofFormat, TimestampHandlers
from proof.api.timestamps.settings import SettingHandlers
from proof.api.wire import (
    ExampleRequest,
    HashStatusAnswer,
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
from proof.partners.access.rates import CallClass
from proof.partners.types import CredentialKind
from proof.timestamps.types import Currency


def _family(
    tag: str, call_class: CallClass, body_limit: int = DEFAULT_BODY_LIMIT
) -> OperationFamily:
    """Those of a partner's `api_key`."""
    access = PartnerCredential(CredentialKind.API_KEY, call_class)
    return OperationFamily(tag, access, MESSAGE, body_limit=body_limit)


_SUBMISSIONS = _family("timestamps", CallClass.SUBMIT, body_limit=1024 * 1024)
_STATES = _family("timestamps", CallClass.READ)
_PROOFS = _family("proofs", CallClass.PROOF)
_SETTINGS = _family("settings", CallClass.SETTINGS)
_EXAMPLES = _family("settings", CallClass.EXAMPLE)


_SHA256 = Parameter(
    "sha256",
    "path",
    "64 hexadecimal digits",
    {"type": "string", "pattern": "^[0-9a-fA-F]{64}$"},
)

_TREE_ID = Parameter("treeId", "path", "a tree's UUID", {"type": "string", "format": "uuid"})

_CURRENCY = Parameter(
    "currencyId",
    "query",
    f"the chain; {int(Currency.LOG)} is LOG",
    {"type": "integer", "default": int(Currency.LOG)},
    required=False,
)

_FORMAT = Parameter(
    "format",
    "query",
    "the webhook's payload, or an OpenTimestamps file of a Bitcoin proof",
    {"type": "string", "enum": [*ProofFormat]},
    required=False,
)


def timestamp_routes(services: Services) -> list[Operation]:
    """Submissions and proofs, then settings; the order is the order of matching."""
    return [*_proof_routes(services), *_setting_routes(services)]


def _proof_routes(services: Services) -> list[Operation]:
    v1 = TimestampHandlers(services)
    return [
        Operation(
            _SUBMISSIONS, "POST", "/v1/timestamp", v1.submit, "Submit hashes",
            {
                200: Answer("all or some hashes are new, and durable", TimestampAnswer),
                202: Answer("all hashes were known", TimestampAnswer),
            },
            body=TimestampRequest,
        ),
        Operation(
            _STATES, "GET", "/v1/timestamp/{sha256}", v1.hash_status, "State of a hash",
            {200: Answer("when it came, and its trees", HashStatusAnswer)},
            parameters=(_SHA256,), refuses=(404,),
        ),
        Operation(
            _STATES, "POST", "/v1/tree/status", v1.tree_status, "State of a tree",
            {200: Answer("the tree", TimestampData)},
            body=TreeStatusRequest, refuses=(404,),
        ),
        Operation(
            _STATES, "GET", "/v1/tree/{treeId}", v1.tree, "State of a tree",
            {200: Answer("the tree", TimestampData)},
            parameters=(_TREE_ID,), refuses=(404,),
        ),
        Operation(
            _PROOFS, "POST", "/v1/proof", v1.request_proof,
            "Have a proof delivered to the proof webhook",
            {202: Answer("accepted; the proof webhook follows")},
            body=ProofRequest, refuses=(404, 425),
        ),
        Operation(
            _PROOFS, "GET", "/v1/proof/{sha256}", v1.proof, "Fetch a proof",
            {200: Answer("the payload of the proof webhook, or the file", ProofPayload)},
            parameters=(_SHA256, _CURRENCY, _FORMAT), refuses=(404, 425),
        ),
    ]  # fmt: skip


def _setting_routes(services: Services) -> list[Operation]:
    settings = SettingHandlers(services)
    return [
        Operation(
            _SETTINGS, "GET", "/v1/api-key/setting", settings.read, "Where notices go",
            {200: Answer("the whole setting", SettingAnswer)},
        ),
        Operation(
            _SETTINGS, "PATCH", "/v1/api-key/setting", settings.patch, "Change where notices go",
            {200: Answer("the whole setting", SettingAnswer)},
            body=SettingRequest, in_turn=True,
        ),
        Operation(
            _SETTINGS, "POST", "/v1/api-key/usage", settings.usage, "Usage and limits",
            {200: Answer("limits, and one report for each used month", UsageAnswer)},
            body=UsageRequest,
        ),
        Operation(
            _EXAMPLES, "POST", "/v1/webhook/proof/example", settings.proof_example,
            "Try a proof webhook",
            {200: Answer("the example, which was also posted to the target", ProofPayload)},
            body=ExampleRequest,
        ),
        Operation(
            _EXAMPLES, "POST", "/v1/webhook/tree/example", settings.tree_example,
            "Try a tree webhook",
            {200: Answer("the example, which was also posted to the target", TimestampData)},
            body=ExampleRequest,
        ),
    ]  # fmt: skip
