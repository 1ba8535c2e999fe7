"""The proof of one entry of the audit log: who did what to a partner's record, and when that was written.

    hash = SHA-256(hash before ‖ RFC 8785 bytes of the entry)      32 zero bytes before the first

Each position's hash is stamped by itself, so the entry and the hash before it are all that is needed, and
nothing of any other entry is shown. The operator's receipts key signs which entry it is: anybody can have a
hash stamped, so a stamp alone does not show whose word it is.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, Final

from proof.verify import report
from proof.verify.errors import (
    AuditEntryError,
    AuditFormatError,
    AuditSubjectError,
    AuditTimeError,
    quoted,
)
from proof.verify.established import Established, utc_text
from proof.verify.evidence.account import evidence_facts, evidence_steps, time_witness
from proof.verify.evidence.log import ed25519
from proof.verify.evidence.log.note import VerifierKey
from proof.verify.evidence.log.policy import Policy
from proof.verify.payload import verify_payload
from proof.verify.receipts.signature import verify_signature
from proof.verify.strict_json import canonical_json, hex_hash, integer, members, parse_json, text
from proof.verify.trust import NO_CHAINS, ChainTrust

FORMAT: Final = "proof-audit/1"

_MEMBERS: Final = {"format", "entry", "position", "previous", "signature", "proofs"}
_ENTRY: Final = {
    "id", "at", "actor", "address", "request_id", "action", "partner_id", "before", "after",
}  # fmt: skip
_TEXTS: Final = ("at", "actor", "action")
_TEXTS_OR_NULL: Final = ("address", "request_id", "partner_id")
_ZERO: Final = "0" * 64
_MAX_NUMBER: Final = 2**53 - 1
_MAX_PROOFS: Final = 16
_moment = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z").fullmatch

_NEVER: Final = "That what the entry says is true, and that nothing else was done."

# The database's clock dates the entry, the witnesses' clocks the checkpoint.
_CLOCKS_APART_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class EstablishedAudit:
    """What a proof of an entry establishes: this very entry, behind the hash `previous`, makes the hash
    `leaf`, which `proofs` are of.

    `timestamp_ms`: milliseconds since 1970 UTC, the earliest time that a proof is tied to, or None.
    `position` is the sender's word, but for the first. `remaining`: sentences, never empty.
    """

    entry: dict[str, object]
    position: int
    previous: bytes
    leaf: bytes
    signed_by: str | None
    proofs: tuple[Established, ...]
    remaining: tuple[str, ...]

    @property
    def first(self) -> Established:
        """The proof with the earliest time that is tied; the first of all where none is."""
        return min(self.proofs, key=_earliest)

    @property
    def timestamp_ms(self) -> int | None:
        return self.first.timestamp_ms

    @property
    def tied(self) -> bool:
        """Whether a key the caller trusts signed it, and the caller trusts what dates it."""
        return not self.remaining


def verify_audit(
    raw: bytes,
    *,
    receipt_keys: Sequence[VerifierKey] = (),
    policy: Policy | None = None,
    chains: ChainTrust = NO_CHAINS,
) -> EstablishedAudit:
    """Verify the proof of an entry (UTF-8 JSON, at most 1 MiB) by what the caller trusts: receipts keys of
    the operator, and as for `verify_payload`.

    1. The text is strict JSON of the format `proof-audit/1`, with its members and no others.
    2. The entry has the nine members of an entry, each of its kind.
    3. SHA-256(previous ‖ canonical entry) is the hash; the first position, and no other, follows 32 zero
       bytes.
    4. What is signed is that entry's number, partner, position and hash. The lines of trusted keys verify.
    5. Every proof is about the hash, and is verified by the steps of `verify_payload`.
    6. The entry does not name a time after the one by which it existed.

    Raises a subclass of RefusedError. What cannot be checked for want of keys is named in `remaining`. Not
    checked: that what the entry says is true, and that nothing else was done.
    """
    proof = members(parse_json(raw), "the proof of the entry")  # 1
    if proof.get("format") != FORMAT or proof.keys() != _MEMBERS:
        raise AuditFormatError(
            f"it is not of the format {FORMAT}, with the members {', '.join(sorted(_MEMBERS))}"
        )
    entry = _entry(proof["entry"])  # 2
    position = integer(proof, "position", "the proof of the entry", _MAX_NUMBER)
    previous = hex_hash(proof["previous"], "previous")
    if (position == 1) != (previous == _ZERO) or position == 0:  # 3
        raise AuditFormatError(
            "position 1, and it alone, follows 32 zero bytes; positions count from 1"
        )
    leaf = sha256(bytes.fromhex(previous) + canonical_json(entry)).digest()
    proofs = tuple(_proof(each, leaf, policy, chains) for each in _proof_list(proof["proofs"]))
    key = verify_signature(  # 4
        proof["signature"],
        signed_text(entry, position, leaf),
        "the proof of the entry",
        receipt_keys,
        ed25519.verify,
    )
    signed_by = None if key is None else key.name
    established = EstablishedAudit(
        entry=entry,
        position=position,
        previous=bytes.fromhex(previous),
        leaf=leaf,
        signed_by=signed_by,
        proofs=proofs,  # 5
        remaining=tuple(_remaining(signed_by, proofs)),
    )
    _require_order(established)  # 6
    return established


def signed_text(entry: Mapping[str, object], position: int, leaf: bytes) -> bytes:
    """The five lines that are signed: format, the entry's number, its partner or nothing, its position, and
    the position's hash in hex."""
    lines = (FORMAT, entry["id"], entry["partner_id"] or "", position, leaf.hex())
    return "".join(f"{line}\n" for line in lines).encode()


