"""The receipt file, for the document; what is sent are the bytes that were signed and verified."""

from typing import Annotated, Any, Literal
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType

from proof.partners.types import Environment

_Sha256 = Annotated[str, Meta(description="a SHA-256 hash, 64 lower-case hexadecimal digits")]
_Payload = Annotated[
    dict[str, Any], Meta(description="a proof as `GET /v1/proof/{sha256}` gives it")
]


class ProvedRecord(Struct, frozen=True):
    """One record of the chain."""

    record: Annotated[
        dict[str, Any], Meta(description="the record; its canonical form (RFC 8785) is hashed")
    ]
    sha256: _Sha256
    proofs: Annotated[
        list[_Payload],
        Meta(description="of the hash, the log's first, then by `currencyId`; empty while none"),
    ]


class StatementPart(Struct, frozen=True):
    """The newest daily statement that holds the transaction, and the path to it."""

    statement: dict[str, Any]
    signature: str
    leaf: dict[str, Any]
    index: int
    path: list[_Sha256]
    proofs: list[_Payload]


class Disclosed(Struct, frozen=True):
    """A member of a record that its holder showed."""

    sequence: int
    field: str
    salt: Annotated[str, Meta(description="32 bytes in hexadecimal")]
    value: str


class ReceiptFile(Struct, frozen=True, kw_only=True):
    """A receipt. It grows: fetched again, it has what came since."""

    format: Literal["proof-receipt/1"]
    merchant_transaction_id: UUID
    partner_id: str
    environment: Environment
    as_of: Annotated[str, Meta(description="when the chain ended where this receipt ends")]
    personal: Annotated[
        Literal["held", "erased"], Meta(description="whether anybody can still disclose fields")
    ]
    records: list[ProvedRecord]
    signature: Annotated[
        str, Meta(description="a signed note (c2sp.org/signed-note) by a key of `/receipts/key`")
    ]
    statement: StatementPart | None
    disclosures: list[Disclosed] | UnsetType = UNSET
