"""Whose address a call comes from, decided once."""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

from proof.partners.access.networks import Address, allows
from proof.partners.types import Network

UNKNOWN = IPv6Address("::")


def client_address(
    peer: str | None, forwarded: Iterable[str], proxies: tuple[Network, ...]
) -> Address:
    """The socket's peer, unless it is a trusted proxy: then the last address of X-Forwarded-For that
    is not one itself.

    `forwarded` are the values of all X-Forwarded-For headers, in order. Entries to the left of the
    first untrusted one are the caller's own words and never looked at; an entry that is no address
    ends the walk at the proxy that sent it.
    """
    address = _parse(peer or "") or UNKNOWN
    entries = [entry for header in forwarded for entry in header.split(",")]
    while entries and allows(proxies, address):
        before = _parse(entries.pop().strip())
        if before is None:
            return address
        address = before
    return address


@lru_cache(maxsize=4096)
def _parse(text: str) -> Address | None:
    """An address with or without port, brackets or zone; IPv4-mapped IPv6 becomes IPv4."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return IPv4Address(address.ipv4_mapped)
    return address