def _entry(value: object) -> dict[str, object]:
    entry = members(value, "entry")
    if entry.keys() != _ENTRY:
        raise AuditEntryError(f"an entry has the members {', '.join(sorted(_ENTRY))}, no others")
    integer(entry, "id", "entry", _MAX_NUMBER)
    for name in _TEXTS:
        text(entry, name, "entry")
    for name in _TEXTS_OR_NULL:
        if entry[name] is not None:
            text(entry, name, "entry")
    _milliseconds(entry)
    return entry


def _milliseconds(entry: dict[str, object]) -> int:
    at = str(entry["at"])
    try:
        moment = datetime.fromisoformat(at if _moment(at) else "")
    except ValueError:
        raise AuditEntryError("entry.at is not a time in UTC with six digits of a second") from None
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def _proof_list(value: object) -> list[object]:
    if type(value) is not list or not 0 < len(value) <= _MAX_PROOFS:
        raise AuditFormatError(f"proofs is not a list of 1 to {_MAX_PROOFS} proofs")
    return value


def _proof(value: object, leaf: bytes, policy: Policy | None, chains: ChainTrust) -> Established:
    established = verify_payload(members(value, "a proof"), policy=policy, chains=chains)
    if established.leaf != leaf:
        raise AuditSubjectError(
            f"a proof is about {established.leaf.hex()}, but the entry after the hash before it makes"
            f" {leaf.hex()}: one of the three was altered"
        )
    return established


def _require_order(established: EstablishedAudit) -> None:
    found, at = established.timestamp_ms, _milliseconds(established.entry)
    if found is not None and at > found + _CLOCKS_APART_MS:
        raise AuditTimeError(
            f"the entry names the time {established.entry['at']}, but it existed by {utc_text(found)}"
        )


def _remaining(signed_by: str | None, proofs: Sequence[Established]) -> Iterator[str]:
    if signed_by is None:
        yield (
            "That the operator's audit log holds this entry: anybody can have a hash stamped, and no"
            " receipts key you gave has signed it. Give one with --receipt-key."
        )
    if all(proof.timestamp_ms is None for proof in proofs):
        for proof in proofs:
            for sentence in proof.remaining:
                yield printable(f"{proof.claimed.currency}: {sentence}")


def _earliest(established: Established) -> tuple[bool, int]:
    found = established.timestamp_ms
    return found is None, found or 0


def account(established: EstablishedAudit, subject: report.Subject) -> str:
    """The numbered account: what was checked, what is established, what remains."""
    steps = [
        "ok  The proof is strict JSON of one entry of an audit log.",
        (
            f"ok  SHA-256 over the hash before it and the entry is\n             {established.leaf.hex()}."
        ),
        _signature_step(established.signed_by),
        f"ok  That is what each of the {len(established.proofs)} proofs is about.",
        *(step for proof in established.proofs for step in evidence_steps(proof)),
        *([] if subject.sha256 is None else [report.subject_step(subject)]),
    ]
    lines = [f" {number}. {line}" for number, line in enumerate(steps, 1)]
    lines += ["", f"Established: {_sentence(established)}", *_told(established.entry)]
    lines += [f"Not established: {sentence}" for sentence in (*established.remaining, _NEVER)]
    return "\n".join(lines)


def as_json(established: EstablishedAudit, subject: report.Subject, exit_code: int) -> str:
    """The same facts as one JSON object; hashes in hex, times in milliseconds since 1970 UTC."""
    facts = {
        "result": "tied" if established.tied else "untied",
        "exitCode": exit_code,
        "format": FORMAT,
        "sha256": established.leaf.hex(),
        "entry": established.entry,
        "position": established.position,
        "signedBy": established.signed_by,
        "previous": established.previous.hex(),
        "timestamp": established.timestamp_ms,
        "compared": subject.sha256 is not None,
        "remaining": list(established.remaining),
        "proofs": [
            {
                "currency": each.claimed.currency,
                "timestamp": each.timestamp_ms,
                "signedBy": each.signed_by,
                **evidence_facts(each),
            }
            for each in established.proofs
        ],
    }
    return json.dumps(facts, indent=2)


def _signature_step(signed_by: str | None) -> str:
    if signed_by is None:
        return "--  No receipts key that you gave has signed it."
    return f"ok  {quoted(signed_by)} signed that the operator's audit log holds it."


def _sentence(established: EstablishedAudit) -> str:
    if established.timestamp_ms is None:
        return "these are one entry and proofs of it, at no time that you can trust."
    when = utc_text(established.timestamp_ms)
    return f"this entry existed by {when}, {time_witness(established.first)}."


def _told(entry: dict[str, object]) -> list[str]:
    """The entry in words and as it stands."""
    who = f"{entry['actor']}" + (f" from {entry['address']}" if entry["address"] else "")
    request = f", request {entry['request_id']}" if entry["request_id"] else ""
    about = entry["partner_id"] or "no partner"
    lines = [
        f"entry {entry['id']}, written {entry['at']}",
        f"{entry['action']} on {about}",
        f"by {who}{request}",
        f"before {_value(entry['before'])}",
        f"after  {_value(entry['after'])}",
    ]
    return [f"             {printable(line)}" for line in lines]


def _value(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def printable(line: str) -> str:
    """Text of a proof with everything escaped that a terminal would obey."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in line
    )
