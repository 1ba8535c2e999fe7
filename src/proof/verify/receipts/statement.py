"""The daily statement's pure parts: its form, its tree's leaves, and a receipt's path into it.

A statement is canonical JSON (RFC 8785). Its `root` is that of an RFC 9162 tree of `tree_size` leaves, one
for each chain that changed that day, in the order of `merchant_transaction_id`; a leaf is the canonical
JSON of {"head", "merchant_transaction_id", "records"}. What is signed is a note's text of five lines.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from typing import Any, Final

from proof.verify.errors import (
    LogIndexError,
    LogSizeError,
    PathTooLongError,
    PathTooShortError,
    quoted,
)
from proof.verify.evidence.log.rfc6962 import leaf_hash, root_from_inclusion
from proof.verify.receipts.errors import StatementFormatError, StatementLeafError
from proof.verify.receipts.records import is_moment
from proof.verify.strict_json import canonical_json

FORMAT: Final = "proof-statement/1"
MAX_PATH: Final = 63

_LARGEST: Final = 2**53 - 1
_NUMBERS: Final = ("transactions", "tree_size")
_HASHES: Final = ("root", "lines_sha256", "csv_sha256")
_MEMBERS: Final = frozenset(
    {
        "format",
        "partner_id",
        "environment",
        "date",
        "made_at",
        "previous_sha256",
        "totals",
        *_NUMBERS,
        *_HASHES,
    }
)
_LEAF_MEMBERS: Final = frozenset({"merchant_transaction_id", "records", "head"})
_hash = re.compile("[0-9a-f]{64}").fullmatch


@dataclass(frozen=True, slots=True)
class Leaf:
    """One chain as a day left it: so many records, the newest with the SHA-256 `head` (32 bytes)."""

    merchant_transaction_id: str
    records: int
    head: bytes

    @property
    def canonical(self) -> bytes:
        """The entry of the tree."""
        return canonical_json(
            {
                "head": self.head.hex(),
                "merchant_transaction_id": self.merchant_transaction_id,
                "records": self.records,
            }
        )

    @property
    def hash(self) -> bytes:
        """The tree's 32-byte leaf hash: SHA-256(00 ‖ canonical)."""
        return leaf_hash(self.canonical)


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement whose members are there and well-formed; `members` are all of them as they stand.

    `sha256`: 32 bytes over the canonical form, which is what is stamped. `totals` is a list of objects of
    texts, and only that is checked of it.
    """

    partner_id: str
    environment: str
    date: str
    tree_size: int
    root: bytes
    sha256: bytes
    members: Mapping[str, Any]

    @property
    def signed_text(self) -> bytes:
        """What a note of the receipts key is over."""
        return signed_text(self.partner_id, self.environment, self.date, self.sha256)


def signed_text(partner_id: str, environment: str, day: str, statement_sha256: bytes) -> bytes:
    """The five lines that are signed: format, partner, environment, date, SHA-256 in hex."""
    lines = (FORMAT, partner_id, environment, day, statement_sha256.hex())
    return "".join(f"{line}\n" for line in lines).encode()


def read_statement(value: object) -> Statement:
    """A parsed statement. Raises StatementFormatError, EncodingError, MemberError."""
    if type(value) is not dict or value.keys() != _MEMBERS:
        raise StatementFormatError(f"the statement has not the members of {FORMAT}")
    if value["format"] != FORMAT:
        raise StatementFormatError(f"the statement is not of the format {FORMAT}")
    for name in _NUMBERS:
        if type(value[name]) is not int or not 0 <= value[name] <= _LARGEST:
            raise StatementFormatError(f"the statement's {name} is not a whole number")
    for name in _HASHES:
        if type(value[name]) is not str or not _hash(value[name]):
            raise StatementFormatError(f"the statement's {name} is not 64 lower-case hex digits")
    _check_texts(value)
    return Statement(
        partner_id=value["partner_id"],
        environment=value["environment"],
        date=value["date"],
        tree_size=value["tree_size"],
        root=bytes.fromhex(value["root"]),
        sha256=sha256(canonical_json(value)).digest(),
        members=value,
    )


def read_leaf(value: object) -> Leaf:
    """A parsed leaf. Raises StatementFormatError."""
    if type(value) is not dict or value.keys() != _LEAF_MEMBERS:
        raise StatementFormatError("the statement's leaf has not the three members of one")
    name, records, head = (value[each] for each in ("merchant_transaction_id", "records", "head"))
    if type(name) is not str or type(records) is not int or not 0 < records <= _LARGEST:
        raise StatementFormatError("the statement's leaf names no transaction or no records")
    if type(head) is not str or not _hash(head):
        raise StatementFormatError("the head of the statement's leaf is not 64 hex digits")
    return Leaf(name, records, bytes.fromhex(head))


def check_path(statement: Statement, leaf: Leaf, index: int, path: Sequence[bytes]) -> None:
    """Establish that the leaf is number `index`, from 0, of the statement's tree (RFC 9162, 2.1.3.2).

    `path`: 32-byte siblings from below. Raises StatementLeafError.
    """
    try:
        root = root_from_inclusion(index, statement.tree_size, leaf.hash, path)
    except (LogIndexError, LogSizeError, PathTooShortError, PathTooLongError) as error:
        raise StatementLeafError(f"the path into the statement's tree: {error}") from error
    if root != statement.root:
        raise StatementLeafError("the path leads to another root than the statement's")


def _check_texts(value: dict[str, Any]) -> None:
    if type(value["partner_id"]) is not str or not value["partner_id"].isprintable():
        raise StatementFormatError("the statement's partner_id is not text of one line")
    if value["environment"] not in ("production", "sandbox"):
        raise StatementFormatError(
            f"the statement's environment is {quoted(str(value['environment']))}"
        )
    previous = value["previous_sha256"]
    if type(previous) is not str or (previous and not _hash(previous)):
        raise StatementFormatError("the statement's previous_sha256 is not 64 hex digits or empty")
    if type(value["date"]) is not str or not _is_date(value["date"]):
        raise StatementFormatError("the statement's date is none")
    if type(value["made_at"]) is not str or not is_moment(value["made_at"]):
        raise StatementFormatError("the statement's made_at is no moment in UTC")
    totals = value["totals"]
    if type(totals) is not list or not all(_is_texts(each) for each in totals):
        raise StatementFormatError("the statement's totals are not a list of objects of texts")


def _is_texts(value: object) -> bool:
    return type(value) is dict and all(type(each) is str for each in value.values())


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
