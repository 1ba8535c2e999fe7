"""Selective disclosure: a value and its salt, checked against the salted hash that a record holds.

    {"format": "proof-disclosure/1", "merchant_transaction_id", "disclosures": [
        {"sequence", "field", "salt", "value"}, …]}

`field` is the member's name without `_sha256`, `salt` 32 bytes in hex: the member is the SHA-256 of the
salt and then the value's UTF-8. Salts differ for each field and record, so that one shown helps nobody to
try what the others are of.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field as attribute
from hashlib import sha256
from hmac import compare_digest
from typing import Any, Final

from proof.verify.errors import EncodingError, quoted
from proof.verify.receipts.errors import DisclosureError
from proof.verify.receipts.records import HASHED, Chain
from proof.verify.strict_json import MAX_RECEIPT_BYTES, hex_bytes, parse_json

FORMAT: Final = "proof-disclosure/1"

_SALT_BYTES: Final = 32
_MEMBERS: Final = frozenset({"format", "merchant_transaction_id", "disclosures"})
_ONE: Final = frozenset({"sequence", "field", "salt", "value"})


@dataclass(frozen=True, slots=True)
class Disclosure:
    """A field of a record whose value was shown, and is what the record's hash is of."""

    sequence: int
    field: str
    value: str = attribute(repr=False)


def read_disclosures(raw: bytes, merchant_transaction_id: str) -> list[object]:
    """The disclosures of a file, not checked yet. Raises DisclosureError and what `parse_json` does."""
    value = parse_json(raw, limit=MAX_RECEIPT_BYTES, what="the disclosure")
    if type(value) is not dict or value.keys() != _MEMBERS or value["format"] != FORMAT:
        raise DisclosureError(f"the disclosure has not the members of {FORMAT}")
    if value["merchant_transaction_id"] != merchant_transaction_id:
        raise DisclosureError("the disclosure is of another transaction than the receipt")
    found = value["disclosures"]
    if type(found) is not list:
        raise DisclosureError("the disclosures are not a list")
    return found


def verify_disclosures(disclosures: Sequence[object], chain: Chain) -> tuple[Disclosure, ...]:
    """Each of them checked against its record, in their order.

    Raises DisclosureError, HexError, MemberError, EncodingError.
    """
    checked = tuple(_verify(each, chain) for each in disclosures)
    if len({(each.sequence, each.field) for each in checked}) != len(checked):
        raise DisclosureError("a field of a record is disclosed twice")
    return checked


def _verify(value: Any, chain: Chain) -> Disclosure:
    if type(value) is not dict or value.keys() != _ONE:
        raise DisclosureError("a disclosure has sequence, field, salt and value, and no more")
    sequence, name, text = value["sequence"], value["field"], value["value"]
    if type(sequence) is not int or not 0 < sequence <= len(chain.records):
        raise DisclosureError("a disclosure is of a record that the receipt does not hold")
    if type(name) is not str or type(text) is not str:
        raise DisclosureError("a disclosure's field or value is not text")
    record = chain.records[sequence - 1]
    member = f"{name}{HASHED}"
    if name == "previous" or member not in record.members:
        raise DisclosureError(f"{record.name} has no salted hash of {quoted(name)}")
    salt = hex_bytes(value["salt"], "a disclosure's salt", _SALT_BYTES, _SALT_BYTES)
    if not compare_digest(_hash(salt, text), record.text(member)):
        raise DisclosureError(f"what is disclosed as {name} is not what {record.name} holds")
    return Disclosure(sequence, name, text)


def _hash(salt: bytes, text: str) -> str:
    try:
        return sha256(salt + text.encode()).hexdigest()
    except UnicodeEncodeError as error:
        raise EncodingError("a disclosed value holds half of a surrogate pair") from error
