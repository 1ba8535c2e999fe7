"""Mercuryo's words: signatures, callbacks and the answers of its API, and what its statuses mean.

Source: the ramp API contract, "Mercuryo behind the scenes". A transaction of ours is two legs there, which
share our id.

Its `fiat_amount` is what the user pays in all (leg `buy`) or gets in all (leg `sell`). A withdrawal's is
not read: it is the worth of the coins that were sent, not what was paid. Callbacks as they are documented
tell no fees; where a leg has a `fee`, with `fee_currency` or an object by currency, it is all of them, as
in the answers about rates. Its `rate` is never read, since some of those answers have it before fees and
others after: ours is the price, which is the amount without the fee, for each coin.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from uuid import UUID

import msgspec

from proof.core.canonical import canonical_json
from proof.core.json_members import RepeatedMemberError, require_distinct
from proof.ramp.errors import CallbackRefusedError
from proof.ramp.providers.protocols import Observation, ProviderStatus
from proof.ramp.types import FailureReason

SIGNATURE_HEADER = "x-signature"


NETWORKS: Mapping[str, str] = {
    "TRC20": "TRON",
    "ERC20": "ETHEREUM",
    "ETH": "ETHEREUM",
    "BEP20": "BINANCESMARTCHAIN",
    "BTC": "BITCOIN",
}


_BUY: Mapping[str, ProviderStatus] = {
    "new": ProviderStatus.PENDING,
    "pending": ProviderStatus.PENDING,
    "descriptor_failed": ProviderStatus.PENDING,
    "failed_exchange": ProviderStatus.PENDING,
    "order_scheduled": ProviderStatus.PENDING,
    "paid": ProviderStatus.PROCESSING,
    "order_failed": ProviderStatus.DECLINED,
    "cancelled": ProviderStatus.CANCELLED,
}


# In the order in which legs follow one another. `mobile_pay` is a purchase by Apple or Google Pay.
VERDICTS: Mapping[str, Mapping[str, ProviderStatus]] = {
    "buy": _BUY,
    "mobile_pay": _BUY,
    "withdraw": {
        "new": ProviderStatus.PROCESSING,
        "pending": ProviderStatus.PROCESSING,
        "order_scheduled": ProviderStatus.PROCESSING,
        "completed": ProviderStatus.COMPLETED,
        "failed": ProviderStatus.UNDELIVERABLE,
    },
    "deposit": {
        "new": ProviderStatus.PENDING,
        "pending": ProviderStatus.PENDING,
        "completed": ProviderStatus.PROCESSING,
        "failed": ProviderStatus.FAILED,
    },
    "sell": {
        "new": ProviderStatus.PENDING,
        "pending": ProviderStatus.PROCESSING,
        "succeeded": ProviderStatus.COMPLETED,
        "completed": ProviderStatus.COMPLETED,
        "failed": ProviderStatus.FAILED,
    },
}


# Legs whose amounts are those agreed; a withdrawal's are less the network's fee.
_AGREED = frozenset({"buy", "mobile_pay", "deposit", "sell"})

# Why a transaction fails when a leg does.
_REASONS: Mapping[str, FailureReason] = {
    "deposit": FailureReason.DEPOSIT_FAILED,
    "sell": FailureReason.PAYOUT_FAILED,
}

_LEGS = list(VERDICTS)

_WHITE_SPACE = re.compile(rb"\s+")

_LONGEST_AMOUNT = 60

_ABSENT = msgspec.Raw(b"null")

_MALFORMED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, RepeatedMemberError)


class Leg(msgspec.Struct, frozen=True):
    """One leg as callbacks and answers have it; more fields are let be. `type` is absent in answers, where
    the member's name says it. Amounts are kept as written: no number passes through a float."""

    id: str
    merchant_transaction_id: str
    status: str
    type: str = ""
    updated_at: str | None = None
    created_at: str | None = None
    amount: msgspec.Raw = _ABSENT
    fiat_amount: msgspec.Raw = _ABSENT
    fiat_currency: str | None = None
    fee: msgspec.Raw = _ABSENT
    fee_currency: str | None = None
    payment_method: str | None = None
    tx: msgspec.Raw = _ABSENT


class _CoinTransaction(msgspec.Struct, frozen=True):
    data: Leg


class _OnChain(msgspec.Struct, frozen=True):
    """The transaction that carries a leg's coins."""

    id: str | None = None


_on_chain = msgspec.json.Decoder(_OnChain | None)

_fees = msgspec.json.Decoder(dict[str | None, msgspec.Raw])

_leg, _wrapped = msgspec.json.Decoder(Leg), msgspec.json.Decoder(_CoinTransaction)

_rows = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])


def session_signature(
    address: str, secret: str, client_ip: str, merchant_transaction_id: str
) -> str:
    """`v2:` and the hex SHA-512 of the four, one after the other with nothing between them."""
    joined = address + secret + client_ip + merchant_transaction_id
    return "v2:" + hashlib.sha512(joined.encode()).hexdigest()


