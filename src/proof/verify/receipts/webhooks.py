"""Webhook bodies held against a receipt: each carries the hash of the record it speaks of.

A file has one body a line (NDJSON), as it was received. A body is what was recorded if its `record_sha256`
is that of a record here and every member that both have is the same. Bodies of before there was a
`record_sha256` name none, and are what was recorded if a record of version 1 says all that they say. What a
body has and no record (`event`, the user's id and reference as the partner sent them) is not compared.
Bodies of other transactions, and of events that are not of a status or a refund, are only counted.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final

from proof.verify.errors import RefusedError, quoted
from proof.verify.receipts.records import STATUS, Chain, Record
from proof.verify.strict_json import parse_json

MAX_LINE_BYTES: Final = 1024 * 1024
MAX_FINDINGS: Final = 1000
"""Listed; all are counted."""

_NAMED: Final = "record_sha256"
_OF: Final = "merchant_transaction_id"
# The ten members that a body of version 1 has.
_BODY_1: Final = frozenset(
    {
        _OF,
        "type",
        "status",
        "currency",
        "network",
        "crypto_amount",
        "fiat_currency",
        "fiat_amount",
        "created_at",
        "updated_at",
    }
)
# Events that speak of a record; the others, such as those of receipts, say nothing that one could deny.
_EVENTS: Final = frozenset({None, "transaction.status", "transaction.refunded"})


@dataclass(frozen=True, slots=True)
class Finding:
    """A line, counted from 1, whose body is not what was recorded, and why in a sentence."""

    line: int
    reason: str


@dataclass(slots=True)
class Comparison:
    """How bodies stand to a receipt. `matching` counts the lines that are what was recorded, `others` those
    that speak of no record of this transaction, `differing` those that are not; `findings` says why of the
    first 1,000 of these. `untold`: the records of status changes that no matching body speaks of, by
    their places from 1."""

    matching: int = 0
    others: int = 0
    differing: int = 0
    findings: list[Finding] = field(default_factory=list)
    untold: tuple[int, ...] = ()

    @property
    def agrees(self) -> bool:
        """Whether no body of the transaction says something else than its record."""
        return not self.differing


def bounded_lines(file: BinaryIO) -> Iterator[bytes | None]:
    """The lines of a file without their ends; None for one that is too long, of which no more is kept."""
    while line := file.readline(MAX_LINE_BYTES + 2):
        if line.endswith(b"\n") or len(line) <= MAX_LINE_BYTES:
            yield line.rstrip(b"\r\n")
            continue
        while line and not line.endswith(b"\n"):
            line = file.readline(MAX_LINE_BYTES)
        yield None


def compare(lines: Iterable[bytes | None], chain: Chain) -> Comparison:
    """Each line's body held against the chain; empty lines are passed over."""
    known = {record.sha256.hex(): record for record in chain.records}
    found, told = Comparison(), set()
    for number, line in enumerate(lines, 1):
        if line is not None and not line.strip():
            continue
        try:
            record = _record_of(line, known, chain)
        except _DifferenceError as difference:
            found.differing += 1
            if len(found.findings) < MAX_FINDINGS:
                found.findings.append(Finding(number, str(difference)))
            continue
        if record is None:
            found.others += 1
        else:
            found.matching += 1
            told.add(record.place)
    changes = [record.place for record in chain.records if record.kind == STATUS]
    found.untold = tuple(place for place in changes if place not in told)
    return found


class _DifferenceError(Exception):
    """A body is not what was recorded; the message says why."""


def _record_of(line: bytes | None, known: Mapping[str, Record], chain: Chain) -> Record | None:
    """The record that a body repeats, None for a body of another transaction. Raises _DifferenceError."""
    body = _body(line)
    named = body.get(_NAMED)
    record = known.get(named) if type(named) is str else None
    if record is not None:
        _require_same(body, record)
        return record
    event = body.get("event")
    told = type(event) is not str or event in _EVENTS
    if body.get(_OF) != chain.first.text(_OF) or (named is None and not told):
        return None
    if named is None:
        return _of_version_1(body, chain)
    raise _DifferenceError(
        f"its {_NAMED} {quoted(str(named))} is in no record of this receipt; if the body is newer than"
        " the receipt, fetch the receipt anew"
    )


def _body(line: bytes | None) -> dict[str, Any]:
    if line is None:
        raise _DifferenceError(f"it is longer than {MAX_LINE_BYTES} bytes")
    try:
        body = parse_json(line, what="the line")
    except RefusedError as error:
        raise _DifferenceError(str(error)) from error
    if type(body) is not dict:
        raise _DifferenceError("it is not a JSON object")
    return body


def _require_same(body: Mapping[str, Any], record: Record) -> None:
    differing = sorted(_differing(body, record))
    if differing:
        name = differing[0]
        raise _DifferenceError(
            f"it has {name} {quoted(str(body[name]))}, but {record.name} has"
            f" {quoted(str(record.members[name]))}"
        )


def _differing(body: Mapping[str, Any], record: Record) -> set[str]:
    return {
        name for name in body.keys() & record.members.keys() if body[name] != record.members[name]
    }


def _of_version_1(body: Mapping[str, Any], chain: Chain) -> Record:
    for record in chain.records:
        if record.version == 1 and body.keys() >= _BODY_1 and not _differing(body, record):
            return record
    raise _DifferenceError(f"it has no {_NAMED}, and no record of version 1 says what it says")
