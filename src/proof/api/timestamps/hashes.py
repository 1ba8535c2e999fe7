"""/v1: hashes in, their state, their proofs."""

from enum import StrEnum
from uuid import UUID

import msgspec

from proof.api.http import Call, Reply
from proof.api.operations import Answer, Operation, Parameter
from proof.api.services import Services
from proof.api.timestamps.families import PROOFS, STATES, SUBMISSIONS
from proof.api.wire import (
    HashStatusAnswer,
    ProofPayload,
    ProofRequest,
    TimestampAnswer,
    TimestampData,
    TimestampRequest,
    TreeRefBody,
    TreeStatusRequest,
)
from proof.core.clock import milliseconds
from proof.core.errors import InvalidInputError
from proof.partners.types import PartnerEnvironment
from proof.timestamps.proofs.service import PROOF_EVENT
from proof.timestamps.submissions.service import parse_digest, parse_digests
from proof.timestamps.submissions.usage import UsageKind
from proof.timestamps.types import Currency, Tree
from proof.verify.evidence.ots.export import to_ots
from proof.webhooks.service import endpoints

OTS = b"application/vnd.opentimestamps.ots"
TLOG_PROOF = b"text/plain; charset=utf-8"

_encode = msgspec.json.Encoder().encode

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


class ProofFormat(StrEnum):
    """How a proof is written: the webhook's payload, an OpenTimestamps file, or a c2sp.org/tlog-proof."""

    JSON = "json"
    OTS = "ots"
    TLOG_PROOF = "tlog-proof"


_FILES = (OTS.decode(), "text/plain")

# Of the forms that one chain's proofs alone can have.
_CHAINS = {ProofFormat.OTS: Currency.BTC, ProofFormat.TLOG_PROOF: Currency.LOG}


