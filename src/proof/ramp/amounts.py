"""Amounts: exact decimals, as strings on the wire and NUMERIC in the database."""

import re
from decimal import Decimal

from proof.core.errors import InvalidInputError

# ASCII digits alone (`\d` takes those of other scripts), no sign, no exponent, no zero to fill up.
_AMOUNT = re.compile(r"(?:0|[1-9][0-9]{0,19})(?:\.[0-9]{1,18})?")


def parse_amount(text: str, field: str = "amount") -> Decimal:
    """The amount that a decimal string writes: over zero, at most 20 digits before the point and 18 after.

    The number of decimals is kept: "1.50" is answered as "1.50". Raises InvalidInputError, which names
    `field` and does not repeat the text.
    """
    if not _AMOUNT.fullmatch(text):
        raise InvalidInputError(
            f"{field}: it is a decimal string like 12.5, without sign or exponent, of at most 20 digits"
            " before the point and 18 after it"
        )
    amount = Decimal(text)
    if not amount:
        raise InvalidInputError(f"{field}: it is over zero")
    return amount


def amount_text(amount: Decimal) -> str:
    """The amount as the wire has it: every digit, no exponent."""
    return format(amount, "f")