def verify(sign_key: str, headers: Mapping[str, str], body: bytes) -> str:
    """`raw` or `compact`: which form of the body is signed. Raises CallbackRefusedError.

    Mercuryo's documents disagree on whether white space is removed first.
    """
    given = headers.get(SIGNATURE_HEADER, "").lower().encode()
    for form, signed in (("raw", body), ("compact", _WHITE_SPACE.sub(b"", body))):
        expected = hmac.new(sign_key.encode(), signed, hashlib.sha256).hexdigest()
        if hmac.compare_digest(expected.encode(), given):
            return form
    raise CallbackRefusedError("the signature fits neither form of the body")


def identity(body: bytes) -> bytes:
    """SHA-256 over id, type, status and updated_at, without the white space that a signature may leave
    out: else whoever has one callback could make any number of it. Raises CallbackRefusedError."""
    leg = callback_leg(body)
    said = [leg.id, leg.type, leg.status, leg.updated_at or ""]
    compact = [_WHITE_SPACE.sub(b"", text.encode()).decode() for text in said]
    return hashlib.sha256(canonical_json(compact)).digest()


def callback_leg(body: bytes) -> Leg:
    """The leg that a callback is about, whether it stands in `data` or by itself. Raises
    CallbackRefusedError."""
    try:
        found = _unwrapped(body)
        require_distinct(body)
    except _MALFORMED as error:
        raise CallbackRefusedError(f"not a callback of Mercuryo's: {error}") from None
    return found


def _unwrapped(body: bytes) -> Leg:
    try:
        return _wrapped.decode(body).data
    except _MALFORMED:
        return _leg.decode(body)


def answered_legs(data: bytes) -> list[tuple[str, Leg]]:
    """The legs in the answer about transactions: objects with a member for each leg, null where there is
    none; what is no leg of ours is let be. Raises CallbackRefusedError."""
    try:
        return [
            (name, _leg.decode(row[name]))
            for row in _rows.decode(data)
            for name in _LEGS
            if bytes(row.get(name, _ABSENT)) != b"null"
        ]
    except _MALFORMED as error:
        raise CallbackRefusedError(f"not a list of transactions: {error}") from None


def observation(kind: str, leg: Leg) -> Observation:
    """What a leg's status means; an unknown leg or status is `unknown`. Raises CallbackRefusedError for an
    id that is not ours, a time or an amount that is none."""
    try:
        name = UUID(leg.merchant_transaction_id)
    except ValueError:
        raise CallbackRefusedError("merchant_transaction_id: not an id of ours") from None
    verdict = VERDICTS.get(kind, {}).get(leg.status, ProviderStatus.UNKNOWN)
    agreed = kind in _AGREED
    return Observation(
        merchant_transaction_id=name,
        verdict=verdict,
        said=f"{kind[:40]}: {leg.status[:40]}",
        occurred_at=_moment(leg.updated_at or leg.created_at),
        reference=leg.id,
        crypto_amount=_amount(leg.amount) if agreed else None,
        fiat_currency=leg.fiat_currency if agreed else None,
        fiat_amount=_amount(leg.fiat_amount) if agreed else None,
        fiat_fee=_fee(leg) if agreed else None,
        payment_method=leg.payment_method or ("mobile_pay" if kind == "mobile_pay" else None),
        failure_reason=_REASONS.get(kind) if verdict is ProviderStatus.FAILED else None,
        chain_transaction=_chain_transaction(leg),
        awaits_deposit=kind == "deposit" and verdict is ProviderStatus.PENDING,
    )


def order(kind: str) -> int:
    """A leg's place among the others."""
    return _LEGS.index(kind)


def _moment(text: str | None) -> datetime:
    """A time with an offset, or one in UTC without."""
    try:
        found = datetime.fromisoformat(text or "")
        return found.replace(tzinfo=found.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        raise CallbackRefusedError("updated_at: not a time") from None


def _fee(leg: Leg) -> Decimal | None:
    """All fees in the leg's fiat currency; None where it says nothing of them that is sure."""
    fees = {leg.fee_currency: leg.fee}
    with suppress(*_MALFORMED):
        fees = _fees.decode(leg.fee)
    try:
        return _amount(fees.get(leg.fiat_currency, _ABSENT))
    except CallbackRefusedError:
        return None


def _chain_transaction(leg: Leg) -> str | None:
    """An address of a person's stands beside it, which is not read."""
    try:
        found = _on_chain.decode(leg.tx)
    except _MALFORMED:
        return None
    return None if found is None else found.id or None


def _amount(written: msgspec.Raw) -> Decimal | None:
    """A number, in quotation marks or not; null and an empty string are none."""
    text = bytes(written).decode().strip('"')
    if text in {"", "null"}:
        return None
    try:
        amount = Decimal(text) if len(text) <= _LONGEST_AMOUNT else Decimal("NaN")
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or abs(amount.adjusted()) > _LONGEST_AMOUNT or amount < 0:
        raise CallbackRefusedError("amount: not a decimal number")
    return amount
