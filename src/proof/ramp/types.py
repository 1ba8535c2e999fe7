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


class KycStatus(StrEnum):
    """What is known of a user's identity."""

    NOT_STARTED = "not_started"
    PENDING = "pending"
    VERIFIED = "verified"
    FAILED = "failed"
