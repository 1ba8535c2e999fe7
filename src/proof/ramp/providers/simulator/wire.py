"""What the simulator posts, its signature, and what each statement means.

A callback is a JSON object of strings, signed as `X-Signature`: hex HMAC-SHA256 of the body under the
account's `sign_key`.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

import msgspec

from proof.core.canonical import canonical_json
from proof.core.json_members import RepeatedMemberError, require_distinct
from proof.ramp.errors import CallbackRefusedError
from proof.ramp.providers.protocols import Observation, PaymentMethod, ProviderStatus
from proof.ramp.types import FailureReason, RefundStatus

SIGNATURE_HEADER = "x-signature"
# The largest amount of coins has 20 digits before the point; in fiat money it has some more.
_AMOUNT = re.compile(r"[0-9]{1,30}(?:\.[0-9]{1,40})?")


class Leg(StrEnum):
    """A buy is paid, then delivered, and its payment may go back; a sell is deposited, then paid out."""

    PAYMENT = "payment"
    DELIVERY = "delivery"
    DEPOSIT = "deposit"
    PAYOUT = "payout"
    REFUND = "refund"


class Statement(msgspec.Struct, frozen=True):
    """One thing the simulator says of an operation, at a moment of its sandbox's clock."""

    leg: Leg
    status: str
    at: datetime


REFUNDS = (RefundStatus.REQUESTED, RefundStatus.REFUNDED, RefundStatus.CHARGED_BACK)

VERDICTS: Mapping[tuple[Leg, str], ProviderStatus] = {
    (Leg.PAYMENT, "challenge"): ProviderStatus.PENDING,
    (Leg.PAYMENT, "declined"): ProviderStatus.DECLINED,
    (Leg.PAYMENT, "captured"): ProviderStatus.PROCESSING,
    (Leg.PAYMENT, "refused"): ProviderStatus.FAILED,
    (Leg.PAYMENT, "cancelled"): ProviderStatus.CANCELLED,
    (Leg.DELIVERY, "sent"): ProviderStatus.PROCESSING,
    (Leg.DELIVERY, "delivered"): ProviderStatus.COMPLETED,
    (Leg.DELIVERY, "failed"): ProviderStatus.UNDELIVERABLE,
    (Leg.DEPOSIT, "waiting"): ProviderStatus.PENDING,
    (Leg.DEPOSIT, "received"): ProviderStatus.PROCESSING,
    (Leg.DEPOSIT, "refused"): ProviderStatus.FAILED,
    (Leg.DEPOSIT, "cancelled"): ProviderStatus.CANCELLED,
    (Leg.DEPOSIT, "expired"): ProviderStatus.FAILED,
    (Leg.PAYOUT, "sent"): ProviderStatus.PROCESSING,
    (Leg.PAYOUT, "paid"): ProviderStatus.COMPLETED,
    (Leg.PAYOUT, "failed"): ProviderStatus.FAILED,
    # What becomes of the payment moves no status.
    **{(Leg.REFUND, status.value): ProviderStatus.PENDING for status in REFUNDS},
}


class CallbackBody(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of a callback. `fiat_amount` is all that a buyer pays or a seller gets, fees included. What
    is not known, or does not apply, is absent."""

    id: str
    merchant_transaction_id: UUID
    leg: str
    status: str
    crypto_amount: str
    fiat_currency: str
    fiat_amount: str
    updated_at: datetime
    payment_method: PaymentMethod | None = None
    fiat_fee: str = ""
    rate: str = ""
    failure_reason: str = ""
    chain_transaction: str = ""
    chain_transaction_url: str = ""
    refund_amount: str = ""


_decoder = msgspec.json.Decoder(CallbackBody)


def encode(body: CallbackBody) -> bytes:
    """Canonical JSON of a callback."""
    return canonical_json(msgspec.to_builtins(body))


def sign(key: str, body: bytes) -> str:
    """The signature header's value, 64 hex digits."""
    return hmac.new(key.encode(), body, hashlib.sha256).hexdigest()


def verify(key: str, headers: Mapping[str, str], body: bytes) -> None:
    """Raises CallbackRefusedError unless the body is signed under the key."""
    given = headers.get(SIGNATURE_HEADER, "")
    if not hmac.compare_digest(sign(key, body).encode(), given.encode()):
        raise CallbackRefusedError("the signature does not fit the body")


def identity(body: bytes) -> bytes:
    """SHA-256 over id, leg, status and time. Raises CallbackRefusedError."""
    found = _decoded(body)
    said = [found.id, found.leg, found.status, found.updated_at.isoformat()]
    return hashlib.sha256(canonical_json(said)).digest()


def translate(body: bytes) -> Observation:
    """Raises CallbackRefusedError for a body that is no callback of the simulator's."""
    return observation(_decoded(body))


def observation(body: CallbackBody) -> Observation:
    """What a statement means; an unknown leg or status is `unknown`, never success or failure.

    Raises CallbackRefusedError for amounts that are none.
    """
    verdict = _verdict(body.leg, body.status)
    return Observation(
        merchant_transaction_id=body.merchant_transaction_id,
        verdict=verdict,
        said=f"{body.leg}: {body.status}",
        occurred_at=body.updated_at.astimezone(UTC),
        reference=body.id,
        crypto_amount=_amount(body.crypto_amount),
        fiat_currency=body.fiat_currency or None,
        fiat_amount=_amount(body.fiat_amount),
        fiat_fee=_decimal(body.fiat_fee),
        rate=_decimal(body.rate),
        payment_method=body.payment_method,
        failure_reason=_reason(body.failure_reason),
        chain_transaction=body.chain_transaction or None,
        chain_transaction_url=body.chain_transaction_url or None,
        refund_status=_refund(body.leg, body.status),
        refund_amount=_amount(body.refund_amount),
    )


def _verdict(leg: str, status: str) -> ProviderStatus:
    known = leg in list(Leg)
    return (
        VERDICTS.get((Leg(leg), status), ProviderStatus.UNKNOWN)
        if known
        else ProviderStatus.UNKNOWN
    )


def _refund(leg: str, status: str) -> RefundStatus | None:
    known = leg == Leg.REFUND and status in REFUNDS
    return RefundStatus(status) if known else None


def _decoded(body: bytes) -> CallbackBody:
    try:
        found = _decoder.decode(body)
        require_distinct(body)
    except (
        msgspec.DecodeError,
        UnicodeDecodeError,
        RecursionError,
        RepeatedMemberError,
    ) as error:
        raise CallbackRefusedError(f"not a callback of the simulator: {error}") from None
    if found.updated_at.tzinfo is None:
        raise CallbackRefusedError("not a callback of the simulator: updated_at has no offset")
    return found


def _reason(text: str) -> FailureReason | None:
    if not text:
        return None
    return FailureReason(text) if text in list(FailureReason) else FailureReason.OTHER


def _amount(text: str) -> Decimal | None:
    amount = _decimal(text)
    if amount is not None and not amount:
        raise CallbackRefusedError("not a callback of the simulator: an amount is none")
    return amount


def _decimal(text: str) -> Decimal | None:
    if not text:
        return None
    if not _AMOUNT.fullmatch(text):
        raise CallbackRefusedError("not a callback of the simulator: an amount is none")
    return Decimal(text)
