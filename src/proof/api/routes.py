"""Every URL of the API, in one list."""

from proof.api.http import JSON
from proof.api.log import LogHandlers
from proof.api.operations import Answer, Operation, Parameter
from proof.api.services import Services
from proof.api.settings import SettingHandlers
from proof.api.system import SystemHandlers
from proof.api.timestamps import TimestampHandlers
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
from proof.partners.types import CredentialKind

_KEY = CredentialKind.API_KEY
_MIB = 1024 * 1024
_TEXT = "text/plain"
_BYTES = "application/octet-stream"

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
    "the chain; 900 is LOG",
    {"type": "integer", "default": 900},
    required=False,
)
_FORMAT = Parameter(
    "format", "query", "the proof's format", {"type": "string", "enum": ["json"]}, required=False
)
_PREVIEW = {200: Answer("the example, which was also posted to the target", ProofPayload)}


def _path(name: str, description: str, pattern: str) -> Parameter:
    return Parameter(name, "path", description, {"type": "string", "pattern": pattern})


def routes(services: Services, openapi: bytes = b"{}") -> list[Operation]:
    """All operations; the order is the order of matching."""
    v1, settings, log = (
        TimestampHandlers(services),
        SettingHandlers(services),
        LogHandlers(services),
    )
    system = SystemHandlers(services, openapi)
    tile_path = _path("position", "a tile path: 067, x001/x234/067, 067.p/7", "^[x0-9./p]+$")
    return [
        Operation(
            "POST", "/v1/timestamp", v1.submit, "Submit hashes",
            {
                200: Answer("all or some hashes are new, and durable", TimestampAnswer),
                202: Answer("all hashes were known", TimestampAnswer),
            },
            tag="timestamps", credential=_KEY, body=TimestampRequest, body_limit=_MIB,
            refuses=(400, 413, 429),
        ),
        Operation(
            "GET", "/v1/timestamp/{sha256}", v1.hash_status, "State of a hash",
            {200: Answer("when it came, and its trees", HashStatusAnswer)},
            tag="timestamps", credential=_KEY, parameters=(_SHA256,), refuses=(400, 404, 429),
        ),
        Operation(
            "POST", "/v1/tree/status", v1.tree_status, "State of a tree",
            {200: Answer("the tree", TimestampData)},
            tag="timestamps", credential=_KEY, body=TreeStatusRequest, refuses=(400, 404, 413, 429),
        ),
        Operation(
            "GET", "/v1/tree/{treeId}", v1.tree, "State of a tree",
            {200: Answer("the tree", TimestampData)},
            tag="timestamps", credential=_KEY, parameters=(_TREE_ID,), refuses=(400, 404, 429),
        ),
        Operation(
            "POST", "/v1/proof", v1.request_proof, "Have a proof delivered to the proof webhook",
            {202: Answer("accepted; the proof webhook follows")},
            tag="proofs", credential=_KEY, body=ProofRequest, refuses=(400, 404, 413, 425, 429),
        ),
        Operation(
            "GET", "/v1/proof/{sha256}", v1.proof, "Fetch a proof",
            {200: Answer("the payload of the proof webhook", ProofPayload)},
            tag="proofs", credential=_KEY, parameters=(_SHA256, _CURRENCY, _FORMAT),
            refuses=(400, 404, 425, 429),
        ),
        Operation(
            "PATCH", "/v1/api-key/setting", settings.patch, "Change where notices go",
            {200: Answer("the whole setting", SettingAnswer)},
            tag="settings", credential=_KEY, body=SettingRequest, refuses=(400, 413),
        ),
        Operation(
            "POST", "/v1/api-key/usage", settings.usage, "Usage and limits",
            {200: Answer("limits, and one report for each used month", UsageAnswer)},
            tag="settings", credential=_KEY, body=UsageRequest, refuses=(400, 413),
        ),
        Operation(
            "POST", "/v1/webhook/proof/example", settings.proof_example, "Try a proof webhook",
            _PREVIEW, tag="settings", credential=_KEY, body=ExampleRequest, refuses=(400, 413),
        ),
        Operation(
            "POST", "/v1/webhook/tree/example", settings.tree_example, "Try a tree webhook",
            {200: Answer("the example, which was also posted to the target", TimestampData)},
            tag="settings", credential=_KEY, body=ExampleRequest, refuses=(400, 413),
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
            "GET", "/healthz", system.healthz, "The process answers",
            {200: Answer("it does", Health)}, tag="system", in_sandbox=False,
        ),
        Operation(
            "GET", "/readyz", system.readyz, "Everything it needs is there",
            {200: Answer("ready", Health), 503: Answer("what is missing", Health)},
            tag="system", in_sandbox=False,
        ),
        Operation(
            "GET", "/openapi.json", system.openapi, "This document",
            {200: Answer("OpenAPI 3.1", content_type=JSON.decode())}, tag="system", in_sandbox=False,
        ),
    ]  # fmt: skip
