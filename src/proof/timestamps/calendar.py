"""What a calendar does (calendar contract, "Calendar over HTTP").

What a client posts is its commitment, of 1 to 64 bytes. The leaf of our tree is its SHA-256, so the first
item of every answer is an operation, whichever of the two the client asks for later, and nothing has to
be kept to find one from the other.
"""

from hashlib import sha256

from proof.core.errors import InvalidInputError, NotFoundError
from proof.partners.environments import CALENDAR_PARTNER
from proof.partners.types import Environment, Limits, PartnerEnvironment
from proof.timestamps.proofs.errors import ProofNotYetError, UnknownHashError
from proof.timestamps.proofs.service import Proofs
from proof.timestamps.submissions.service import Submissions
from proof.timestamps.types import Currency
from proof.verify.evidence.ots import format as ots
from proof.verify.evidence.ots.export import to_ots
from proof.verify.evidence.ots.format import Branch, Timestamp, pending_attestation
from proof.verify.evidence.ots.writing import write_timestamp

MAX_COMMITMENT_BYTES = 64

_LEAF_BYTES = 32

_SHA256 = (ots.SHA256, b"")


# Who submits what comes through the calendar: nobody's credentials lead here (migration 0012).
CALENDAR = PartnerEnvironment(
    id=-1,
    partner_id=CALENDAR_PARTNER,
    environment=Environment.PRODUCTION,
    limits=Limits(),
    suspended=False,
    allowlists={},
)


class NotInBlockYetError(NotFoundError):
    """The commitment is known, and Bitcoin has not confirmed it; in the contract that is a 404."""


class Calendar:
    """One calendar; `uri` is where its clients find it, and must be answered for years.

    Raises OtsAttestationError for a `uri` that cannot stand in a pending attestation.
    """

    def __init__(self, uri: str, submissions: Submissions, proofs: Proofs) -> None:
        self._submissions = submissions
        self._proofs = proofs
        self._pending = pending_attestation(uri)

    async def stamp(self, commitment: bytes) -> bytes:
        """Make a commitment durable. The answer is its serialized Timestamp, which ends in a pending
        attestation. Raises InvalidInputError for one that is empty or over 64 bytes."""
        if not 1 <= len(commitment) <= MAX_COMMITMENT_BYTES:
            raise InvalidInputError(
                f"a digest has 1 to {MAX_COMMITMENT_BYTES} bytes, not {len(commitment)}"
            )
        leaf = sha256(commitment).digest()
        await self._submissions.submit(CALENDAR, [leaf])
        end = Timestamp(leaf, (self._pending,), ())
        return write_timestamp(_after_hashing(commitment, end))

    async def upgrade(self, text: str) -> bytes:
        """The serialized Timestamp of a message, given in hex, up to a Bitcoin block: of a leaf, as the
        pending attestation names it, or of a commitment, as it was posted.

        Raises NotFoundError: no such message, or NotInBlockYetError.
        """
        message = _message(text)
        try:
            return write_timestamp(await self._upgraded(message))
        except UnknownHashError:
            raise NotFoundError("Commitment not found") from None
        except ProofNotYetError:
            raise NotInBlockYetError("Pending confirmation in Bitcoin blockchain") from None

    async def _upgraded(self, message: bytes) -> Timestamp:
        if len(message) == _LEAF_BYTES:
            try:
                return await self._of_leaf(message)
            except UnknownHashError:
                pass
        end = await self._of_leaf(sha256(message).digest())
        return _after_hashing(message, end)

    async def _of_leaf(self, leaf: bytes) -> Timestamp:
        raw = to_ots(await self._proofs.proof(CALENDAR, leaf, Currency.BTC))
        return ots.parse_ots(raw).timestamp


def _after_hashing(message: bytes, end: Timestamp) -> Timestamp:
    """The timestamp of a message whose SHA-256 `end` is about."""
    if not end.attestations and len(end.branches) == 1:
        (branch,) = end.branches
        return Timestamp(message, (), (Branch((_SHA256, *branch.operations), branch.end),))
    return Timestamp(message, (), (Branch((_SHA256,), end),))


def _message(text: str) -> bytes:
    try:
        message = bytes.fromhex(text) if text.isascii() and text.isalnum() else b""
    except ValueError:
        message = b""
    if not 1 <= len(message) <= MAX_COMMITMENT_BYTES:
        raise NotFoundError("Not a commitment in hex")
    return message
