"""Strangers' calls: a bucket for each address."""

from ipaddress import ip_address

import pytest

from proof.partners.anonymous import AddressRates, AnonymousRateError, anonymous_rate

ONE, OTHER = ip_address("203.0.113.1"), ip_address("203.0.113.2")


class Time:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def spent(rates: AddressRates, calls: int) -> None:
    for _ in range(calls):
        rates.take(ONE)


def test_the_burst_and_no_more_then_one_by_one() -> None:
    now = Time()
    rates = AddressRates(anonymous_rate(60), now)
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
    rates = AddressRates(anonymous_rate(60), now)
    spent(rates, 6)
    for _ in range(100):
        with pytest.raises(AnonymousRateError):
            rates.take(ONE)
    now.now += 1
    rates.take(ONE)


def test_addresses_do_not_share() -> None:
    rates = AddressRates(anonymous_rate(10), Time())
    rates.take(ONE)
    rates.take(OTHER)
    with pytest.raises(AnonymousRateError):
        rates.take(ONE)


def test_a_subscribers_ipv6_network_is_one_address() -> None:
    rates = AddressRates(anonymous_rate(10), Time())
    rates.take(ip_address("2001:db8:0:1::1"))
    with pytest.raises(AnonymousRateError):
        rates.take(ip_address("2001:db8:0:1:ffff::2"))
    rates.take(ip_address("2001:db8:0:2::1"))


def test_it_remembers_a_bounded_number_of_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proof.partners.anonymous._ADDRESSES_KEPT", 3)
    rates = AddressRates(anonymous_rate(10), Time())
    for last in range(10):
        rates.take(ip_address(f"198.51.100.{last}"))
    with pytest.raises(AnonymousRateError):
        rates.take(ip_address("198.51.100.9"))
    rates.take(ip_address("198.51.100.0"))
