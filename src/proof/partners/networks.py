"""Allowlists: addresses and CIDR networks, IPv4 and IPv6."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_network

from proof.core.errors import InvalidInputError
from proof.partners.types import Network

Address = IPv4Address | IPv6Address


def parse_network(text: str) -> Network:
    """An address (`192.0.2.7`) or CIDR (`192.0.2.0/24`).

    Raises InvalidInputError, with the corrected network when host bits are set. An IPv4-mapped IPv6
    network becomes IPv4, because that is how its addresses are seen.
    """
    try:
        # A zone names an interface of one machine; PostgreSQL's cidr holds none.
        network = None if "%" in text else ip_network(text.strip(), strict=False)
    except ValueError:
        network = None
    if network is None:
        raise InvalidInputError(f"{text!r} is not an IP address or CIDR network")
    if "/" in text and str(network.network_address) != _given_address(text):
        raise InvalidInputError(f"{text!r} has host bits set; the network is {network}")
    return _unmapped(network)


def allows(networks: Iterable[Network], address: Address) -> bool:
    """Whether any of the networks holds the address."""
    return any(address in network for network in networks)


def _given_address(text: str) -> str:
    return str(ip_network(text.strip().split("/")[0]).network_address)


def _unmapped(network: Network) -> Network:
    if isinstance(network, IPv6Network) and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return ip_network(f"{mapped}/{network.prefixlen - 96}")
    return network
