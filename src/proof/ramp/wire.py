"""How a transaction is written for partners, the same wherever they read it (ramp API contract, "Money and
more"). All values are strings."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, TypedDict

from proof.core.clock import moment_text
from proof.partners.types import Environment
from proof.ramp.amounts import amount_text, fiat_text
from proof.ramp.types import FailureReason, RefundStatus

# The explorer in which anybody can look a transaction up, by its network.
_EXPLORERS: Mapping[str, str] = {
    "BTC": "https://mempool.space/tx/{}",
    "ETH": "https://etherscan.io/tx/{}",
    "ERC20": "https://etherscan.io/tx/{}",
    "BEP20": "https://bscscan.com/tx/{}",
    "TRC20": "https://tronscan.org/#/transaction/{}",
}


class MoneyFields(TypedDict):
    """What a transaction came to: the fields that every surface has, the browser's included."""

    crypto_amount: str
    fiat_currency: str
    fiat_amount: str
    fiat_fee: str
    rate: str
    payment_method: str
    failure_reason: FailureReason
    chain_transaction: str
    chain_transaction_url: str
    updated_at: str
    occurred_at: str


class RefundFields(TypedDict):
    """What was given back."""

    refund_status: RefundStatus
    refund_amount: str
    refunded_at: str


def money_fields(value: Callable[[str], Any]) -> MoneyFields:
    """`value` gives a column of the transaction by its name: of a row, or of a state it takes."""
    moment = moment_text(value("updated_at"))
    settled = value("fiat_amount") is not None
    fee, rate = value("fiat_fee"), value("rate")
    return {
        "crypto_amount": amount_text(value("crypto_amount")),
        "fiat_currency": value("fiat_currency") if settled else "",
        "fiat_amount": fiat_text(value("fiat_amount")) if settled else "",
        "fiat_fee": fiat_text(fee) if settled and fee is not None else "",
        "rate": amount_text(rate) if settled and rate is not None else "",
        "payment_method": value("payment_method") or "",
        "failure_reason": FailureReason(value("failure_reason")),
        "chain_transaction": value("chain_transaction"),
        "chain_transaction_url": value("chain_transaction_url"),
        "updated_at": moment,
        "occurred_at": moment,
    }


def refund_fields(value: Callable[[str], Any]) -> RefundFields:
    """`value` gives a column of the transaction by its name, as for `money_fields`."""
    amount, moment = value("refund_amount"), value("refunded_at")
    return {
        "refund_status": RefundStatus(value("refund_status")),
        "refund_amount": "" if amount is None else fiat_text(amount),
        "refunded_at": "" if moment is None else moment_text(moment),
    }


def explorer_url(network: str, environment: Environment, chain_transaction: str) -> str:
    """Where a transaction of a main chain can be looked up; empty where nobody knows. Which test chain a
    provider's sandbox uses is not ours to guess."""
    if environment is not Environment.PRODUCTION or not chain_transaction:
        return ""
    return _EXPLORERS.get(network, "").format(chain_transaction)


def fiat_texts(fiat_currency: str, fiat_amount: Decimal | None) -> tuple[str, str]:
    """Currency and amount; both empty until the amount is known, which is from `processing` on."""
    return ("", "") if fiat_amount is None else (fiat_currency, fiat_text(fiat_amount))
