"""A transaction's records: what was said and done about it, as a chain that can be proved.

A record is RFC 8785 bytes, fixed when it is written. It names its place in the chain and the SHA-256 of the
record before it, and holds no personal data, only salted hashes. Every salt is of its own record and
member, and comes from the transaction's secret: showing one shows nothing of the others, and once the
secret is erased nobody can find out what was hashed by trying.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

import msgspec
from msgspec import Struct

from proof.core.clock import moment_text
from proof.db import random_id
from proof.partners.types import Environment

# Records of version 1 and 2 tell of status changes only, and stay as they are.
RECORD_VERSION = 3

# A session's price with its fee is shown in the widget before the user pays.
FEE_TERMS = "quoted_in_widget"

# Canonical (RFC 8785) for texts, names of a closed list and small integers, which are all the members that
# records have.
_encode = msgspec.json.Encoder(order="sorted").encode

_SALT_BYTES = 32
# What records of version 1 and 2 hash, each with one salt for all of a transaction's records.
_EARLIER_SALTS = ("partner_user_id", "address", "partner_reference")


class RecordKind(StrEnum):
    """What a record tells of."""

    OPENED = "session.opened"
    CALLBACK = "provider.callback"
    RESOLUTION = "operator.resolution"
    STATUS = "transaction.status"
    REFUND = "transaction.refund"


class Record(NamedTuple):
    """One record: `content` is what is hashed."""

    id: UUID
    transaction_id: UUID
    sequence: int
    kind: RecordKind
    content: bytes
    sha256: bytes


@dataclass(slots=True)
class Chain:
    """The chain of one transaction, `length` records long, its newest one's SHA-256 None without one.
    `new` are those appended here; whoever calls writes them. `secret` is None once it is erased."""

    transaction_id: UUID
    partner_id: str
    environment: Environment
    secret: bytes | None = field(repr=False)
    length: int = 0
    sha256: bytes | None = None
    new: list[Record] = field(default_factory=list)

    def hashed(self, name: str, value: str | bytes) -> str:
        """The member `<name>_sha256` of the next record: lower-case hex of SHA-256 over the salt and the
        value (text as UTF-8); empty for no value, and without a secret."""
        if self.secret is None or not value:
            return ""
        found = value.encode() if isinstance(value, str) else value
        return hashlib.sha256(salt_of(self.secret, self.length + 1, name) + found).hexdigest()

    def append(
        self, kind: RecordKind, recorded_at: datetime, members: Mapping[str, object]
    ) -> Record:
        """The next record, at a moment of the transaction's environment. Members are texts and small
        integers, and their names ASCII."""
        sequence, identifier = self.length + 1, random_id()
        content = _encode(
            {
                **members,
                "version": RECORD_VERSION,
                "kind": kind,
                "id": str(identifier),
                "merchant_transaction_id": str(self.transaction_id),
                "partner_id": self.partner_id,
                "environment": self.environment,
                "sequence": sequence,
                "previous_sha256": (self.sha256 or b"").hex(),
                "recorded_at": moment_text(recorded_at),
            }
        )
        sha256 = hashlib.sha256(content).digest()
        record = Record(identifier, self.transaction_id, sequence, kind, content, sha256)
        self.length, self.sha256 = sequence, sha256
        self.new.append(record)
        return record


class Opening(Struct, frozen=True):
    """What was signed when a session was opened: amounts as texts, people's values as they are. Values that
    are not there are empty."""

    type: str
    currency: str
    network: str
    crypto_amount: str
    fiat_currency: str
    partner_user_id: str
    partner_reference: str
    user_email: str
    address: str

    def __repr__(self) -> str:
        return f"Opening({self.type} {self.crypto_amount} {self.currency})"

    def append_to(self, chain: Chain, created_at: datetime, recorded_at: datetime) -> Record:
        """The record of an opening at `created_at`; both moments are of the environment."""
        members = {
            "created_at": moment_text(created_at),
            "type": self.type,
            "currency": self.currency,
            "network": self.network,
            "crypto_amount": self.crypto_amount,
            "fiat_currency": self.fiat_currency,
            "fee_terms": FEE_TERMS,
            "partner_user_id_sha256": chain.hashed("partner_user_id", self.partner_user_id),
            "partner_reference_sha256": chain.hashed("partner_reference", self.partner_reference),
            "user_email_sha256": chain.hashed("user_email", self.user_email),
            "address_sha256": chain.hashed("address", self.address),
        }
        return chain.append(RecordKind.OPENED, recorded_at, members)


def salt_of(secret: bytes, sequence: int, name: str, version: int = RECORD_VERSION) -> bytes:
    """The 32-byte salt of a record's member `<name>_sha256`.

    A transaction that had records before version 3 has a secret of 96 bytes, or of 64 without a salt for
    references: the salts of all of those records. Raises KeyError for a member they do not hash.
    """
    if version >= RECORD_VERSION:
        return hmac.digest(secret, f"{sequence} {name}".encode("ascii"), "sha256")
    salts = {
        earlier: secret[at * _SALT_BYTES : (at + 1) * _SALT_BYTES]
        for at, earlier in enumerate(_EARLIER_SALTS)
    }
    return salts[name]
