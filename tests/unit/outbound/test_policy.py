"""Which URLs may be targets and which addresses may be dialled."""

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proof.core.errors import InvalidInputError
from proof.outbound import ForbiddenAddressError, InvalidTargetError, OutboundPolicy
from proof.outbound.addresses import REFUSED

CLOSED = OutboundPolicy()
LOOPBACK = OutboundPolicy((ip_network("127.0.0.0/8"),))

PUBLIC = (
    "1.1.1.1",
    "8.8.8.8",
    "100.63.255.255",
    "100.128.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2600::1",
    "2001:200::1",
    "2003::1",
    "2606:4700:4700::1111",
)

# One named address for each way in that has been used somewhere, besides the table's own ends.
FORBIDDEN = {
    "cloud metadata": "169.254.169.254",
    "metadata of a container": "169.254.170.2",
    "metadata over IPv6": "fd00:ec2::254",
    "metadata behind carrier-grade NAT": "100.100.100.200",
    "Azure's platform address": "168.63.129.16",
    "this network": "0.0.0.1",
    "unspecified over IPv6": "::",
    "loopback over IPv6": "::1",
    "broadcast": "255.255.255.255",
    "IPv4-compatible": "::127.0.0.1",
    "IPv4-mapped": "::ffff:127.0.0.1",
    "IPv4-mapped public": "::ffff:8.8.8.8",
    "IPv4-translated": "::ffff:0:127.0.0.1",
    "NAT64": "64:ff9b::7f00:1",
    "local NAT64": "64:ff9b:1::7f00:1",
    "6to4 of 127.0.0.1": "2002:7f00:1::1",
    "Teredo": "2001:0:7f00:1::1",
    "link-local with a zone": "fe80::1%eth0",
    "outside global unicast": "4000::1",
}


def ends(network: str) -> list[str]:
    block = ip_network(network)
    return [str(block[0]), str(block[-1])]


@pytest.mark.parametrize("port", [443, 8443])
@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_dialled(address: str, port: int) -> None:
    CLOSED.check_address(address, port)


@pytest.mark.parametrize(("network", "why"), REFUSED)
def test_both_ends_of_each_refused_network(network: str, why: str) -> None:
    for address in ends(network):
        with pytest.raises(ForbiddenAddressError, match="is not public"):
            CLOSED.check_address(address, 443)


@pytest.mark.parametrize(("network", "why"), REFUSED)
def test_an_opened_network_is_dialled_on_any_port(network: str, why: str) -> None:
    policy = OutboundPolicy((ip_network(network),))
    for address in ends(network):
        policy.check_address(address, 8080)


@pytest.mark.parametrize("address", FORBIDDEN.values(), ids=FORBIDDEN.keys())
def test_forbidden_addresses(address: str) -> None:
    with pytest.raises(ForbiddenAddressError):
        CLOSED.check_address(address, 443)


@pytest.mark.parametrize("port", [0, 22, 25, 80, 442, 444, 5432, 8080, 8444])
def test_other_ports_are_not_dialled(port: int) -> None:
    with pytest.raises(ForbiddenAddressError, match=f"port {port}"):
        CLOSED.check_address("1.1.1.1", port)


