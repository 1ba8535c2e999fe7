"""A transaction's chain of records: what each may hold, how they hang together, what may follow what.

A record is canonical JSON (RFC 8785) of strings, but for `version`, `sequence` and `status_sequence`, which
are whole numbers. Each names the SHA-256 of the one before it. Versions 1 and 2 know status changes alone,
each a record; version 3 also the session's opening, provider callbacks, operators' resolutions and refunds,
by `kind`. A chain may begin with older versions and go on with newer ones, never back. A member that its
version and kind do not have is refused, so that nothing can be said that no verifier reads.

What is checked here is what an honest operator's records keep, whoever signed them. That the records are
the operator's, and when they existed, is for signatures and proofs: `proof.verify.receipts.receipt`.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from hashlib import sha256
from itertools import zip_longest
from typing import Any, Final

from proof.verify.errors import quoted
from proof.verify.receipts.errors import (
    CauseError,
    ChainLinkError,
    MoneyError,
    NoRecordError,
    OpeningError,
    OtherTransactionError,
    RecordHashError,
    RecordIdError,
    RecordMemberError,
    RecordTimeError,
    RecordVersionError,
    RefundError,
    SequenceError,
    StatusError,
    StatusSequenceError,
    VersionOrderError,
)
from proof.verify.strict_json import canonical_json

OPENED: Final = "session.opened"
CALLBACK: Final = "provider.callback"
RESOLUTION: Final = "operator.resolution"
STATUS: Final = "transaction.status"
REFUND: Final = "transaction.refund"

HASHED: Final = "_sha256"
"""The end of a member's name that holds a salted hash, but for `previous_sha256`."""

_LINK: Final = "previous_sha256"
_VERSIONS: Final = (1, 2, 3)
_LARGEST: Final = 2**53 - 1
_INTEGERS: Final = frozenset({"version", "sequence", "status_sequence"})

_Check = Callable[[str], object]


def _among(*words: str) -> _Check:
    return frozenset(words).__contains__


def _matching(pattern: str) -> _Check:
    return re.compile(pattern, re.ASCII).fullmatch


def is_moment(text: str) -> bool:
    """Whether a text is a moment as records write it, in the one form that moment has."""
    try:
        return _written_moment(text) is not None and bool(moment(text))
    except ValueError:  # a thirteenth month
        return False


