"""The one table of allowed transitions, and what a provider's statement means for a transaction.

Pure: no clock, no database. Source: ramp API contract, "Status".
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from proof.ramp.providers.protocols import ProviderStatus
from proof.ramp.types import RefundStatus, Status

ALLOWED: Mapping[Status, tuple[Status, ...]] = {
    Status.PENDING: (Status.PROCESSING, Status.FAILED, Status.CANCELLED),
    Status.PROCESSING: (Status.COMPLETED, Status.FAILED),
    Status.COMPLETED: (),
    Status.FAILED: (),
    Status.CANCELLED: (),
}

# Money is asked back and given back, or the payer's bank takes it; what is told once is not taken back.
REFUND_AFTER: Mapping[RefundStatus, tuple[RefundStatus, ...]] = {
    RefundStatus.NONE: (RefundStatus.REQUESTED, RefundStatus.CHARGED_BACK),
    RefundStatus.REQUESTED: (RefundStatus.REFUNDED, RefundStatus.CHARGED_BACK),
    RefundStatus.REFUNDED: (RefundStatus.CHARGED_BACK,),
    RefundStatus.CHARGED_BACK: (),
}

# The status that a provider's verdict leads to. A declined attempt can be retried, and coins that cannot be
# delivered were paid for: neither ends a transaction. `unknown` leads nowhere.
_TARGETS: Mapping[ProviderStatus, Status] = {
    ProviderStatus.PENDING: Status.PENDING,
    ProviderStatus.DECLINED: Status.PENDING,
    ProviderStatus.PROCESSING: Status.PROCESSING,
    ProviderStatus.UNDELIVERABLE: Status.PROCESSING,
    ProviderStatus.COMPLETED: Status.COMPLETED,
    ProviderStatus.FAILED: Status.FAILED,
    ProviderStatus.CANCELLED: Status.CANCELLED,
}


class Alert(StrEnum):
    """Why a person should look at a transaction."""

    UNKNOWN_STATUS = "unknown_status"
    UNDELIVERABLE = "undeliverable"
    MOVED_AFTER_END = "moved_after_end"
    CONTRADICTION = "contradiction"
    AMOUNT_DIFFERS = "amount_differs"
    NOT_APPLIED = "not_applied"
    STUCK = "stuck"


class Move(NamedTuple):
    """What becomes of a transaction: the statuses it takes, in order, and whether a person should look."""

    statuses: tuple[Status, ...] = ()
    alert: Alert | None = None


def path(status: Status, target: Status) -> tuple[Status, ...]:
    """The statuses from `status`, without it, to `target`; empty when there is no way."""
    if target in ALLOWED[status]:
        return (target,)
    through = Status.PROCESSING
    if through in ALLOWED[status] and target is Status.COMPLETED:
        return (through, target)
    return ()


def refund_path(present: RefundStatus, target: RefundStatus) -> tuple[RefundStatus, ...]:
    """The steps from `present`, without it, to `target`; empty when there is no way, as for what was told
    before."""
    if target in REFUND_AFTER[present]:
        return (target,)
    through = RefundStatus.REQUESTED
    if through in REFUND_AFTER[present] and target is RefundStatus.REFUNDED:
        return (through, target)
    return ()


def move(status: Status, captured: bool, verdict: ProviderStatus) -> Move:
    """What a statement does to a transaction that is at `status`; `captured` says whether it was ever
    processing.

    A statement about a place the transaction has passed is an old one, arriving late, and does nothing.
    """
    if verdict is ProviderStatus.UNKNOWN:
        return Move(alert=Alert.UNKNOWN_STATUS)
    target = _TARGETS[verdict]
    undelivered = verdict is ProviderStatus.UNDELIVERABLE
    if undelivered and status is Status.COMPLETED:
        return Move(alert=Alert.MOVED_AFTER_END)
    if target is status or target is Status.PENDING or (target is Status.PROCESSING and captured):
        return Move(alert=Alert.UNDELIVERABLE if undelivered and not status.terminal else None)
    if statuses := path(status, target):
        return Move(statuses, Alert.UNDELIVERABLE if undelivered else None)
    return Move(alert=Alert.MOVED_AFTER_END if status.terminal else Alert.CONTRADICTION)
