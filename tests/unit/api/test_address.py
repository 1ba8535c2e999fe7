"""Whose address a call comes from, for every way it can arrive."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proof.api.edge import UNKNOWN, client_address

NONE: tuple[str, ...] = ()
ONE = ("10.0.0.0/24",)
SEVERAL = ("10.0.0.0/24", "10.9.0.0/16", "fd00::/8")
CALLER, SPOOFED = "203.0.113.9", "198.51.100.66"

CASES: dict[str, tuple[str | None, list[str], tuple[str, ...], str]] = {
    "no proxy": (CALLER, [], NONE, CALLER),
    "no proxy, the header is the caller's own word": (CALLER, [SPOOFED], NONE, CALLER),
    "direct connection while a proxy is configured": (CALLER, [], ONE, CALLER),
    "direct connection with a forged header": (CALLER, [SPOOFED], ONE, CALLER),
    "one proxy": ("10.0.0.1", [CALLER], ONE, CALLER),
    "one proxy that says nothing": ("10.0.0.1", [], ONE, "10.0.0.1"),
    "one proxy, empty header": ("10.0.0.1", [""], ONE, "10.0.0.1"),
    "spoofed leftmost entry": ("10.0.0.1", [f"{SPOOFED}, {CALLER}"], ONE, CALLER),
    "spoofed entry that names a proxy": ("10.0.0.1", [f"10.0.0.7, {CALLER}"], ONE, CALLER),
    "many spoofed entries": ("10.0.0.1", [", ".join([SPOOFED] * 50 + [CALLER])], ONE, CALLER),
    "several proxies": ("10.0.0.1", [f"{CALLER}, fd00::2, 10.9.4.3"], SEVERAL, CALLER),
    "several proxies, spoofed": (
        "10.0.0.1",
        [f"{SPOOFED}, {CALLER}, 10.9.4.3, 10.0.0.2"],
        SEVERAL,
        CALLER,
    ),
    "a proxy that is not trusted is the caller": (
        "10.0.0.1",
        [f"{SPOOFED}, 192.0.2.1"],
        ONE,
        "192.0.2.1",
    ),
    "several headers": ("10.0.0.1", [SPOOFED, f"{SPOOFED}, {CALLER}", "10.9.4.3"], SEVERAL, CALLER),
    "several headers, the last one decides": ("10.0.0.1", [SPOOFED, CALLER], ONE, CALLER),
    "only proxies": ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], ONE, "10.0.0.3"),
    "port": ("10.0.0.1", [f"{CALLER}:4711"], ONE, CALLER),
    "brackets": ("10.0.0.1", ["[2001:db8::9]"], ONE, "2001:db8::9"),
    "brackets and port": ("10.0.0.1", ["[2001:db8::9]:4711"], ONE, "2001:db8::9"),
    "bare IPv6": ("10.0.0.1", ["2001:DB8::9"], ONE, "2001:db8::9"),
    "IPv4-mapped entry": ("10.0.0.1", [f"::ffff:{CALLER}"], ONE, CALLER),
    "IPv4-mapped entry in brackets": ("10.0.0.1", [f"[::ffff:{CALLER}]:1"], ONE, CALLER),
    "IPv4-mapped peer": (f"::ffff:{CALLER}", [], NONE, CALLER),
    "IPv4-mapped proxy": ("::ffff:10.0.0.1", [CALLER], ONE, CALLER),
    "zone id": ("10.0.0.1", ["fe80::1%eth0"], ONE, "fe80::1"),
    "zone id in brackets": ("10.0.0.1", ["[fe80::1%eth0]:80"], ONE, "fe80::1"),
    "zone id of the peer": ("fe80::1%eth0", [], NONE, "fe80::1"),
    "spaces and tabs": ("10.0.0.1", [f"{SPOOFED} ,\t {CALLER} "], ONE, CALLER),
    "garbage ends the walk at the proxy that sent it": (
        "10.0.0.1",
        [f"{CALLER}, unknown"],
        ONE,
        "10.0.0.1",
    ),
    "garbage behind an inner proxy": ("10.0.0.1", [f"{SPOOFED}, _x, 10.0.0.5"], ONE, "10.0.0.5"),
    "garbage left of the caller is not read": ("10.0.0.1", [f"<script>, {CALLER}"], ONE, CALLER),
    "trailing comma": ("10.0.0.1", [f"{CALLER},"], ONE, "10.0.0.1"),
    "an octal look-alike is no address": ("10.0.0.1", ["0313.0.113.9"], ONE, "10.0.0.1"),
    "a number is no address": ("10.0.0.1", ["3405803785"], ONE, "10.0.0.1"),
    "no peer": (None, [], NONE, str(UNKNOWN)),
    "no peer, forged header": (None, [CALLER], ONE, str(UNKNOWN)),
    "a peer that is a path": ("/run/proof.sock", [CALLER], ONE, str(UNKNOWN)),
}


@pytest.mark.parametrize("case", CASES)
def test_address(case: str) -> None:
    peer, forwarded, proxies, expected = CASES[case]
    found = client_address(peer, forwarded, tuple(map(ip_network, proxies)))
    assert found == ip_address(expected)


@given(st.lists(st.text(), max_size=5))
def test_no_header_moves_a_caller_who_is_no_proxy(forwarded: list[str]) -> None:
    proxies = (ip_network("10.0.0.0/24"),)
    assert client_address(CALLER, forwarded, proxies) == ip_address(CALLER)


@given(st.lists(st.text(max_size=30), max_size=5), st.ip_addresses())
def test_what_a_proxy_appends_last_decides(
    earlier: list[str], caller: IPv4Address | IPv6Address
) -> None:
    proxies = (ip_network("10.0.0.0/24"),)
    if caller in proxies[0] or getattr(caller, "ipv4_mapped", None):
        caller = ip_address(CALLER)
    assert client_address("10.0.0.1", [*earlier, str(caller)], proxies) == caller