# A whole second has no fraction, every other six digits: a moment has one text.
_written_moment = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.(?!000000)\d{6})?Z", re.ASCII
).fullmatch
_some: Final = bool
_any: Final = lambda _: True  # noqa: E731 - a check like the others
_hash = _matching("(?:[0-9a-f]{64})?")
_uuid = _matching("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_coins = _matching(r"(?:0|[1-9]\d{0,127})(?:\.\d{0,127}[1-9])?")
_coins_or_none = _matching(r"(?:(?:0|[1-9]\d{0,127})(?:\.\d{0,127}[1-9])?)?")
_fiat = _matching(r"(?:(?:0|[1-9]\d{0,127})\.\d\d(?:\d{0,127}[1-9])?)?")
# Versions 1 and 2 wrote amounts with as many zeros at the end as they were given.
_decimal = _matching(r"(?:0|[1-9]\d{0,127})(?:\.\d{1,128})?")
_decimal_or_none = _matching(r"(?:(?:0|[1-9]\d{0,127})(?:\.\d{1,128})?)?")


def _moment_or_none(text: str) -> bool:
    return not text or is_moment(text)


_EVERY: Final[Mapping[str, _Check]] = {
    "id": _uuid,
    "merchant_transaction_id": _uuid,
    "partner_id": _some,
    "environment": _among("production", "sandbox"),
    _LINK: _hash,
}
_TRANSACTION: Final[Mapping[str, _Check]] = {
    "type": _among("buy", "sell"),
    "currency": _some,
    "network": _some,
    "created_at": is_moment,
}
_REFUND_STATUS: Final = ("requested", "refunded", "charged_back")
_STATUS_1: Final[Mapping[str, _Check]] = {
    **_EVERY,
    **_TRANSACTION,
    "status": _among("processing", "completed", "failed", "cancelled"),
    "crypto_amount": _decimal,
    "fiat_currency": _any,
    "fiat_amount": _decimal_or_none,
    "payment_method": _any,
    "updated_at": is_moment,
    "occurred_at": is_moment,
    "partner_user_id_sha256": _hash,
    "address_sha256": _hash,
}
_STATUS_2: Final[Mapping[str, _Check]] = {
    **_STATUS_1,
    "fiat_fee": _decimal_or_none,
    "rate": _decimal_or_none,
    "failure_reason": _among(
        "",
        "payment_declined",
        "identity_refused",
        "session_expired",
        "deposit_expired",
        "deposit_failed",
        "delivery_failed",
        "payout_failed",
        "other",
    ),
    "chain_transaction": _matching("[0-9A-Za-z]{0,128}"),
    "chain_transaction_url": _any,
    "refund_status": _among("none", *_REFUND_STATUS),
    "refund_amount": _fiat,
    "refunded_at": _moment_or_none,
    "partner_reference_sha256": _hash,
}
_EVERY_3: Final[Mapping[str, _Check]] = {**_EVERY, "kind": _some, "recorded_at": is_moment}
_KINDS: Final[Mapping[str, Mapping[str, _Check]]] = {
    OPENED: {
        **_EVERY_3,
        **_TRANSACTION,
        "crypto_amount": _coins,
        "fiat_currency": _any,
        "fee_terms": _among("quoted_in_widget"),
        "partner_user_id_sha256": _hash,
        "partner_reference_sha256": _hash,
        "user_email_sha256": _hash,
        "address_sha256": _hash,
    },
    CALLBACK: {**_EVERY_3, "provider": _some, "received_at": is_moment, "body_sha256": _hash},
    RESOLUTION: {
        **_EVERY_3,
        "status": _among("completed", "failed"),
        "actor_sha256": _hash,
        "reason_sha256": _hash,
    },
    STATUS: {
        **_STATUS_2,
        **_EVERY_3,
        "crypto_amount": _coins,
        "fiat_amount": _fiat,
        "fiat_fee": _fiat,
        "rate": _coins_or_none,
        "caused_by": _among("callback", "provider", "operator", "expiry"),
    },
    REFUND: {
        **_EVERY_3,
        "refund_status": _among(*_REFUND_STATUS),
        "refund_amount": _fiat,
        "fiat_currency": _any,
        "refunded_at": _moment_or_none,
        "caused_by": _among("callback", "provider", "operator"),
    },
}
_INTEGERS_OF: Final[Mapping[tuple[int, str], frozenset[str]]] = {(3, STATUS): _INTEGERS}

_AFTER: Final[Mapping[str, tuple[str, ...]]] = {
    "pending": ("processing", "failed", "cancelled"),
    "processing": ("completed", "failed"),
    "completed": (),
    "failed": (),
    "cancelled": (),
}
_REFUND_AFTER: Final[Mapping[str, tuple[str, ...]]] = {
    "none": ("requested", "charged_back"),
    "requested": ("refunded", "charged_back"),
    "refunded": ("charged_back",),
    "charged_back": (),
}
_NO_REFUND: Final = ("none", "", "")


@dataclass(frozen=True)
class Record:
    """One record that has the members of its version and kind, each well-formed.

    `sha256`: 32 bytes, over its canonical form. `place`: counts from 1, as its `sequence` should.
    """

    place: int
    version: int
    kind: str
    members: Mapping[str, Any]
    sha256: bytes

    def text(self, name: str) -> str:
        """A member that is text; empty where its version or kind has none of that name."""
        found: str = self.members.get(name, "")
        return found

    @cached_property
    def at(self) -> datetime:
        """When it was recorded, in its environment's time: of versions 1 and 2, when the status changed."""
        return moment(self.text("recorded_at" if self.version == 3 else "updated_at"))

    @property
    def name(self) -> str:
        """What a refusal calls it."""
        return f"record {self.place}"


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain whose every rule holds, from its first record on; at least one.

    `status` and `refund_status` are as its newest records have them; whether newer ones exist, a chain
    cannot show. `opened`: its session's opening, None of one that begins with an older version.
    """

    records: tuple[Record, ...]
    status: str
    refund_status: str

    @property
    def head(self) -> bytes:
        """SHA-256 of the newest record."""
        return self.records[-1].sha256

    @property
    def first(self) -> Record:
        return self.records[0]

    @property
    def told(self) -> Record:
        """The newest record of the transaction as a whole: a status change, or else the opening."""
        return next(each for each in reversed(self.records) if each.kind in {STATUS, OPENED})


def moment(text: str) -> datetime:
    """A moment as records write it, aware and UTC. Raises ValueError."""
    return datetime.fromisoformat(text)


def read_chain(records: Sequence[object], hashes: Sequence[object] = ()) -> Chain:
    """Check parsed records, in the order they are given, one by one and as a chain. `hashes`: what stands
    beside them as their SHA-256 in hex.

    1. Each has a known version and kind, the members of these, all of them well-formed, and its hash.
    2. They count from 1 without a gap, each with the hash of the one before it and an id of its own, and no
       older version follows a newer one.
    3. They are of one transaction, partner and environment, which they call the same throughout.
    4. Their times do not go back.
    5. A version-3 chain begins with its session's opening. Each status may follow the one before it; each
       cause stands right before what it caused; refunds follow a captured payment, in their order.
    6. Amounts stand with the status: above zero, fiat money from `processing` on, fees within it.

    Raises a subclass of RefusedError. Not checked: that a provider told the truth.
    """
    if not records:
        raise NoRecordError("there is no record")
    rules = _Rules()
    read: list[Record] = []
    for place, (each, digest) in enumerate(zip_longest(records, hashes), 1):
        record = read_record(each, place)  # 1
        if hashes and record.sha256.hex() != digest:
            raise RecordHashError(f"{record.name} is not what its sha256 is of: it was altered")
        rules.check(record)
        read.append(record)
    rules.close(None)
    return Chain(tuple(read), rules.status, rules.refund[0])


def read_record(value: object, place: int) -> Record:
    """Step 1 of `read_chain` for one. Raises RecordVersionError, RecordMemberError, EncodingError."""
    if type(value) is not dict:
        raise RecordMemberError(f"record {place} is not an object")
    version, kind = _version(value, place)
    checks = _KINDS[kind] if version == 3 else {1: _STATUS_1, 2: _STATUS_2}[version]
    integers = _INTEGERS_OF.get((version, kind), _INTEGERS - {"status_sequence"})
    if value.keys() != checks.keys() | integers:
        raise RecordMemberError(_wrong_members(place, value.keys(), checks.keys() | integers))
    for name in sorted(integers):
        number = value[name]
        if type(number) is not int or not 0 < number <= _LARGEST:
            raise RecordMemberError(f"record {place}: {name} is not a whole number above 0")
    for name, check in checks.items():
        if type(value[name]) is not str or not check(value[name]):
            raise RecordMemberError(f"record {place}: {name} is not what a record has there")
    return Record(place, version, kind, value, sha256(canonical_json(value)).digest())


def _version(value: dict[str, Any], place: int) -> tuple[int, str]:
    version = value.get("version")
    if type(version) is not int or version not in _VERSIONS:
        raise RecordVersionError(
            f"record {place} has a version that is unknown here; a newer verifier may know it"
        )
    kind = value.get("kind", STATUS) if version == 3 else STATUS
    if type(kind) is not str or kind not in _KINDS:
        raise RecordVersionError(
            f"record {place} is of a kind that is unknown here; a newer verifier may know it"
        )
    return version, kind


def _wrong_members(place: int, found: Any, expected: Any) -> str:
    missing, unknown = sorted(expected - found), sorted(found - expected)
    said = [f"lacks {name}" for name in missing[:1]]
    said += [f"has {quoted(name)}, which no such record has" for name in unknown[:1]]
    return f"record {place} {' and '.join(said)}"


class _Rules:
    """What the records so far leave open to the next one."""

    def __init__(self) -> None:
        self.status = "pending"
        self.refund = _NO_REFUND
        self._captured = False
        self._status_changes = 0
        self._ids: set[str] = set()
        self._previous: Record | None = None
        self._told: Record | None = None  # the newest that says type, currency, network
        self._changed: Record | None = None  # the newest status change
        self._cause: Record | None = None  # a callback or resolution, until what it caused is over

    def check(self, record: Record) -> None:
        """Steps 2 to 6 of `read_chain` for the next record."""
        self._check_link(record)
        self._check_opening(record)
        self._check_identity(record)
        self._check_time(record)
        self._check_cause(record)
        match record.kind:
            case "transaction.status":
                self._change(record)
            case "transaction.refund":
                self._give_back(record)
            case "session.opened":
                _check_coins(record)
        self._previous = record

    def close(self, following: Record | None) -> None:
        """The end of what the last callback or resolution caused, before `following` or at the end."""
        cause, previous = self._cause, self._previous
        if cause is None:
            return
        self._cause = None
        before = "at the end" if following is None else f"before {following.name}"
        if cause.kind == CALLBACK and cause is previous:
            raise CauseError(f"{cause.name} is a provider's callback that caused nothing {before}")
        if cause.kind == RESOLUTION and cause.text("status") != self.status:
            raise CauseError(
                f"{cause.name} resolves the transaction as {cause.text('status')}, but it is"
                f" {self.status} {before}"
            )

    def _check_link(self, record: Record) -> None:
        previous, sequence = self._previous, record.members["sequence"]
        if sequence != record.place:
            raise SequenceError(
                f"{record.name} has the number {sequence}: one is missing, doubled or misplaced"
            )
        expected = "" if previous is None else previous.sha256.hex()
        if record.text(_LINK) != expected:
            raise ChainLinkError(f"{record.name} does not name the hash of the one before it")
        if previous is not None and record.version < previous.version:
            raise VersionOrderError(f"{record.name} has an older version than the one before it")
        if record.text("id") in self._ids:
            raise RecordIdError(f"{record.name} has the id of another record")
        self._ids.add(record.text("id"))

    def _check_identity(self, record: Record) -> None:
        self._require_same(record, self._previous, _EVERY.keys() - {"id", _LINK})
        if record.kind in {OPENED, STATUS}:
            self._require_same(record, self._told, _TRANSACTION.keys())
            self._told = record

    @staticmethod
    def _require_same(record: Record, before: Record | None, names: Any) -> None:
        for name in sorted(names if before is not None else ()):
            if before is not None and record.text(name) != before.text(name):
                raise OtherTransactionError(
                    f"{record.name} has another {name} than {before.name}: it is of something else"
                )

    def _check_time(self, record: Record) -> None:
        if self._previous is not None and record.at < self._previous.at:
            raise RecordTimeError(f"{record.name} was recorded before the one before it")
        created = record.text("created_at")
        if created and moment(created) > record.at:
            raise RecordTimeError(f"{record.name} was recorded before the transaction was created")

    def _check_cause(self, record: Record) -> None:
        """A change by a callback, and a status by an operator, stands right behind it, or behind another
        that the same caused."""
        caused_by = record.text("caused_by")
        needed = {"callback": CALLBACK, "operator": RESOLUTION}.get(caused_by)
        if needed == RESOLUTION and record.kind == REFUND:
            needed = None  # an operator tells of a refund without resolving anything
        if needed is not None and (self._cause is None or self._cause.kind != needed):
            raise CauseError(f"{record.name} says {caused_by} caused it, and no such record does")
        if needed is None:
            self.close(record)
        if record.kind in {CALLBACK, RESOLUTION}:
            self._cause = record

    def _check_opening(self, record: Record) -> None:
        first = self._previous is None
        if record.kind == OPENED and not first:
            raise OpeningError(f"{record.name} opens the session, which only the first one can")
        if first and record.version == 3 and record.kind != OPENED:
            raise OpeningError("the first record is not the session's opening")

    def _change(self, record: Record) -> None:
        status = record.text("status")
        if status not in _AFTER[self.status]:
            raise StatusError(f"{record.name} says {status}, which cannot follow {self.status}")
        if record.text("caused_by") == "expiry" and status != "failed":
            raise CauseError(f"{record.name} says {status} because time was over; that only fails")
        self._status_changes += 1
        if record.members.get("status_sequence", self._status_changes) != self._status_changes:
            raise StatusSequenceError(f"{record.name} is status change {self._status_changes}")
        self._check_change_time(record)
        self._captured = self._captured or status == "processing"
        if record.version > 1:
            self._check_told_refund(record)
            _check_reason(record, status)
        _check_money(record, status, self._captured)
        self.status, self._changed = status, record

    def _check_change_time(self, record: Record) -> None:
        updated, before = moment(record.text("updated_at")), self._changed
        if before is not None and updated < moment(before.text("updated_at")):
            raise RecordTimeError(f"{record.name} changed the status before {before.name} did")
        if record.version > 1 and record.text("occurred_at") != record.text("updated_at"):
            raise RecordTimeError(f"{record.name} has another occurred_at than updated_at")

    def _check_told_refund(self, record: Record) -> None:
        told = tuple(
            record.text(name) for name in ("refund_status", "refund_amount", "refunded_at")
        )
        if told != self.refund:
            raise RefundError(f"{record.name} tells another refund than the records before it")

    def _give_back(self, record: Record) -> None:
        status, amount = record.text("refund_status"), record.text("refund_amount")
        if not self._captured:
            raise RefundError(f"{record.name} gives back what was never paid")
        if status not in _REFUND_AFTER[self.refund[0]]:
            raise RefundError(f"{record.name} says {status}, which cannot follow {self.refund[0]}")
        if (status == "refunded") > bool(amount and record.text("refunded_at")):
            raise RefundError(f"{record.name} says refunded, but not how much and when")
        if amount and not (Decimal(amount) and record.text("fiat_currency")):
            raise MoneyError(f"{record.name} gives back nothing, or in no currency")
        self.refund = (status, amount, record.text("refunded_at"))


def _check_reason(record: Record, status: str) -> None:
    if bool(record.text("failure_reason")) != (status == "failed"):
        raise StatusError(f"{record.name} has a failure_reason exactly if it failed")


def _check_money(record: Record, status: str, captured: bool) -> None:
    amount, currency = record.text("fiat_amount"), record.text("fiat_currency")
    fee, rate = record.text("fiat_fee"), record.text("rate")
    _check_coins(record)
    if bool(amount) != bool(currency):
        raise MoneyError(f"{record.name} has an amount of money without a currency, or the reverse")
    if amount and not captured:
        raise MoneyError(f"{record.name} names money although nothing was paid")
    if amount and record.version > 1 and record.text("type") == "sell" and status == "failed":
        raise MoneyError(f"{record.name} names money although the sale failed and pays nobody")
    if bool(fee) != bool(rate) or (fee and not amount):
        raise MoneyError(f"{record.name} has a fee without an amount, or without a rate")
    if amount and not Decimal(amount):
        raise MoneyError(f"{record.name} has an amount of money that is zero")
    if rate and not Decimal(rate):
        raise MoneyError(f"{record.name} has a rate that is zero")
    if fee and record.text("type") == "buy" and Decimal(fee) >= Decimal(amount):
        raise MoneyError(f"{record.name} has a fee that is all that was paid")


def _check_coins(record: Record) -> None:
    if not Decimal(record.text("crypto_amount")):
        raise MoneyError(f"{record.name} is of no coins")
