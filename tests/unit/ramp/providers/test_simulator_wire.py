"""What the simulator posts: its signature, its identity, and how what strangers post is refused."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.provider_suite import ProviderSuite

from proof.ramp.errors import CallbackRefusedError
from proof.ramp.providers.protocols import PaymentMethod, ProviderStatus
from proof.ramp.providers.registry import provider_named
from proof.ramp.providers.simulator import wire
from proof.ramp.providers.simulator.wire import CallbackBody

NAME = UUID(int=7)
AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def body(**changes: Any) -> bytes:
    values: dict[str, Any] = {
        "id": "sim_1",
        "merchant_transaction_id": NAME,
        "leg": "payment",
        "status": "captured",
        "crypto_amount": "25.5",
        "fiat_currency": "EUR",
        "fiat_amount": "22.95",
        "updated_at": AT,
        "payment_method": PaymentMethod.CARD,
    }
    return wire.encode(CallbackBody(**values | changes))


class SimulatorLab:
    """The suite's laboratory: the simulator's own hand."""

    provider = provider_named("sandbox")
    credentials: Mapping[str, str] = {"sign_key": "key"}

    def callback(self, name: UUID, leg: str, status: str, amount: str) -> bytes:
        return body(merchant_transaction_id=name, leg=leg, status=status, crypto_amount=amount)

    def signed(self, posted: bytes) -> Mapping[str, str]:
        return {wire.SIGNATURE_HEADER: wire.sign("key", posted)}


class TestSimulator(ProviderSuite):
    """Every promise of a provider; what it answers when asked is in a database."""

    provider_name = "sandbox"

    @pytest.fixture
    def lab(self) -> SimulatorLab:
        return SimulatorLab()


def test_a_callback_is_read_as_it_was_written() -> None:
    found = wire.translate(body())
    assert found.merchant_transaction_id == NAME
    assert (found.verdict, found.said) == (ProviderStatus.PROCESSING, "payment: captured")
    assert (found.crypto_amount, found.fiat_amount) == (Decimal("25.5"), Decimal("22.95"))
    assert (found.occurred_at, found.payment_method) == (AT, "card")


def test_a_signature_is_hmac_sha256_of_the_body_under_the_key() -> None:
    """RFC 4231, test case 2."""
    digest = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    assert wire.sign("Jefe", b"what do ya want for nothing?") == digest


def test_a_signature_holds_for_its_key_and_body_alone() -> None:
    headers = {"x-signature": wire.sign("key", body())}
    wire.verify("key", headers, body())
    for key, given_headers, posted in (
        ("other", headers, body()),
        ("key", headers, body() + b" "),
        ("key", {}, body()),
        ("key", {"x-signature": "é"}, body()),
    ):
        with pytest.raises(CallbackRefusedError):
            wire.verify(key, given_headers, posted)


def test_callbacks_are_the_same_when_they_say_the_same() -> None:
    spaced = b" " + body().replace(b'":"', b'" : "')
    assert wire.identity(spaced) == wire.identity(body(fiat_amount="1"))
    differing = (
        body(status="declined"),
        body(id="sim_2"),
        body(leg="payout"),
        body(updated_at=AT.replace(second=6)),
    )
    assert wire.identity(body()) not in [wire.identity(item) for item in differing]


@given(st.text(), st.text())
def test_a_status_nobody_knows_is_neither_success_nor_failure(leg: str, status: str) -> None:
    found = wire.translate(body(leg=leg, status=status))
    assert found.verdict is ProviderStatus.UNKNOWN or (leg, status) in [
        (str(item), two) for item, two in wire.VERDICTS
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"crypto_amount": "1e3"},
        {"crypto_amount": "-1"},
        {"fiat_amount": "NaN"},
        {"fiat_amount": "9" * 10_000},
        {"updated_at": AT.replace(tzinfo=None)},
    ],
)
def test_what_is_no_callback_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(CallbackRefusedError):
        wire.translate(body(**changes))


Json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(st.binary() | Json.map(msgspec.json.encode) | st.just(b"[" * 100_000))
def test_nothing_else_than_a_refusal_comes_of_what_strangers_send(posted: bytes) -> None:
    for read in (wire.identity, wire.translate):
        with pytest.raises(CallbackRefusedError):
            read(posted)
