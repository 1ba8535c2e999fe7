"""How a transaction is written for partners, the same wherever they read it."""

from datetime import UTC, datetime
from decimal import Decimal

from proof.ramp.amounts import amount_text


def moment_text(moment: datetime) -> str:
    """ISO 8601 in UTC with a Z, e.g. 2026-01-02T03:04:05.678901Z; a whole second has no fraction, as in
    msgspec's answers."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def fiat_texts(fiat_currency: str, fiat_amount: Decimal | None) -> tuple[str, str]:
    """Currency and amount; both empty until the amount is known, which is from `processing` on."""
    return ("", "") if fiat_amount is None else (fiat_currency, amount_text(fiat_amount))
