"""Mercuryo's adapter: signatures, the mapping of its statuses, and its API over real HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from ipaddress import ip_network
from types import SimpleNamespace
from typing import Any, TypeVar, cast
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.mercuryo import (
    PARTNER_TOKEN,
    SECRET,
    SIGN_KEY,
    Mercuryo,
    MercuryoLab,
    callback,
    closed_url,
    leg,
    signature,
)
from tests.support.provider_suite import PollingSuite, ProviderSuite, WidgetSuite

from proof.core.clock import SystemClock
from proof.outbound import OutboundClient, OutboundPolicy
from proof.partners.types import Environment
from proof.ramp.errors import (
    CallbackRefusedError,
    ProviderAnswerError,
    ProviderError,
    ProviderUnavailableError,
)
from proof.ramp.providers.mercuryo import wire
from proof.ramp.providers.mercuryo.adapter import MercuryoAdapter
from proof.ramp.providers.protocols import (
    Account,
    ConfirmsEnds,
    Observation,
    ProviderStatus,
    Reach,
    Subject,
)
from proof.ramp.types import FailureReason, KycStatus, TransactionType

T = TypeVar("T")
NAME = UUID("8d9c2f0e-6b1a-4f57-9c1e-2f4f1f0a7b63")
EMAIL, IP = "user@acme.example", "203.0.113.77"
ADDRESS = "0x742d35Cc6634C0532925a3b844Bc454e4438f44e"
VECTOR = (
    "83a6473f7b0aade8cd794c38f435d8db621149f206e8488ec99ab12edefc5d55"
    "d605384dc0b3cc947a93fd3bd4d0d210c6972fcf39fbb4dce893729ddf8ea825"
)
SUBJECT = Subject(
    merchant_transaction_id=NAME,
    type=TransactionType.BUY,
    currency="USDT",
    network="TRC20",
    crypto_amount=Decimal("25.5"),
    fiat_currency="EUR",
    address=ADDRESS,
    email=EMAIL,
    client_ip=IP,
    partner_user_id="user-1",
)
# The contract's table, line by line.
TABLE = {
    ProviderStatus.PENDING: [
        *(("buy", item) for item in ("new", "pending", "descriptor_failed", "failed_exchange")),
        ("buy", "order_scheduled"),
        ("deposit", "new"),
        ("deposit", "pending"),
        ("sell", "new"),
    ],
    ProviderStatus.PROCESSING: [
        ("buy", "paid"),
        ("withdraw", "new"),
        ("withdraw", "pending"),
        ("withdraw", "order_scheduled"),
        ("deposit", "completed"),
        ("sell", "pending"),
    ],
    ProviderStatus.COMPLETED: [
        ("withdraw", "completed"),
        ("sell", "succeeded"),
        ("sell", "completed"),
    ],
    ProviderStatus.UNDELIVERABLE: [("withdraw", "failed")],
    ProviderStatus.DECLINED: [("buy", "order_failed")],
    ProviderStatus.CANCELLED: [("buy", "cancelled")],
    ProviderStatus.FAILED: [("sell", "failed"), ("deposit", "failed")],
    ProviderStatus.UNKNOWN: [
        ("buy", "completed"),
        ("withdraw", "paid"),
        ("invoice", "paid"),
        ("", ""),
    ],
}
LINES = [(kind, status, verdict) for verdict, lines in TABLE.items() for kind, status in lines]


class TestMercuryo(ProviderSuite, PollingSuite, WidgetSuite):
    """Every promise of a provider."""

    provider_name = "mercuryo"

    @pytest.fixture
    def lab(self) -> Iterator[MercuryoLab]:
        with Mercuryo() as server:
            yield MercuryoLab(server)


def account(url: str = "https://api.example/v1.6", token: str = PARTNER_TOKEN) -> Account:
    credentials = {
        "widget_id": "wid",
        "widget_secret": SECRET,
        "sign_key": SIGN_KEY,
        "sdk_partner_token": token,
        "api_url": url,
        "widget_url": "https://widget.example/embed.js",
    }
    return Account(UUID(int=1), "mercuryo", 1, Environment.PRODUCTION, credentials)


@asynccontextmanager
async def adapting() -> AsyncIterator[MercuryoAdapter]:
    policy = OutboundPolicy((ip_network("127.0.0.0/8"),))
    client = OutboundClient(policy, connect_timeout_s=120, timeout_s=120)
    try:
        database = cast("Any", SimpleNamespace())
        yield MercuryoAdapter(Reach(client, database, SystemClock()))
    finally:
        await client.aclose()


def asked(act: Callable[[MercuryoAdapter], Coroutine[Any, Any, T]]) -> T:
    async def run() -> T:
        async with adapting() as adapter:
            return await act(adapter)

    return asyncio.run(run())


def read(body: bytes) -> Any:
    found = wire.callback_leg(body)
    return wire.observation(found.type, found)


@pytest.mark.parametrize(
    ("kind", "status", "awaits"),
    [
        ("deposit", "new", True),
        ("deposit", "pending", True),
        ("deposit", "completed", False),
        ("sell", "new", False),
        ("buy", "new", False),
    ],
)
def test_a_deposit_leg_says_that_its_address_was_shown(
    kind: str, status: str, awaits: bool
) -> None:
    leg = wire.Leg("1", str(UUID(int=1)), status, updated_at="2026-05-04T03:02:01Z")
    assert wire.observation(kind, leg).awaits_deposit is awaits


def test_the_contracts_vector_of_the_session_signature() -> None:
    assert wire.session_signature(ADDRESS, SECRET, "192.168.1.1", "tx_123456") == "v2:" + VECTOR


@pytest.mark.parametrize(("kind", "status", "verdict"), LINES)
def test_a_status_means_what_the_contract_says(
    kind: str, status: str, verdict: ProviderStatus
) -> None:
    found = read(callback(leg(kind, status, str(NAME))))
    assert (found.verdict, found.said) == (verdict, f"{kind}: {status}")


def test_every_status_there_is_in_the_mapping_is_in_the_contracts_table() -> None:
    mapped = {(k, s): v for k, statuses in wire.VERDICTS.items() for s, v in statuses.items()}
    mobile = {
        ("mobile_pay", s): v for k, s, v in LINES if k == "buy" and v is not ProviderStatus.UNKNOWN
    }
    listed = {(k, s): v for k, s, v in LINES if v is not ProviderStatus.UNKNOWN}
    assert mapped == listed | mobile


@given(st.text(), st.text())
def test_a_status_nobody_knows_is_neither_success_nor_failure(kind: str, status: str) -> None:
    found = read(callback(leg(kind, status, str(NAME))))
    known = status in wire.VERDICTS.get(kind, {})
    assert (found.verdict is ProviderStatus.UNKNOWN) is not known


@pytest.mark.parametrize("spaced", [False, True])
def test_both_forms_of_a_signed_body_are_verified_and_told_apart(spaced: bool) -> None:
    body = callback(leg("buy", "paid", str(NAME)), spaced=spaced)
    compact = b"".join(body.split())
    # A time has a space in it as well.
    assert compact != body
    for signed, form in ((body, "raw"), (compact, "compact")):
        headers = {"x-signature": signature(signed)}
        assert wire.verify(SIGN_KEY, headers, body) == form
    for wrong in ({}, {"x-signature": signature(body, "other")}, {"x-signature": "é" * 64}):
        with pytest.raises(CallbackRefusedError):
            wire.verify(SIGN_KEY, wrong, body)


def test_a_callback_is_known_again_by_id_type_status_and_time() -> None:
    data = leg("buy", "paid", str(NAME))
    same = callback(leg("buy", "paid", str(NAME), fiat_amount="9.99"), spaced=True)
    assert wire.identity(callback(data)) == wire.identity(same)
    for change in ("id", "type", "status", "updated_at"):
        assert wire.identity(callback(data | {change: "other"})) != wire.identity(callback(data))


def test_amounts_are_exact_whether_they_are_texts_or_numbers() -> None:
    for text in ("0.123456789012345678", "25.50000000"):
        data = leg("buy", "paid", str(NAME), amount=text)
        found = read(callback(data))
        assert found.crypto_amount == Decimal(text)
        assert read(callback(data).replace(f'"{text}"'.encode(), text.encode())) == found
    assert read(callback(leg("buy", "paid", str(NAME), amount="", fiat_amount=None))) is not None
    assert read(callback(leg("withdraw", "completed", str(NAME)))).crypto_amount is None


def test_a_leg_may_stand_by_itself_and_a_time_have_an_offset() -> None:
    data = leg("sell", "succeeded", str(NAME), at="2026-01-02T04:04:05+01:00")
    found = read(json.dumps(data).encode())
    assert found.occurred_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    "change",
    [
        {"merchant_transaction_id": "tx_123"},
        {"updated_at": "yesterday"},
        {"updated_at": None, "created_at": None},
        {"amount": "NaN"},
        {"amount": "-1"},
        {"amount": "1e999999999"},
        {"amount": "9" * 10_000},
        {"fiat_amount": "twelve"},
        {"fiat_amount": {}},
    ],
)
def test_what_mercuryo_does_not_document_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(CallbackRefusedError):
        read(callback(leg("buy", "paid", str(NAME)) | change))


Json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.just("data"), inner),
    max_leaves=10,
)


@given(st.binary() | Json.map(msgspec.json.encode) | st.just(b'{"data":' * 50_000))
def test_nothing_else_than_a_refusal_comes_of_what_strangers_send(posted: bytes) -> None:
    for act in (wire.identity, read):
        with pytest.raises(CallbackRefusedError):
            act(posted)


@given(st.dictionaries(st.sampled_from(list(leg("buy", "paid", str(NAME)))), Json))
def test_a_leg_with_anything_in_its_fields_is_read_or_refused(changes: dict[str, Any]) -> None:
    body = msgspec.json.encode({"data": leg("buy", "paid", str(NAME)) | changes})
    try:
        found = read(body)
    except CallbackRefusedError:
        return
    assert found.verdict in ProviderStatus
    assert found.crypto_amount is None or found.crypto_amount >= 0


def test_a_user_it_knows_is_logged_in_and_another_signed_up_first() -> None:
    with Mercuryo() as mercuryo:
        for kind in ("init_token_type", "init_type_token"):
            mercuryo.type_name = kind
            asked(lambda adapter: adapter.open(account(mercuryo.url), SUBJECT))
        paths = [path for _, path, _, _ in mercuryo.seen]
        base = "/v1.6/sdk-partner/"
        assert paths == [base + "login", base + "sign-up", base + "login"]
        assert {headers["b2b-user-ip"] for _, _, headers, _ in mercuryo.seen} == {IP}
        assert [body for *_, body in mercuryo.seen][1] == {"email": EMAIL, "accept": True}


def test_its_widget_is_opened_with_its_token_and_signature() -> None:
    with Mercuryo() as mercuryo:
        found = asked(lambda adapter: adapter.open(account(mercuryo.url), SUBJECT))
    given_parameters = dict(found.parameters)
    assert found.script == "https://widget.example/embed.js"
    assert given_parameters["network"] == "TRON"
    assert given_parameters["initToken"] == "0a25dd714163a9006"
    assert given_parameters["initTokenType"] == "sdk_partner_authorization"
    assert given_parameters["signature"] == wire.session_signature(ADDRESS, SECRET, IP, str(NAME))
    assert SECRET not in repr(found)
    assert SECRET not in str(given_parameters)


@pytest.mark.parametrize("erased", [replace(SUBJECT, email=None), replace(SUBJECT, client_ip=None)])
def test_an_erased_user_cannot_be_signed_in(erased: Subject) -> None:
    with pytest.raises(ProviderError):
        asked(lambda adapter: adapter.open(account(), erased))


def test_our_networks_have_names_there() -> None:
    names = {name: wire.NETWORKS[name] for name in ("TRC20", "ERC20", "BEP20")}
    assert names == {"TRC20": "TRON", "ERC20": "ETHEREUM", "BEP20": "BINANCESMARTCHAIN"}


def poll(mercuryo: Mercuryo) -> list[tuple[str, ProviderStatus]]:
    said = asked(lambda adapter: adapter.poll(account(mercuryo.url), SUBJECT))
    assert {item.merchant_transaction_id for item in said} <= {NAME}
    return [(item.said, item.verdict) for item in said]


@pytest.mark.parametrize("kind", ["buy", "mobile_pay"])
def test_asking_answers_every_leg_of_every_attempt_the_oldest_first(kind: str) -> None:
    name = str(NAME)
    declined = leg(kind, "order_failed", name, "2026-01-02 03:01:00")
    paid = leg(kind, "paid", name, "2026-01-02 03:05:00")
    delivered = leg("withdraw", "completed", name, "2026-01-02 03:05:00")
    elsewhere = leg(kind, "paid", str(UUID(int=9)))
    with Mercuryo() as mercuryo:
        mercuryo.transactions = [
            {kind: paid, "withdraw": delivered, "sell": None},
            {kind: declined, "withdraw": None},
            {kind: elsewhere},
            {"invoice": leg("invoice", "paid", name)},
        ]
        assert poll(mercuryo) == [
            (f"{kind}: order_failed", ProviderStatus.DECLINED),
            (f"{kind}: paid", ProviderStatus.PROCESSING),
            ("withdraw: completed", ProviderStatus.COMPLETED),
        ]
        assert asked(lambda item: item.kyc(account(mercuryo.url), SUBJECT)) is KycStatus.VERIFIED


def test_a_sale_is_a_deposit_and_a_sell() -> None:
    with Mercuryo() as mercuryo:
        assert poll(mercuryo) == []
        assert asked(lambda item: item.kyc(account(mercuryo.url), SUBJECT)) is KycStatus.NOT_STARTED
        mercuryo.transactions = [{"sell": leg("sell", "new", str(NAME)), "deposit": None}]
        assert poll(mercuryo) == [("sell: new", ProviderStatus.PENDING)]
        assert asked(lambda item: item.kyc(account(mercuryo.url), SUBJECT)) is KycStatus.PENDING
        mercuryo.transactions[0]["deposit"] = leg("deposit", "completed", str(NAME))
        mercuryo.transactions[0]["sell"]["status"] = "succeeded"
        assert poll(mercuryo) == [
            ("deposit: completed", ProviderStatus.PROCESSING),
            ("sell: succeeded", ProviderStatus.COMPLETED),
        ]


@pytest.mark.parametrize(
    ("fails", "error"),
    [
        (500, ProviderUnavailableError),
        (429, ProviderUnavailableError),
        (400, ProviderError),
        (302, ProviderError),
        (b"<html>", ProviderAnswerError),
        (b"[]", ProviderAnswerError),
        (b'{"status":200}', ProviderAnswerError),
        (b'{"data":{}}', ProviderAnswerError),
        (b'{"data":[{"buy":{"id":1}}]}', ProviderAnswerError),
        (b'{"data":"' + b"x" * 100_000 + b'"}', ProviderAnswerError),
    ],
)
def test_its_failures_are_told_apart(fails: int | bytes, error: type[ProviderError]) -> None:
    with Mercuryo() as mercuryo:
        mercuryo.fails = fails
        for act in (MercuryoAdapter.poll, MercuryoAdapter.open):
            with pytest.raises(error) as raised:
                asked(lambda item, act=act: act(item, account(mercuryo.url), SUBJECT))  # type: ignore[misc]
            assert type(raised.value) is error
            assert EMAIL not in raised.value.message


def test_nobody_there_and_a_wrong_token() -> None:
    with pytest.raises(ProviderUnavailableError):
        asked(lambda item: item.poll(account(closed_url()), SUBJECT))
    with Mercuryo() as mercuryo, pytest.raises(ProviderError) as raised:
        asked(lambda item: item.open(account(mercuryo.url, "wrong"), SUBJECT))
    assert "wrong" not in raised.value.message


def test_an_end_in_a_callback_is_asked_about() -> None:
    async def look(adapter: MercuryoAdapter) -> bool:
        return isinstance(adapter, ConfirmsEnds)

    assert asked(look)
    assert SECRET not in repr(account())


def told(kind: str, status: str, **more: Any) -> Observation:
    found: Observation = read(callback(leg(kind, status, str(NAME), **more)))
    return found


def test_amounts_come_from_the_legs_that_were_agreed() -> None:
    for kind, status in (("buy", "paid"), ("mobile_pay", "paid"), ("deposit", "completed")):
        found = told(kind, status)
        assert (found.fiat_currency, found.fiat_amount) == ("EUR", Decimal("23.40"))
    worth = told("withdraw", "completed")
    assert (worth.fiat_currency, worth.fiat_amount, worth.fiat_fee) == (None, None, None)


@pytest.mark.parametrize(
    ("more", "fee"),
    [
        ({}, None),
        ({"fee": "1.20", "fee_currency": "EUR"}, "1.20"),
        ({"fee": 1.2, "fee_currency": "EUR"}, "1.2"),
        ({"fee": {"USDT": "1.3", "EUR": "1.20"}}, "1.20"),
        ({"fee": "0.00", "fee_currency": "EUR"}, "0"),
        ({"fee": "1.20"}, None),
        ({"fee": "1.20", "fee_currency": "USDT"}, None),
        ({"fee": {"USDT": "1.3"}}, None),
        ({"fee": "-1", "fee_currency": "EUR"}, None),
        ({"fee": [1], "fee_currency": "EUR"}, None),
        ({"fee": {"EUR": "much"}}, None),
    ],
)
def test_a_fee_is_read_where_its_currency_is_sure(more: dict[str, Any], fee: str | None) -> None:
    assert told("buy", "paid", **more).fiat_fee == (None if fee is None else Decimal(fee))


@pytest.mark.parametrize(
    ("tx", "name"),
    [
        ({"id": "ab12", "address": "1BoatSLRHtKNngkdXEeobR76b53LETtpyT"}, "ab12"),
        ({"id": None}, None),
        ({"id": ""}, None),
        (None, None),
        ("ab12", None),
        ([], None),
    ],
)
def test_the_transaction_on_the_chain_is_the_legs(tx: Any, name: str | None) -> None:
    assert told("withdraw", "completed", tx=tx).chain_transaction == name


@pytest.mark.parametrize(
    ("kind", "status", "reason"),
    [
        ("deposit", "failed", FailureReason.DEPOSIT_FAILED),
        ("sell", "failed", FailureReason.PAYOUT_FAILED),
        ("sell", "succeeded", None),
        ("buy", "order_failed", None),
        ("withdraw", "failed", None),
    ],
)
def test_why_a_leg_failed(kind: str, status: str, reason: FailureReason | None) -> None:
    assert told(kind, status).failure_reason is reason
