"""What a chain said at the end of a day, as a line of a statement (proof.verify.receipts.statement_lines).

A line is made of records alone, which never change, so it can be made again as it was for as long as they
are kept. It holds nothing personal: neither the person's values nor their hashes.
"""

from typing import Any

import msgspec
from msgspec import Struct

from proof.verify.receipts.statement_lines import Line


class _Said(Struct):
    """What a line takes from a status record of any version, or from the opening of a session."""

    type: str
    currency: str
    network: str
    crypto_amount: str
    created_at: str
    status: str = "pending"
    updated_at: str = ""
    fiat_currency: str = ""
    fiat_amount: str = ""
    fiat_fee: str = ""
    rate: str = ""
    payment_method: str = ""
    failure_reason: str = ""
    chain_transaction: str = ""


class _Refund(Struct):
    refund_status: str
    refund_amount: str
    fiat_currency: str
    refunded_at: str


_said = msgspec.json.Decoder(_Said).decode
_refund = msgspec.json.Decoder(_Refund).decode
_NO_REFUND = _Refund("none", "", "", "")


def line_of(row: Any) -> Line:
    """The line of a row of `statement_queries.lines`."""
    said = _said(row["said"])
    refund = _NO_REFUND if row["refund"] is None else _refund(row["refund"])
    return {
        "merchant_transaction_id": str(row["transaction_id"]),
        "type": said.type,
        "status": said.status,
        "currency": said.currency,
        "network": said.network,
        "crypto_amount": said.crypto_amount,
        "fiat_currency": said.fiat_currency if said.fiat_amount else "",
        "fiat_amount": said.fiat_amount,
        "fiat_fee": said.fiat_fee,
        "rate": said.rate,
        "payment_method": said.payment_method,
        "failure_reason": said.failure_reason,
        "chain_transaction": said.chain_transaction,
        "refund_status": refund.refund_status,
        "refund_amount": refund.refund_amount,
        "refund_currency": refund.fiat_currency,
        "refunded_at": refund.refunded_at,
        "created_at": said.created_at,
        "updated_at": said.updated_at or said.created_at,
        "records": str(row["records"]),
        "head": row["head"].hex(),
    }
