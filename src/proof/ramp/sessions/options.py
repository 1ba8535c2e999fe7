"""What the host page runs the widget with, against what its backend was answered."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from proof.core.errors import InvalidInputError
from proof.ramp.amounts import parse_amount
from proof.ramp.sessions.errors import OptionsDifferError
from proof.ramp.sessions.types import StoredParameters

_FIXED: Mapping[str, Any] = {
    "init_token_type": "sdk_partner_authorization",
    "fix_currency": True,
    "fix_amount": True,
    "fix_fiat_currency": False,
    "fix_fiat_amount": True,
}
_CAPITAL = re.compile(r"[A-Z]")
_SHOWN = 40


def require_same(
    stored: StoredParameters, address: str, init_token: str, options: Mapping[str, Any]
) -> None:
    """Every option, in camelCase or snake_case, is what the session was opened with.

    Raises OptionsDifferError, which names the first that is not; an option that no session has differs too.
    """
    expected = {
        **msgspec.json.decode(msgspec.json.encode(stored)),
        **_FIXED,
        "address": address,
        "init_token": init_token,
        "fix_network": [stored.network],
    }
    for name, value in options.items():
        key = _CAPITAL.sub(lambda found: "_" + found[0].lower(), name)
        same = _same_amount if key == "amount" else _same
        if key not in expected or not same(expected[key], value):
            raise OptionsDifferError(
                f"{name[:_SHOWN]}: it is not what this session was opened with"
            )


def _same_amount(expected: str, value: Any) -> bool:
    """However many zeros it is written with: a page may have the number its backend sent."""
    try:
        return isinstance(value, str) and parse_amount(value) == parse_amount(expected)
    except InvalidInputError:
        return False


def _same(expected: Any, value: Any) -> bool:
    # To Python 1 is True, to a partner it is a mistake.
    return type(expected) is type(value) and bool(expected == value)
