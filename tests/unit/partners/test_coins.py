"""Which coins there are where, and ranges of amounts in a partner's record."""

from typing import Any

import pytest
from tests.unit.partners.test_records import changed

from proof.partners.records.checks import InvalidFieldError
from proof.partners.records.types import AmountRange, Wallet
from proof.partners.wallets import ChainNetwork, coin_decimals, networks_of


@pytest.mark.parametrize(
    ("currency", "network", "decimals"),
    [
        ("BTC", "BTC", 8),
        ("BTC", "TRC20", None),
        ("BTC", "ERC20", None),
        ("ETH", "ETH", 18),
        ("ETH", "ERC20", 18),
        ("ETH", "BTC", None),
        ("USDT", "TRC20", 6),
        ("USDT", "ERC20", 6),
        ("USDT", "BEP20", 18),
        ("USDT", "BTC", None),
        ("USDT", "ETH", None),
        ("TRX", "TRC20", 6),
        ("SHIB", "ERC20", 18),
        ("SHIB", "BTC", None),
        ("SHIB", "ETH", None),
    ],
)
def test_a_coin_is_where_it_is(currency: str, network: str, decimals: int | None) -> None:
    assert coin_decimals(currency, ChainNetwork(network)) == decimals
    assert (ChainNetwork(network) in networks_of(currency)) is (decimals is not None)


def test_a_wallet_is_of_a_pair_that_there_is() -> None:
    wallet = Wallet("BTC", "TRC20", "TXYZopYRdj2D9XRtbG411XZZ3kM5VkAeBf")
    with pytest.raises(
        InvalidFieldError, match=r"^production\.wallets\[0\]\.network: there is no BTC on TRC20"
    ):
        changed(wallets=(wallet,))


def amounts(*ranges: AmountRange) -> Any:
    return changed(amounts=ranges).production.amounts


def test_ranges_are_kept_in_one_order() -> None:
    first, second = AmountRange("BTC", "BTC", "0.001"), AmountRange("USDT", "TRC20", "", "500")
    assert amounts(second, first) == (first, second)


@pytest.mark.parametrize(
    ("ranges", "path"),
    [
        ([AmountRange("BTC", "TRC20", "1")], "amounts[0].network"),
        ([AmountRange("BTC", "BTC", "0")], "amounts[0].minimum"),
        ([AmountRange("BTC", "BTC", "1e3")], "amounts[0].minimum"),
        ([AmountRange("BTC", "BTC", "", "x")], "amounts[0].maximum"),
        ([AmountRange("BTC", "BTC", "2", "1.99")], "amounts[0].maximum"),
        ([AmountRange("BTC", "BTC", "1"), AmountRange("BTC", "BTC", "2")], "amounts[1]"),
    ],
)
def test_a_range_that_cannot_be_is_named(ranges: list[AmountRange], path: str) -> None:
    with pytest.raises(InvalidFieldError) as caught:
        amounts(*ranges)
    assert caught.value.path == f"production.{path}"
