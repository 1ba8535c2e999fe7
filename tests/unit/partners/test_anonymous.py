"""Strangers' calls: buckets for each address, each IPv6 site and all together."""

from ipaddress import ip_address

import pytest

from proof.core.errors import BusyError
from proof.partners.access.anonymous import AnonymousRateError, AnonymousRates

ONE, OTHER = ip_address("203.0.113.1"), ip_address("203.0.113.2")


class Time:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def spent(rates: AnonymousRates, calls: int) -> None:
    for _ in range(calls):
        rates.take(ONE)


def test_the_burst_and_no_more_then_one_by_one() -> None:
    now = Time()
    rates = AnonymousRates(60, 1_000, now)
    spent(rates, 6)
    with pytest.raises(AnonymousRateError, match=r"203\.0\.113\.1 .* try again in 1 s") as over:
        rates.take(ONE)
    assert over.value.retry_after_s == 1
    now.now += 1
    rates.take(ONE)
    with pytest.raises(AnonymousRateError):
        rates.take(ONE)


def test_refused_calls_cost_nothing() -> None:
    now = Time()
    rates = AnonymousRates(60, 1_000, now)
    spent(rates, 6)
    for _ in range(100):
        with pytest.raises(AnonymousRateError):
            rates.take(ONE)
    now.now += 1
    rates.take(ONE)


def test_addresses_do_not_share() -> None:
    rates = AnonymousRates(10, 1_000, Time())
    rates.take(ONE)
    rates.take(OTHER)
    with pytest.raises(AnonymousRateError):
        rates.take(ONE)


def test_a_subscribers_ipv6_network_is_one_address() -> None:
    rates = AnonymousRates(10, 1_000, Time())
    rates.take(ip_address("2001:db8:0:1::1"))
    with pytest.raises(AnonymousRateError):
        rates.take(ip_address("2001:db8:0:1:ffff::2"))
    rates.take(ip_address("2001:db8:0:2::1"))


def test_it_remembers_a_bounded_number_of_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proof.partners.access.anonymous._ADDRESSES_KEPT", 3)
    rates = AnonymousRates(10, 1_000, Time())
    for last in range(10):
        rates.take(ip_address(f"198.51.100.{last}"))
    with pytest.raises(AnonymousRateError):
        rates.take(ip_address("198.51.100.9"))
    rates.take(ip_address("198.51.100.0"))


def test_an_ipv6_site_has_a_few_times_an_addresss_rate() -> None:
    rates = AnonymousRates(10, 1_000, Time())
    for subnet in range(4):
        rates.take(ip_address(f"2001:db8:7:{subnet}::1"))
    with pytest.raises(AnonymousRateError, match=r"2001:db8:7::/48"):
        rates.take(ip_address("2001:db8:7:5::1"))
    rates.take(ip_address("2001:db8:8::1"))


def test_all_strangers_share_one_budget_that_what_is_vital_does_not_need() -> None:
    now = Time()
    rates = AnonymousRates(600, 5, now)
    waits = [rates.take(ip_address(f"198.51.100.{last}")) for last in range(6)]
    assert waits == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    with pytest.raises(BusyError):
        rates.take(OTHER)
    assert rates.take(OTHER, in_all=False) == 0
    now.now += 10
    assert rates.take(OTHER) == 0


def test_a_cheap_answer_counts_for_less() -> None:
    rates = AnonymousRates(10, 1_000, Time())
    for _ in range(5):
        rates.take(ONE, 0.2)
    with pytest.raises(AnonymousRateError):
        rates.take(ONE, 0.2)


def test_it_knows_the_newest_who_succeeded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proof.partners.access.anonymous._KNOWN_AT_MOST", 2)
    rates = AnonymousRates(10, 1_000, Time())
    rates.remember("a")
    rates.remember("b")
    assert rates.knows("a")
    rates.remember("c")
    assert (rates.knows("a"), rates.knows("b"), rates.knows("c")) == (True, False, True)
