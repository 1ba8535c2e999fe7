"""Destination wallets: the networks and coins there are, and the check of an address for each network."""

from proof.core.errors import InvalidInputError
from proof.partners.types import Environment
from proof.partners.wallets.base58 import Base58Error, decode_check
from proof.partners.wallets.bech32 import Bech32Error, check_segwit
from proof.partners.wallets.networks import (
    ChainNetwork,
    EthereumAddressError,
    check_ethereum,
    coin_decimals,
    networks_of,
)

__all__ = ["ChainNetwork", "check_address", "coin_decimals", "networks_of"]

_TRON_VERSION = 0x41
_HASH_BYTES = 20
_SEGWIT = {Environment.PRODUCTION: ("bc",), Environment.SANDBOX: ("bc", "tb", "bcrt")}
# P2PKH and P2SH: of the main chain, then also of its test chains.
_VERSIONS = {Environment.PRODUCTION: (0x00, 0x05), Environment.SANDBOX: (0x00, 0x05, 0x6F, 0xC4)}


def check_address(network: ChainNetwork, address: str, environment: Environment) -> str:
    """The address in its canonical form. Raises InvalidInputError that says what is wrong with it.

    Bitcoin: P2PKH, P2SH, SegWit 0 and Taproot, in the sandbox of the test chains too. ETH, ERC20 and
    BEP20: EIP-55. TRC20: Base58Check with version 0x41, the same on Tron's test chains. Whether anybody
    holds the key is not checked.
    """
    try:
        if network is ChainNetwork.BTC:
            return _bitcoin(address, environment)
        if network is ChainNetwork.TRC20:
            return _tron(address)
        return check_ethereum(address)
    except (Base58Error, Bech32Error, EthereumAddressError) as error:
        raise InvalidInputError(f"{address!r} is not an address of {network}: {error}") from None


def _bitcoin(address: str, environment: Environment) -> str:
    prefixes = _SEGWIT[environment]
    if address.lower().startswith(("bc1", "tb1", "bcrt1")):
        return check_segwit(address, prefixes)
    payload = decode_check(address)
    if len(payload) != 1 + _HASH_BYTES or payload[0] not in _VERSIONS[environment]:
        raise Base58Error(f"it is not one of {environment}'s chain")
    return address


def _tron(address: str) -> str:
    payload = decode_check(address)
    if len(payload) != 1 + _HASH_BYTES or payload[0] != _TRON_VERSION:
        raise Base58Error("it is not one of Tron")
    return address
