"""Which coins there are on which network, and how finely each is divided there.

Sources: the coins' own contracts on main chains (`decimals()`), and the protocols of native coins.
"""

from collections.abc import Mapping

from proof.partners.wallets.networks import ChainNetwork

# Any token can be on these; native coins alone are on the others.
_TOKEN_NETWORKS = frozenset({ChainNetwork.ERC20, ChainNetwork.BEP20, ChainNetwork.TRC20})
_DECIMALS_AT_MOST = 18
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
    return tuple(one for one in ChainNetwork if coin_decimals(currency, one) is not None)
