"""Every operation of the ramp with a call that is right: what its generated tests go through."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from tests.db.api.table import RAMP_OPERATIONS
from tests.support.sessions import BODY

USER = str(BODY["partner_user_id"])
NOBODY = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True, slots=True)
class Made:
    """A transaction of one partner, and its user."""

    transaction_id: str
    user_id: str = USER


@dataclass(frozen=True, slots=True)
class RampEntry:
    """A right call: its path, its body and its status. `named`: it names an object of the caller's, so the
    same call by another partner finds nothing."""

    target: Callable[[Made], str]
    body: Callable[[Made], dict[str, Any]] | None = None
    status: int = 200
    named: bool = False


RAMP_TABLE: dict[str, RampEntry] = {
    "POST /widget/session": RampEntry(lambda _: "/widget/session", lambda _: dict(BODY)),
    "GET /widget/transactions/{merchant_transaction_id}": RampEntry(
        lambda made: f"/widget/transactions/{made.transaction_id}", named=True
    ),
    "GET /widget/transactions/{merchant_transaction_id}/receipt": RampEntry(
        lambda made: f"/widget/transactions/{made.transaction_id}/receipt", named=True
    ),
    "GET /widget/statements/{date}": RampEntry(
        lambda _: "/widget/statements/2026-01-01", status=404
    ),
    "GET /widget/users/{partner_user_id:path}/kyc-status": RampEntry(
        lambda made: f"/widget/users/{quote(made.user_id, safe='')}/kyc-status", named=True
    ),
    "POST /simulate/{merchant_transaction_id}": RampEntry(
        lambda made: f"/simulate/{made.transaction_id}",
        lambda _: {"outcome": "success"},
        named=True,
    ),
    "POST /clock/advance": RampEntry(lambda _: "/clock/advance", lambda _: {"seconds": 1}),
    "GET /ws": RampEntry(lambda made: f"/ws?tx_id={made.transaction_id}", status=426),
}

# Those of partners' backends; the others are the hosted page's and the providers'.
GATED = {name: operation for name, operation in RAMP_OPERATIONS.items() if operation.gated}
