"""Networks that are never dialled on another's word, each with the document that set it apart.

The registries are IANA's IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890). Besides them
stand the forms that carry an IPv4 address inside an IPv6 one, because a translator on our network
would unpack them into an address this table refuses.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

REFUSED: tuple[tuple[str, str], ...] = (
    ("0.0.0.0/8", "this network, RFC 1122"),
    ("10.0.0.0/8", "private, RFC 1918"),
    ("100.64.0.0/10", "carrier-grade NAT, RFC 6598"),
    ("127.0.0.0/8", "loopback, RFC 1122"),
    ("168.63.129.16/32", "Azure's platform address, answers inside its machines"),
    ("169.254.0.0/16", "link-local, RFC 3927; cloud metadata"),
    ("172.16.0.0/12", "private, RFC 1918"),
    ("192.0.0.0/24", "protocol assignments, RFC 6890"),
    ("192.0.2.0/24", "documentation, RFC 5737"),
    ("192.31.196.0/24", "AS112, RFC 7535"),
    ("192.52.193.0/24", "multicast tunnels, RFC 7450"),
    ("192.88.99.0/24", "6to4 relays, RFC 7526"),
    ("192.168.0.0/16", "private, RFC 1918"),
    ("192.175.48.0/24", "AS112, RFC 7534"),
    ("198.18.0.0/15", "benchmarking, RFC 2544"),
    ("198.51.100.0/24", "documentation, RFC 5737"),
    ("203.0.113.0/24", "documentation, RFC 5737"),
    ("224.0.0.0/4", "multicast, RFC 5771"),
    ("255.255.255.255/32", "broadcast, RFC 919"),
    ("240.0.0.0/4", "reserved, RFC 1112"),
    ("::/128", "unspecified, RFC 4291"),
    ("::1/128", "loopback, RFC 4291"),
    ("::/96", "IPv4-compatible, RFC 4291"),
    ("::ffff:0:0/96", "IPv4-mapped, RFC 4291"),
    ("::ffff:0:0:0/96", "IPv4-translated, RFC 2765"),
    ("64:ff9b::/96", "NAT64, RFC 6052"),
    ("64:ff9b:1::/48", "local NAT64, RFC 8215"),
    ("100::/64", "discard, RFC 6666"),
    ("100:0:0:1::/64", "dummy prefix, RFC 9780"),
    ("2001::/32", "Teredo, RFC 4380"),
    ("2001:2::/48", "benchmarking, RFC 5180"),
    ("2001::/23", "protocol assignments, RFC 2928"),
    ("2001:db8::/32", "documentation, RFC 3849"),
    ("2002::/16", "6to4, RFC 3056"),
    ("2620:4f:8000::/48", "AS112, RFC 7534"),
    ("3fff::/20", "documentation, RFC 9637"),
    ("5f00::/16", "segment routing, RFC 9602"),
    ("fc00::/7", "unique local, RFC 4193"),
    ("fe80::/10", "link-local, RFC 4291"),
    ("fec0::/10", "site-local, RFC 3879"),
    ("ff00::/8", "multicast, RFC 4291"),
)

_REFUSED = tuple((ip_network(network), why) for network, why in REFUSED)

# RFC 4291, 2.4: the only block IANA gives out as global unicast; the rest is reserved.
_GLOBAL_UNICAST = IPv6Network("2000::/3")


def refusal(address: Address) -> str | None:
    """Why the address is not a public one; None when it is."""
    for network, why in _REFUSED:
        if address in network:
            return why
    if address.version == 6 and address not in _GLOBAL_UNICAST:
        return "reserved, RFC 4291"
    # The second net: what the registries hold that the table above does not.
    return None if address.is_global else "not globally reachable, RFC 6890"
