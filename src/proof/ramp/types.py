"""The words of the ramp product (ramp API contract, "Status" and "GET /widget/users")."""

from enum import StrEnum


class TransactionType(StrEnum):
    """Which way the coins go: to the user, or from them."""

    BUY = "buy"
    SELL = "sell"


class Status(StrEnum):
    """How far a transaction is, as partners see it."""

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def terminal(self) -> bool:
        """Whether it never changes again."""
        return self not in {Status.PENDING, Status.PROCESSING}

    def captured(self, event_count: int) -> bool:
        """Whether a transaction with this status after so many changes was ever processing: a failure then
        was its second change."""
        if self is Status.FAILED:
            return event_count > 1
        return self in {Status.PROCESSING, Status.COMPLETED}


class KycStatus(StrEnum):
    """What is known of a user's identity."""

    NOT_STARTED = "not_started"
    PENDING = "pending"
    VERIFIED = "verified"
    FAILED = "failed"


class RefundStatus(StrEnum):
    """How far a payment has gone back; the status of its transaction stays."""

    NONE = "none"
    REQUESTED = "requested"
    REFUNDED = "refunded"
    CHARGED_BACK = "charged_back"


class FailureReason(StrEnum):
    """Why a transaction failed. The list is closed, since partners decide by it; what each member means is
    told in the page on sessions."""

    NONE = ""
    PAYMENT_DECLINED = "payment_declined"
    IDENTITY_REFUSED = "identity_refused"
    SESSION_EXPIRED = "session_expired"
    DEPOSIT_EXPIRED = "deposit_expired"
    DEPOSIT_FAILED = "deposit_failed"
    DELIVERY_FAILED = "delivery_failed"
    PAYOUT_FAILED = "payout_failed"
    OTHER = "other"
