"""The outcomes that a sandbox plays: one table, from which command, page and test cards come."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from proof.core.errors import InvalidInputError
from proof.ramp.types import Status, TransactionType

_BUY, _SELL = frozenset({TransactionType.BUY}), frozenset({TransactionType.SELL})

_BOTH = _BUY | _SELL


class Name(StrEnum):
    """What `POST /simulate` and the page call an outcome."""

    SUCCESS = "success"
    CHALLENGE = "challenge"
    DECLINED_THEN_SUCCESS = "declined_then_success"
    DECLINED = "declined"
    KYC_FAILED = "kyc_failed"
    KYC_SLOW = "kyc_slow"
    DELIVERY_FAILED = "delivery_failed"
    USER_CANCELS = "user_cancels"
    DEPOSIT_NEVER_ARRIVES = "deposit_never_arrives"
    CALLBACK_LOST = "callback_lost"
    CALLBACK_TWICE = "callback_twice"
    CALLBACK_LATE = "callback_late"
    CALLBACKS_OUT_OF_ORDER = "callbacks_out_of_order"
    REFUNDED = "refunded"
    CHARGED_BACK = "charged_back"


@dataclass(frozen=True, slots=True)
class TestOutcome:
    """One line of the table.

    `card` is the number that brings it about at an attempt to pay, empty where none does. `amount` is the
    crypto amount, and `tag` the part after `+` in the user's e-mail address, that choose it once a widget
    opens. `ends` is the status of a buy, or of a sell where there is no buy.
    """

    name: Name
    card: str
    amount: Decimal
    types: frozenset[TransactionType]
    ends: Status
    description: str

    @property
    def tag(self) -> str:
        return str(self.name)


def _outcome(
    name: Name, card: str, amount: str, types: frozenset[TransactionType], ends: Status, text: str
) -> TestOutcome:
    return TestOutcome(name, card, Decimal(amount), types, ends, text)


# Numbers with right check digits, so that a page that checks them accepts them.
OUTCOMES = (
    _outcome(
        Name.SUCCESS, "4242 4242 4242 4242", "100.00", _BOTH, Status.COMPLETED,
        "Everything goes well. Also what any other amount and address bring.",
    ),
    _outcome(
        Name.CHALLENGE, "4000 0000 0000 3220", "100.01", _BUY, Status.COMPLETED,
        "The bank asks once more (3-D Secure). Passed, the payment goes through; failed, it is declined.",
    ),
    _outcome(
        Name.DECLINED_THEN_SUCCESS, "4000 0000 0000 0341", "100.02", _BUY, Status.COMPLETED,
        "The first attempt is declined, the next goes through, under the same id.",
    ),
    _outcome(
        Name.DECLINED, "4000 0000 0000 0002", "100.03", _BUY, Status.FAILED,
        "Every attempt is declined; after the third the provider closes the purchase.",
    ),
    _outcome(
        Name.KYC_FAILED, "", "100.04", _BOTH, Status.FAILED,
        "The user's identity is not accepted, even if it was before; the provider closes the transaction.",
    ),
    _outcome(
        Name.KYC_SLOW, "", "100.05", _BOTH, Status.COMPLETED,
        "The identity is checked for ten minutes, then all goes well.",
    ),
    _outcome(
        Name.DELIVERY_FAILED, "4000 0000 0000 0119", "100.06", _BOTH, Status.PROCESSING,
        "Buy: the money is taken and the coins do not arrive; it stays processing and the operator is"
        " alerted. Sell: the payout fails, and so does the transaction.",
    ),
    _outcome(
        Name.USER_CANCELS, "4000 0000 0000 0127", "100.07", _BOTH, Status.CANCELLED,
        "The user gives up: at the payment, or when the deposit address is shown.",
    ),
    _outcome(
        Name.DEPOSIT_NEVER_ARRIVES, "", "100.08", _SELL, Status.FAILED,
        "The deposit address is shown and nothing comes; it fails after six hours.",
    ),
    _outcome(
        Name.CALLBACK_LOST, "4000 0000 0000 0259", "100.09", _BOTH, Status.COMPLETED,
        "Goes well, but no callback is ever sent: only polling finds out.",
    ),
    _outcome(
        Name.CALLBACK_TWICE, "4000 0000 0000 0267", "100.10", _BOTH, Status.COMPLETED,
        "Goes well, and every callback is sent twice.",
    ),
    _outcome(
        Name.CALLBACK_LATE, "4000 0000 0000 0275", "100.11", _BOTH, Status.COMPLETED,
        "Goes well, and every callback comes ten minutes late.",
    ),
    _outcome(
        Name.CALLBACKS_OUT_OF_ORDER, "4000 0000 0000 0283", "100.12", _BOTH, Status.COMPLETED,
        "Goes well, and the last callback comes before the others.",
    ),
    _outcome(
        Name.REFUNDED, "4000 0000 0000 0291", "100.13", _BUY, Status.COMPLETED,
        "Goes well; seconds later a refund of all that was paid is requested, and then paid.",
    ),
    _outcome(
        Name.CHARGED_BACK, "4000 0000 0000 0309", "100.14", _BUY, Status.COMPLETED,
        "Goes well; seconds later the payer's bank charges the payment back.",
    ),
)  # fmt: skip


_BY_NAME = {str(outcome.name): outcome for outcome in OUTCOMES}


def named(name: str, kind: TransactionType) -> TestOutcome:
    """The outcome of that name. Raises InvalidInputError when there is none, or none for this type."""
    found = _BY_NAME.get(name)
    if found is None:
        raise InvalidInputError(f"outcome: one of {', '.join(_BY_NAME)} is required")
    if kind not in found.types:
        raise InvalidInputError(f"outcome: {name} is not one of a {kind}")
    return found


def default_outcome(kind: TransactionType, amount: Decimal, email: str | None) -> TestOutcome:
    """The outcome that the e-mail's tag names, or else the amount; success otherwise."""
    tag = (email or "").rpartition("@")[0].partition("+")[2]
    for outcome in OUTCOMES:
        if kind in outcome.types and outcome.tag == tag:
            return outcome
    for outcome in OUTCOMES:
        if kind in outcome.types and outcome.amount == amount:
            return outcome
    return OUTCOMES[0]


def cards() -> tuple[TestOutcome, ...]:
    """The outcomes that a card number brings about."""
    return tuple(outcome for outcome in OUTCOMES if outcome.card)


def outcome_rows() -> list[tuple[str, str, str, str, str, str, str]]:
    """The table as text: name, card, amount, e-mail, types, end, description."""
    return [
        (
            str(outcome.name),
            outcome.card,
            str(outcome.amount),
            f"user+{outcome.tag}@example.com",
            ", ".join(str(kind) for kind in TransactionType if kind in outcome.types),
            str(outcome.ends),
            outcome.description,
        )
        for outcome in OUTCOMES
    ]
