"""The networks that coins move on: their addresses, and how finely each coin is divided there.

Sources: the coins' own contracts on main chains (`decimals()`), and the protocols of native coins.
"""

import re
from collections.abc import Mapping
from enum import StrEnum

from proof.verify.evidence.ethereum.keccak import keccak_256

_SHAPE = re.compile(r"0x[0-9a-fA-F]{40}")
_DECIMALS_AT_MOST = 18


class ChainNetwork(StrEnum):
    """A network that coins travel on, by the name partners use."""

    BTC = "BTC"
    ETH = "ETH"
    ERC20 = "ERC20"
    BEP20 = "BEP20"
    TRC20 = "TRC20"


class EthereumAddressError(ValueError):
    """Not an Ethereum address; the text says why."""


def check_ethereum(text: str) -> str:
    """The address with its checksum. Raises EthereumAddressError.

    All lower or all upper case carries no checksum and is taken as it is; a mixture must be the one of
    EIP-55. Whether a contract at the address accepts tokens is not checked.
    """
    if not _SHAPE.fullmatch(text):
        raise EthereumAddressError("it is not 0x and 40 hexadecimal digits")
    digits = text[2:]
    address = with_checksum(digits.lower())
    if digits not in (digits.lower(), digits.upper()) and text != address:
        raise EthereumAddressError(
            "its checksum (EIP-55) does not hold; a digit is wrong, or its case"
        )
    return address


def with_checksum(digits: str) -> str:
    """The EIP-55 text of an address, from its 40 hexadecimal digits in lower case."""
    nibbles = keccak_256(digits.encode("ascii")).hex()
    return "0x" + "".join(
        digit.upper() if int(nibble, 16) >= 8 else digit
        for digit, nibble in zip(digits, nibbles, strict=False)
    )


# An amount of coins, of whatever coin: at most 20 digits before the point and 18 after it. ASCII digits
# alone (`\d` matches those of other scripts too), without sign, exponent or leading zeros.
AMOUNT = re.compile(r"(?:0|[1-9][0-9]{0,19})(?:\.[0-9]{1,18})?")

# These carry tokens of any name; the others carry their native coin alone.
_TOKEN_NETWORKS = frozenset({ChainNetwork.ERC20, ChainNetwork.BEP20, ChainNetwork.TRC20})

# Ether is named by its network or by that of its tokens. On BEP20 it is a token that Binance backs.
_COINS: Mapping[str, Mapping[ChainNetwork, int]] = {
    "BTC": {ChainNetwork.BTC: 8},
    "ETH": {ChainNetwork.ETH: 18, ChainNetwork.ERC20: 18, ChainNetwork.BEP20: 18},
    "BNB": {ChainNetwork.BEP20: 18},
    "TRX": {ChainNetwork.TRC20: 6},
    "USDT": {ChainNetwork.TRC20: 6, ChainNetwork.ERC20: 6, ChainNetwork.BEP20: 18},
    "USDC": {ChainNetwork.TRC20: 6, ChainNetwork.ERC20: 6, ChainNetwork.BEP20: 18},
    "DAI": {ChainNetwork.ERC20: 18, ChainNetwork.BEP20: 18},
    "WBTC": {ChainNetwork.ERC20: 8},
}


def coin_decimals(currency: str, network: ChainNetwork) -> int | None:
    """How many decimals an amount of the coin has on the network; None when it is not there.

    A coin that is not known here is taken for a token, with as many decimals as any has.
    """
    known = _COINS.get(currency)
    if known is not None:
        return known.get(network)
    return _DECIMALS_AT_MOST if network in _TOKEN_NETWORKS else None


def networks_of(currency: str) -> tuple[ChainNetwork, ...]:
    """Where the coin is."""
    return tuple(
        network for network in ChainNetwork if coin_decimals(currency, network) is not None
    )
