"""The receipt file: a transaction's records with their proofs, and a signature over how far they go.

A stamp shows that a record existed; anybody who may submit hashes can have one. The signature shows that
the operator said it, and "as of" when: a beginning of a chain is a valid chain, so what was there later
shows only in a later receipt or in a statement.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

import msgspec

from proof.core.clock import moment_text
from proof.core.note_keys import SigningKey
from proof.ramp.transactions.chains import Disclosure, RecordChain
from proof.verify.evidence.log.note import signed_note

FORMAT = "proof-receipt/1"
DISCLOSURE_FORMAT = "proof-disclosure/1"

# Payloads of POST /v1/proof, the log's first, the others by currencyId.
ProofsOfRecords = Mapping[bytes, Sequence[dict[str, Any]]]

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a receipt says. `digests` are the records' SHA-256s in their order; `statement` is the newest
    daily statement's part about the transaction, None without one."""

    chain: RecordChain
    digests: tuple[bytes, ...]
    proofs: ProofsOfRecords
    as_of: datetime
    statement: Mapping[str, Any] | None

    def body(self) -> bytes:
        """The text that is signed: five lines."""
        return signed_text(
            FORMAT,
            str(self.chain.transaction_id),
            str(len(self.digests)),
            self.digests[-1].hex(),
            moment_text(self.as_of),
        )

    def file(self, key: SigningKey) -> bytes:
        """The file, signed."""
        records = [
            {
                "record": msgspec.Raw(record),
                "sha256": digest.hex(),
                "proofs": self.proofs.get(digest, ()),
            }
            for record, digest in zip(self.chain.records, self.digests, strict=True)
        ]
        body = self.body()
        return _encode(
            {
                "format": FORMAT,
                "merchant_transaction_id": str(self.chain.transaction_id),
                "partner_id": self.chain.partner_id,
                "environment": self.chain.environment.value,
                "as_of": moment_text(self.as_of),
                "personal": "erased" if self.chain.erased else "held",
                "records": records,
                "signature": signed_note(body, [key.sign(body)]).decode(),
                "statement": self.statement,
            }
        )


def digests_of(chain: RecordChain) -> tuple[bytes, ...]:
    """The SHA-256 of each record: what is stamped."""
    return tuple(sha256(record).digest() for record in chain.records)


def signed_text(*lines: str) -> bytes:
    """The text of a note: each line ended by a newline."""
    return "".join(f"{line}\n" for line in lines).encode()


def disclosure_file(chain: RecordChain, disclosures: Sequence[Disclosure]) -> bytes:
    """The disclosures beside a receipt, in a file of their own; salts in lower-case hex."""
    listed = [
        {
            "sequence": each.sequence,
            "field": each.name,
            "salt": each.salt.hex(),
            "value": each.value,
        }
        for each in disclosures
    ]
    return _encode(
        {
            "format": DISCLOSURE_FORMAT,
            "merchant_transaction_id": str(chain.transaction_id),
            "disclosures": listed,
        }
    )
