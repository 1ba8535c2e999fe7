"""Options of the host page against the stored session."""

from typing import Any

import msgspec
import pytest

from proof.ramp.sessions.checks import require_same
from proof.ramp.sessions.errors import OptionsDifferError
from proof.ramp.sessions.types import StoredParameters, WidgetParameters
from proof.ramp.types import TransactionType

STORED = StoredParameters(
    merchant_transaction_id="8d9c2f0e-6b1a-4f57-9c1e-2f4f1f0a7b63",
    widget_id="wdg_1",
    signature="v2:00",
    currency="USDT",
    currencies=("USDT", "BTC"),
    network="TRC20",
    networks=("TRC20",),
    amount="1.50",
    fiat_currency="EUR",
    fiat_currencies=("EUR",),
    type=TransactionType.BUY,
    lang="",
    theme="",
    redirect_url="",
)
ANSWER = WidgetParameters(
    **{name: getattr(STORED, name) for name in StoredParameters.__struct_fields__},
    address="an address",
    init_token="a token",
    fix_network=("TRC20",),
)


def options() -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(ANSWER))
    return found


def camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def test_the_answer_itself_is_right_in_either_spelling() -> None:
    require_same(STORED, "an address", "a token", options())
    require_same(
        STORED, "an address", "a token", {camel(name): option for name, option in options().items()}
    )
    require_same(STORED, "an address", "a token", {})


@pytest.mark.parametrize("name", options())
def test_every_option_counts(name: str) -> None:
    right = options()[name]
    others: list[Any] = [None, "x", not right, [right], 1]
    for value in others:
        for key in (name, camel(name)):
            with pytest.raises(OptionsDifferError, match=f"^{key}: "):
                require_same(STORED, "an address", "a token", {key: value})


@pytest.mark.parametrize("amount", ["1.5", "1.50", "1.500"])
def test_an_amount_is_the_same_with_any_zeros_at_its_end(amount: str) -> None:
    require_same(STORED, "an address", "a token", {"amount": amount})
    with pytest.raises(OptionsDifferError):
        require_same(STORED, "an address", "a token", {"amount": amount + "1"})


@pytest.mark.parametrize("name", ["widgetIds", "host", "x" * 100, "", "Ä"])
def test_an_option_that_no_session_has_differs(name: str) -> None:
    with pytest.raises(OptionsDifferError) as caught:
        require_same(STORED, "an address", "a token", {name: "x"})
    assert len(caught.value.message) < 100
