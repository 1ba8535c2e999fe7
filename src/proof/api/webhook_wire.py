"""What is posted to partners, for the document: each event's body, and the headers of all."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from proof.api.wire import ProofPayload, TimestampData
from proof.ramp.sessions.types import TransactionView
from proof.ramp.transactions.events import EVENT_TYPE
from proof.timestamps.anchors.notices import TREE_EVENT
from proof.timestamps.proofs.service import PROOF_EVENT
from proof.webhooks.types import TEST_EVENT


class TransactionNotice(TransactionView, frozen=True, kw_only=True):
    """A change of a transaction's status, as polling told it then. Receivers ignore members they do not
    know."""

    event: Literal["transaction.status"]


class TestNotice(Struct):
    """What the operator tries a receiver with."""

    id: Annotated[str, Meta(description="the event's UUID")]
    type: Literal["webhook.test"]


WEBHOOKS: tuple[tuple[str, str, type[Struct]], ...] = (
    (EVENT_TYPE, "A transaction's status changed", TransactionNotice),
    (PROOF_EVENT, "A proof that was asked for", ProofPayload),
    (TREE_EVENT, "A tree with hashes of yours is verified", TimestampData),
    (TEST_EVENT, "The operator tries your receiver", TestNotice),
)

WEBHOOK_HEADERS = {
    "webhook-id": "the event's id, the same in every attempt: tell repeats by it",
    "webhook-timestamp": "seconds since 1970 UTC of this attempt",
    "webhook-signature": "`v1,` and the base64 HMAC-SHA256 over `id.timestamp.body`; several, by spaces",
    "webhook-sequence": "the event's number among those of its object, from 1 without gaps",
    "x-signature": "hex HMAC-SHA256 over the body alone, with the newest secret",
    "user-agent": "`Proof/` and the version",
}