def test_opening_one_network_opens_no_other() -> None:
    for address in ("10.0.0.1", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"):
        with pytest.raises(ForbiddenAddressError):
            LOOPBACK.check_address(address, 443)


@given(st.ip_addresses())
def test_nothing_private_is_ever_public(address: object) -> None:
    parsed = ip_address(str(address))
    try:
        CLOSED.check_address(str(parsed), 443)
    except ForbiddenAddressError:
        return
    assert parsed.is_global
    assert not parsed.is_private
    assert not parsed.is_multicast


def test_text_that_is_no_address_is_not_dialled() -> None:
    with pytest.raises(ForbiddenAddressError, match="not a numeric"):
        CLOSED.check_address("example.com", 443)


GOOD = (
    "https://example.com",
    "https://example.com/hook?token=a%20b&c=d",
    "HTTPS://Example.COM:8443/",
    "https://example.com:443/",
    "https://a_b.example.com./",
    "https://xn--bcher-kva.example/",
    "https://8.8.8.8/",
    "https://[2600::1]:8443/x",
    "https://1.example.com1/",
    "https://example.com/a@b",
)


@pytest.mark.parametrize("url", GOOD)
def test_public_https_urls_are_targets(url: str) -> None:
    CLOSED.check_url(url)


BAD = {
    "": "https://",
    "example.com/hook": "https://",
    "ftp://example.com/": "https://",
    "javascript:alert(1)": "https://",
    "//example.com/": "https://",
    "http://example.com/": "use https",
    "http://8.8.8.8/": "use https",
    "https:///path": "no host",
    "https:/example.com": "no host",
    "https://?x": "no host",
    "https://user@example.com/": "user information",
    "https://user:secret@example.com/": "user information",
    "https://@example.com/": "user information",
    "https://example.com/#": "fragment",
    "https://example.com/#part": "fragment",
    "https://example.com:80/": "use 443 or 8443",
    "https://example.com:0/": "use 443 or 8443",
    "https://example.com:65536/": "malformed",
    "https://example.com:+443/": "malformed",
    "https://example.com:/": "malformed",
    "https://example.com:443:443/": "malformed",
    "https://[::1": "malformed",
    "https://[::1]a/": "malformed",
    "https://[v1.a]/": "malformed",
    "https://[:::]/": "IPv6 address is malformed",
    "https://[fe80::1%25eth0]/": "zone",
    "https://example.com/ ": "character",
    " https://example.com/": "character",
    "https://exa mple.com/": "character",
    "https://example.com/\r\nx-injected: 1": "character",
    "https://example.com/\x00": "character",
    "https://good.example\\@127.0.0.1/": "character",
    "https://bücher.example/": "xn--",
    "https://①②⑦.0.0.1/": "character",
    "https://127。0。0。1/": "character",
    "https://exa%6dple.com/": "not a host name",
    "https://127%2e0.0.1/": "four decimal numbers",
    "https://-example.com/": "not a host name",
    "https://exa..mple.com/": "not a host name",
    "https://" + "a" * 64 + ".com/": "not a host name",
    "https://a,b/": "not a host name",
    "https://" + "a." * 130 + "com/": "not a host name",
    "https://example.com/" + "a" * 2000: "2000 characters",
    # 127.0.0.1 in the spellings that inet_aton, browsers and old libraries read.
    "https://127.0.0.1/": "not public",
    "https://127.0.0.1./": "four decimal numbers",
    "https://2130706433/": "four decimal numbers",
    "https://0x7f000001/": "four decimal numbers",
    "https://0x7F.1/": "four decimal numbers",
    "https://017700000001/": "four decimal numbers",
    "https://0177.0.0.1/": "four decimal numbers",
    "https://127.1/": "four decimal numbers",
    "https://127.0.1/": "four decimal numbers",
    "https://0/": "four decimal numbers",
    "https://0x/": "four decimal numbers",
    "https://256.256.256.256/": "four decimal numbers",
    "https://1.2.3.4.5/": "four decimal numbers",
    "https://example.0x7f/": "four decimal numbers",
    "https://[::1]/": "not public",
    "https://[0:0:0:0:0:0:0:1]/": "not public",
    "https://[::127.0.0.1]/": "not public",
    "https://[::ffff:127.0.0.1]/": "not public",
    "https://[::FFFF:7F00:1]/": "not public",
    "https://[64:ff9b::127.0.0.1]/": "not public",
    "https://[2002:7f00:1::]/": "not public",
    "https://169.254.169.254/latest/meta-data": "not public",
    "https://localhost/": "names this machine",
    "https://LOCALHOST:8443/": "names this machine",
    "https://localhost./": "names this machine",
    "https://a.localhost/": "names this machine",
}


@pytest.mark.parametrize(("url", "says"), BAD.items())
def test_other_urls_are_refused_and_told_why(url: str, says: str) -> None:
    with pytest.raises(InvalidTargetError, match=says) as refusal:
        CLOSED.check_url(url)
    assert isinstance(refusal.value, InvalidInputError)
    assert "secret" not in refusal.value.message


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9000/a", "http://127.9.9.9/", "http://localhost:1/"]
)
def test_an_opened_network_takes_plain_http_and_any_port(url: str) -> None:
    LOOPBACK.check_url(url)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://example.com/", "use https"),
        ("http://a.localhost/", "use https"),
        ("https://example.com:9000/", "use 443"),
        ("http://10.0.0.1/", "not public"),
        ("http://[::ffff:127.0.0.1]/", "not public"),
        ("http://127.1/", "four decimal numbers"),
        ("http://user@127.0.0.1/", "user information"),
        ("ftp://127.0.0.1/", "https://"),
    ],
)
def test_an_opened_network_opens_nothing_else(url: str, says: str) -> None:
    with pytest.raises(InvalidTargetError, match=says):
        LOOPBACK.check_url(url)


@given(st.text(max_size=60))
def test_any_text_is_accepted_or_refused_by_name(text: str) -> None:
    for url in (text, "https://" + text):
        try:
            CLOSED.check_url(url)
        except InvalidTargetError:
            continue
        assert url.lower().startswith("https://")