class TimestampHandlers:
    """The handlers of the timestamp product."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def submit(self, call: Call) -> Reply:
        """POST /v1/timestamp."""
        body: TimestampRequest = call.body
        receipt = await self._services.submissions.submit(call.caller, parse_digests(body.sha256))
        answer = TimestampAnswer(
            [digest.hex() for digest in receipt.new],
            milliseconds(receipt.created_at),
            [
                TreeRefBody(str(tree.tree_id), tree.currency, tree.currency.name)
                for tree in receipt.trees
            ],
            [digest.hex() for digest in receipt.existing],
        )
        return Reply(200 if receipt.new else 202, _encode(answer))

    async def hash_status(self, call: Call) -> Reply:
        """GET /v1/timestamp/{sha256}."""
        digest = parse_digest(call.path["sha256"])
        await self._services.meter.count(call.caller, UsageKind.STATUS)
        status = await self._services.proofs.status(call.caller, digest)
        answer = HashStatusAnswer(
            milliseconds(status.created_at), list(map(tree_body, status.trees))
        )
        return Reply(200, _encode(answer))

    async def tree(self, call: Call) -> Reply:
        """GET /v1/tree/{treeId}."""
        return await self._tree(call, call.path["treeId"])

    async def tree_status(self, call: Call) -> Reply:
        """POST /v1/tree/status."""
        body: TreeStatusRequest = call.body
        return await self._tree(call, body.tree_id)

    async def request_proof(self, call: Call) -> Reply:
        """POST /v1/proof."""
        body: ProofRequest = call.body
        digest = parse_digest(body.sha256)
        currency = await self._services.proofs.currency(call.caller, body.currency_id)
        await self._services.meter.require(call.caller, UsageKind.PROOFS)
        async with self._services.database.connection() as connection:
            targets = await endpoints(connection, call.caller.id)
        if PROOF_EVENT not in targets:
            raise InvalidInputError(
                "no proof webhook is configured: set notification.proof.target with"
                " PATCH /v1/api-key/setting, or fetch the proof with GET /v1/proof/{sha256}"
            )
        await self._services.proofs.send_proof(call.caller, digest, currency)
        return Reply(202)

    async def proof(self, call: Call) -> Reply:
        """GET /v1/proof/{sha256}."""
        digest = parse_digest(call.path["sha256"])
        currency_id = _currency_id(call.query.get("currencyId", str(int(Currency.LOG))))
        currency = await self._services.proofs.currency(call.caller, currency_id)
        form = _format(call.query.get("format", ProofFormat.JSON), currency)
        await self._services.meter.require(call.caller, UsageKind.PROOFS)
        reply = await self._written(call.caller, digest, currency, form)
        # Only a proof that was given counts, so polling for one costs nothing.
        await self._services.meter.count(call.caller, UsageKind.PROOFS)
        return reply

    async def _written(
        self, caller: PartnerEnvironment, digest: bytes, currency: Currency, form: ProofFormat
    ) -> Reply:
        if form is ProofFormat.TLOG_PROOF:
            return Reply(200, await self._services.proofs.tlog_proof(caller, digest), TLOG_PROOF)
        found = await self._services.proofs.proof(caller, digest, currency)
        return Reply(200, to_ots(found), OTS) if form is ProofFormat.OTS else Reply(200, found)

    async def _tree(self, call: Call, text: str) -> Reply:
        try:
            tree_id = UUID(text)
        except ValueError:
            raise InvalidInputError("treeId: a UUID is required") from None
        await self._services.meter.count(call.caller, UsageKind.STATUS)
        tree = await self._services.proofs.tree(call.caller, tree_id)
        return Reply(200, _encode(tree_body(tree)))


def tree_body(tree: Tree) -> TimestampData:
    """A tree as webhooks and proofs have it."""
    return msgspec.convert(tree.wire(), TimestampData)


def _format(text: str, currency: Currency) -> ProofFormat:
    try:
        form = ProofFormat(text)
    except ValueError:
        raise InvalidInputError(f"format: one of {', '.join(ProofFormat)} is required") from None
    only = _CHAINS.get(form, currency)
    if only is not currency:
        raise InvalidInputError(
            f"format: only proofs in {only.name} can be {form}, not those in {currency.name};"
            f" ask for currencyId {int(only)}"
        )
    return form


def _currency_id(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise InvalidInputError("currencyId: a whole number is required")
    return int(text)


def hash_routes(services: Services) -> list[Operation]:
    v1 = TimestampHandlers(services)
    return [
        Operation(
            SUBMISSIONS, "POST", "/v1/timestamp", v1.submit, "Submit hashes",
            {
                200: Answer("all or some hashes are new, and durable", TimestampAnswer),
                202: Answer("all hashes were known", TimestampAnswer),
            },
            body=TimestampRequest,
        ),
        Operation(
            STATES, "GET", "/v1/timestamp/{sha256}", v1.hash_status, "State of a hash",
            {200: Answer("when it came, and its trees", HashStatusAnswer)},
            parameters=(_SHA256,), refuses=(404,),
        ),
        Operation(
            STATES, "POST", "/v1/tree/status", v1.tree_status, "State of a tree",
            {200: Answer("the tree", TimestampData)},
            body=TreeStatusRequest, refuses=(404,),
        ),
        Operation(
            STATES, "GET", "/v1/tree/{treeId}", v1.tree, "State of a tree",
            {200: Answer("the tree", TimestampData)},
            parameters=(_TREE_ID,), refuses=(404,),
        ),
        Operation(
            PROOFS, "POST", "/v1/proof", v1.request_proof,
            "Have a proof delivered to the proof webhook",
            {202: Answer("accepted; the proof webhook follows")},
            body=ProofRequest, refuses=(404, 425),
        ),
        Operation(
            PROOFS, "GET", "/v1/proof/{sha256}", v1.proof, "Fetch a proof",
            {200: Answer("the payload of the proof webhook, or the file", ProofPayload, files=_FILES)},
            parameters=(_SHA256, _CURRENCY, _FORMAT), refuses=(404, 425),
        ),
    ]  # fmt: skip


_FORMAT = Parameter(
    "format",
    "query",
    "the webhook's payload, an OpenTimestamps file of a Bitcoin proof, or a tlog-proof of the log's",
    {"type": "string", "enum": [*ProofFormat]},
    required=False,
)
