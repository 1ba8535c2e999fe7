"""Allowlists: addresses and CIDR networks, IPv4 and IPv6."""

from collections import defaultdict
from collections.abc import Iterable
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_network

from proof.core.errors import InvalidInputError
from proof.partners.types import Network

Address = IPv4Address | IPv6Address


# A network wider than this is more than any company owns, so it is probably a mistake.
_WIDEST = {4: 8, 6: 32}

# One subscriber gets a network of this size: counting each of its addresses would only multiply rows.
_IPV6_SITE = 64

# The cache is bounded, because an attacker with an IPv6 network can ask once from each of its addresses.
_ANSWERS_KEPT = 1_024


class AllowlistMode(StrEnum):
    """What happens to an address that is not on the list: refused, or let in and counted."""

    ENFORCE = "enforce"
    REPORT = "report"


class Allowlist:
    """Networks made ready for asking often: for each prefix length, the set of its prefixes; and the
    answers given before, for callers come from few addresses."""

    __slots__ = ("_answers", "_by_version", "is_empty", "mode")

    def __init__(
        self, networks: Iterable[Network], mode: AllowlistMode = AllowlistMode.ENFORCE
    ) -> None:
        prefixes: dict[int, dict[int, set[int]]] = {4: defaultdict(set), 6: defaultdict(set)}
        for network in networks:
            shift = network.max_prefixlen - network.prefixlen
            prefixes[network.version][shift].add(int(network.network_address) >> shift)
        self._by_version = {
            version: tuple((shift, frozenset(found)) for shift, found in by_shift.items())
            for version, by_shift in prefixes.items()
        }
        self._answers: dict[int, dict[int, bool]] = {4: {}, 6: {}}
        self.is_empty = not any(self._by_version.values())
        self.mode = mode

    def holds(self, address: Address) -> bool:
        """Whether any of the networks holds the address."""
        number, answers = int(address), self._answers[address.version]
        answer = answers.get(number)
        if answer is None:
            answer = any(
                number >> shift in found for shift, found in self._by_version[address.version]
            )
            if len(answers) >= _ANSWERS_KEPT:
                answers.clear()
            answers[number] = answer
        return answer


def parse_network(text: str) -> Network:
    """An address (`192.0.2.7`) or CIDR (`192.0.2.0/24`).

    Raises InvalidInputError, with the corrected network when host bits are set. An IPv4-mapped IPv6
    network becomes IPv4, because that is how its addresses are seen.
    """
    try:
        # A zone names an interface of one machine, and PostgreSQL's type cidr cannot hold it.
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


def is_very_wide(network: Network) -> bool:
    """Whether a network is wider than /8 (IPv4) or /32 (IPv6), so that it is rather a mistake."""
    return network.prefixlen < _WIDEST[network.version]


def site(address: Address) -> Network:
    """What refusals are counted by: an IPv4 address alone, an IPv6 address with its /64."""
    if isinstance(address, IPv6Address):
        return IPv6Network((int(address) >> _IPV6_SITE << _IPV6_SITE, _IPV6_SITE))
    return ip_network(address)


def _given_address(text: str) -> str:
    return str(ip_network(text.strip().split("/")[0]).network_address)


def _unmapped(network: Network) -> Network:
    if isinstance(network, IPv6Network) and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return ip_network(f"{mapped}/{network.prefixlen - 96}")
    return network
