"""Prices of the sandbox: fixed, so that a test can count on them."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal, localcontext

from proof.ramp.amounts import rate_of
from proof.ramp.providers.protocols import Quote
from proof.ramp.types import TransactionType

DEFAULT_FIAT = "EUR"
_VALID = timedelta(minutes=5)
_FEE = Decimal("0.015")
_CENT = Decimal("0.01")
# Dollars for one coin, units of fiat money for one dollar; whatever is not here is worth one.
_COINS: Mapping[str, Decimal] = {"BTC": Decimal(60_000), "ETH": Decimal(3_000)}
_FIAT: Mapping[str, Decimal] = {"EUR": Decimal("0.90"), "GBP": Decimal("0.80")}
# The largest amount has 20 digits before the point and 18 after it.
_DIGITS = 60


def price(
    kind: TransactionType, currency: str, amount: Decimal, fiat_currency: str, now: datetime
) -> Quote:
    """Exact to the cent, halves up, at least one cent; the fee is 1.5 %. No fiat currency is euros."""
    chosen = fiat_currency or DEFAULT_FIAT
    rate = _COINS.get(currency, Decimal(1)) * _FIAT.get(chosen, Decimal(1))
    with localcontext() as context:
        context.prec = _DIGITS
        of_coins = max((amount * rate).quantize(_CENT, ROUND_HALF_UP), _CENT)
        fee = (of_coins * _FEE).quantize(_CENT, ROUND_HALF_UP)
        total = of_coins + fee if kind is TransactionType.BUY else of_coins - fee
    return Quote(chosen, total, fee, of_coins, rate_of(of_coins, amount, rate), now + _VALID)
