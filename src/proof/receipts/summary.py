"""What a receipt says, for its user: read from the file itself, so that page and file never differ."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

_STATUS = "transaction.status"
_REFUND = "transaction.refund"
# The member that tells when what a record tells of happened.
_HAPPENED = {
    "session.opened": "created_at",
    "provider.callback": "received_at",
    _STATUS: "occurred_at",
    _REFUND: "refunded_at",
}
_CAPTURED = ("processing", "completed")

# Members of a status record; those that records of version 1 lack are empty.
_MONEY = (
    "fiat_amount",
    "fiat_fee",
    "rate",
    "payment_method",
    "failure_reason",
    "chain_transaction",
    "chain_transaction_url",
)


class Step(Struct, frozen=True):
    """One record: the last word of its `kind`; `status` is a status, that of a refund, or empty; `at` is
    ISO 8601 in UTC."""

    kind: str
    status: str
    at: str


class ProvedIn(Struct, frozen=True):
    """How many of the records have a proof in a chain, and the time in ms UTC of the latest of them."""

    chain: str
    records: int
    timestamp: int


class ReceiptSummary(Struct, frozen=True, kw_only=True):
    """A receipt in short. Amounts are exact decimal strings, moments ISO 8601 in UTC; what is not known is
    empty. `paid`: the payment, of a sale the coins, was captured at some time. `head`: SHA-256 of the
    newest record. `statement`: the date of the daily statement that the file holds."""

    merchant_transaction_id: str
    environment: str
    as_of: str
    erased: bool
    type: str
    currency: str
    network: str
    crypto_amount: str
    fiat_currency: str
    fiat_amount: str
    fiat_fee: str
    rate: str
    payment_method: str
    failure_reason: str
    chain_transaction: str
    chain_transaction_url: str
    status: str
    paid: bool
    occurred_at: str
    refund_status: str
    refund_amount: str
    refunded_at: str
    steps: tuple[Step, ...]
    head: str
    proved: tuple[ProvedIn, ...]
    statement: str


def summarise(receipt: bytes) -> ReceiptSummary:
    """The summary of a receipt file of our own making."""
    file = msgspec.json.decode(receipt)
    entries: Sequence[Mapping[str, Any]] = file["records"]
    records = [entry["record"] for entry in entries]
    told = [record for record in records if _kind(record) == _STATUS]
    newest: Mapping[str, Any] = told[-1] if told else {}
    refund = next((r for r in reversed(records) if _kind(r) == _REFUND), newest)
    order = {**records[0], **newest}
    return ReceiptSummary(
        merchant_transaction_id=file["merchant_transaction_id"],
        environment=file["environment"],
        as_of=file["as_of"],
        erased=file["personal"] == "erased",
        type=order["type"],
        currency=order["currency"],
        network=order["network"],
        crypto_amount=order["crypto_amount"],
        status=newest.get("status", "pending"),
        paid=any(record["status"] in _CAPTURED for record in told),
        occurred_at=_at(newest) if told else "",
        refund_status=refund.get("refund_status", "none"),
        refund_amount=refund.get("refund_amount", ""),
        refunded_at=refund.get("refunded_at", ""),
        steps=tuple(map(_step, records)),
        head=entries[-1]["sha256"],
        proved=tuple(_proved(entries)),
        statement=(file["statement"] or {}).get("statement", {}).get("date", ""),
        fiat_currency=newest.get("fiat_currency") or refund.get("fiat_currency", ""),
        **{name: newest.get(name, "") for name in _MONEY},
    )


def _kind(record: Mapping[str, Any]) -> str:
    # Records of version 1 and 2 are status changes and do not say so.
    return str(record.get("kind", _STATUS))


def _step(record: Mapping[str, Any]) -> Step:
    kind = _kind(record)
    status = record["refund_status"] if kind == _REFUND else record.get("status", "")
    return Step(kind.rpartition(".")[2], status, _at(record))


def _at(record: Mapping[str, Any]) -> str:
    """When it happened, as far as the record says; else when it was recorded."""
    names = (_HAPPENED.get(_kind(record), ""), "recorded_at", "updated_at")
    return str(next(record[name] for name in names if record.get(name)))


def _proved(entries: Sequence[Mapping[str, Any]]) -> Iterator[ProvedIn]:
    found: dict[str, list[int]] = {}
    for entry in entries:
        for proof in entry["proofs"]:
            tree = proof["tree"]
            found.setdefault(tree["currency"], []).append(tree["timestamp"])
    for chain, timestamps in found.items():
        yield ProvedIn(chain, len(timestamps), max(timestamps))
