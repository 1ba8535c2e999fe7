"""Amounts and rates: exact decimals, as strings on the wire and NUMERIC in the database."""

from decimal import ROUND_HALF_UP, Decimal, localcontext

from proof.core.errors import InvalidInputError
from proof.partners.wallets.networks import AMOUNT

_CENT_DECIMALS = 2
# The largest amount of coins has 38 digits, and a quotient by it needs as many more.
_DIGITS = 120


def parse_amount(text: str, field: str = "amount") -> Decimal:
    """The amount that a decimal string writes: over zero, at most 20 digits before the point and 18 after,
    in its canonical form: "25.500" and "25.5" are one amount.

    Raises InvalidInputError, which names `field` and does not repeat the text.
    """
    if not AMOUNT.fullmatch(text):
        raise InvalidInputError(
            f"{field}: it is a decimal string like 12.5, without sign or exponent, of at most 20 digits"
            " before the point and 18 after it"
        )
    amount = Decimal(amount_text(Decimal(text)))
    if not amount:
        raise InvalidInputError(f"{field}: it is over zero")
    return amount


def amount_text(amount: Decimal) -> str:
    """The amount as the wire has it: every digit, no exponent, no zeros at the end of its decimals."""
    text = format(amount, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def fiat_text(amount: Decimal) -> str:
    """An amount of fiat money: two decimals, or as many more as it takes."""
    text = amount_text(amount)
    return f"{amount:.{_CENT_DECIMALS}f}" if decimals(text) < _CENT_DECIMALS else text


def decimals(text: str) -> int:
    """How many digits follow the point of a decimal string."""
    return len(text.partition(".")[2])


def price_at(rate: Decimal, crypto_amount: Decimal, like: Decimal) -> Decimal:
    """What coins cost at a rate, halves up, to the cent or as exactly as `like` is written."""
    places = max(_CENT_DECIMALS, decimals(amount_text(like)))
    with localcontext() as context:
        context.prec = _DIGITS
        return (rate * crypto_amount).quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)


def rate_of(price: Decimal, crypto_amount: Decimal, told: Decimal | None = None) -> Decimal:
    """Fiat money for one coin, from which `price_at` gives the price back: the rate that was `told` if that
    is one, or else the price for each coin, with as many decimals as it takes. Both amounts are over
    zero."""
    if told is not None and told.is_finite() and price_at(told, crypto_amount, price) == price:
        return told
    with localcontext() as context:
        context.prec = _DIGITS
        exact = price / crypto_amount
        places = _CENT_DECIMALS
        while True:
            rate = exact.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)
            if price_at(rate, crypto_amount, price) == price:
                return rate
            places += 1
