"""The networks there are."""

from enum import StrEnum


class ChainNetwork(StrEnum):
    """A network that coins travel on, by the name partners use."""

    BTC = "BTC"
    ETH = "ETH"
    ERC20 = "ERC20"
    BEP20 = "BEP20"
    TRC20 = "TRC20"
