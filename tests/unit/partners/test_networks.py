"""Allowlists: what an operator may enter, and whom it lets in."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proof.core.errors import InvalidInputError
from proof.partners.access.networks import Allowlist, allows, is_very_wide, parse_network, site


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("192.0.2.7", "192.0.2.7/32"),
        ("192.0.2.7/32", "192.0.2.7/32"),
        ("192.0.2.0/24", "192.0.2.0/24"),
        ("192.0.2.0/255.255.255.0", "192.0.2.0/24"),
        (" 192.0.2.0/24 ", "192.0.2.0/24"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("2001:db8::1", "2001:db8::1/128"),
        ("2001:DB8::/32", "2001:db8::/32"),
        ("2001:0db8:0:0:0:0:0:0/32", "2001:db8::/32"),
        ("::/0", "::/0"),
        ("::ffff:192.0.2.7", "192.0.2.7/32"),
        ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
        ("::/95", "::/95"),
    ],
)
def test_addresses_and_networks(text: str, network: str) -> None:
    assert parse_network(text) == ip_network(network)


@pytest.mark.parametrize(
    ("text", "corrected"),
    [
        ("192.0.2.7/24", "192.0.2.0/24"),
        ("192.0.2.7/255.255.255.0", "192.0.2.0/24"),
        ("10.1.2.3/8", "10.0.0.0/8"),
        ("2001:db8::1/64", "2001:db8::/64"),
        ("0.0.0.1/0", "0.0.0.0/0"),
        ("::ffff:192.0.2.7/120", "::ffff:c000:200/120"),
    ],
)
def test_host_bits_are_refused_with_the_network_that_was_meant(text: str, corrected: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_network(text)
    assert caught.value.message == f"{text!r} has host bits set; the network is {corrected}"
    assert parse_network(corrected) is not None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "10.0.0.0/",
        "10.0.0.0/33",
        "10.0.0.0/-1",
        "10.0.0.0/8/8",
        "10.0.0",
        "10.0.0.256",
        "010.0.0.1",
        "1",
        "localhost",
        "example.com",
        "10.0.0.1, 10.0.0.2",
        "fe80::1%eth0",
        "fe80::%eth0/64",
        "[::1]",
        "10.0.0.1:80",
        "٣.0.0.1",
        "10.0.0.1\x00",
        ":::",
    ],
)
def test_garbage_is_refused_and_quoted(text: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_network(text)
    assert caught.value.message == f"{text!r} is not an IP address or CIDR network"


@given(st.text(max_size=50) | st.from_regex(r"[0-9a-f.:/%]{0,40}", fullmatch=True))
def test_any_text_is_a_network_or_refused(text: str) -> None:
    try:
        network = parse_network(text)
    except InvalidInputError:
        return
    # What was accepted is what PostgreSQL's cidr writes too.
    assert parse_network(str(network)) == network


@given(st.ip_addresses())
def test_an_address_is_let_in_by_itself_and_by_everything(
    address: IPv4Address | IPv6Address,
) -> None:
    anything = ip_network("0.0.0.0/0" if address.version == 4 else "::/0")
    assert allows([anything], address)
    assert not allows([], address)
    other = ip_address(int(address) ^ 1) if address.version == 4 else IPv6Address(int(address) ^ 1)
    assert not allows([ip_network(other)], address)
    assert allows([ip_network(other), ip_network(address)], address)


def test_an_ipv6_network_holds_no_ipv4_address() -> None:
    assert not allows([ip_network("::/0")], ip_address("192.0.2.7"))


_networks = st.lists(
    st.builds(
        lambda address, bits: ip_network(f"{address}/{bits % (address.max_prefixlen + 1)}", False),
        st.ip_addresses(),
        st.integers(0, 128),
    ),
    max_size=8,
)


@given(_networks, st.ip_addresses())
def test_a_list_made_ready_answers_as_its_networks_do(
    networks: list[IPv4Network | IPv6Network], address: IPv4Address | IPv6Address
) -> None:
    ready = Allowlist(networks)
    assert ready.holds(address) is allows(networks, address)
    assert ready.is_empty is (not networks)
    for network in networks:
        assert ready.holds(network.network_address)
        assert ready.holds(network.broadcast_address)


@pytest.mark.parametrize(
    ("text", "wide"),
    [
        ("0.0.0.0/0", True),
        ("10.0.0.0/7", True),
        ("10.0.0.0/8", False),
        ("::/0", True),
        ("2001:da8::/31", True),
        ("2001:db8::/32", False),
    ],
)
def test_a_very_wide_network_is_known(text: str, wide: bool) -> None:
    assert is_very_wide(ip_network(text, strict=False)) is wide


@pytest.mark.parametrize(
    ("address", "counted_by"),
    [
        ("192.0.2.7", "192.0.2.7/32"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::/64"),
    ],
)
def test_refusals_are_counted_by_site(address: str, counted_by: str) -> None:
    assert site(ip_address(address)) == ip_network(counted_by)
