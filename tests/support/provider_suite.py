"""What every provider must do, whichever it is: subclass `ProviderSuite` and give it a laboratory.

One that is asked over HTTP is a `PollingSuite` too, one with a widget of its own a `WidgetSuite`; a test of
`ProviderSuite` says which is missing.
"""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from decimal import Decimal
from ipaddress import ip_network
from typing import Any, ClassVar, Protocol, TypeVar, cast
from urllib.parse import urlsplit
from uuid import UUID

import pytest

from proof.core.clock import SystemClock
from proof.core.errors import InvalidInputError
from proof.outbound import OutboundClient, OutboundPolicy
from proof.partners.types import Environment
from proof.ramp.errors import (
    CallbackRefusedError,
    ProviderAnswerError,
    ProviderError,
    ProviderUnavailableError,
)
from proof.ramp.providers.accounts import checked_credentials
from proof.ramp.providers.protocols import (
    Account,
    Adapter,
    Observation,
    OpensSessions,
    Polls,
    ProviderStatus,
    Reach,
    Subject,
    TranslatesCallbacks,
)
from proof.ramp.providers.registry import Provider, provider_named
from proof.ramp.types import TransactionType
from proof.web.widget.assets import static

T = TypeVar("T")
NAME, OTHER = UUID("8d9c2f0e-6b1a-4f57-9c1e-2f4f1f0a7b63"), UUID(int=7)
# What a float would not keep.
AMOUNT = "25.100000000000000001"
SUBJECT = Subject(
    merchant_transaction_id=NAME,
    type=TransactionType.BUY,
    currency="USDT",
    network="ERC20",
    crypto_amount=Decimal(AMOUNT),
    fiat_currency="EUR",
    address="0x742d35Cc6634C0532925a3b844Bc454e4438f44e",
    email="somebody@acme.example",
    client_ip="203.0.113.77",
    partner_user_id="user-1",
)
NO_CALLBACKS = (
    b"",
    b"null",
    b"{}",
    b"[]",
    b"\xff\xfe",
    b'{"data": 1}',
    b'{"a": 1e999}',
    b"[" * 100_000,
    b'{"a": ' * 100_000,
)
_PATIENCE_S = 120.0


class ProviderLab(Protocol):
    """A provider whose other side the test rules."""

    provider: Provider
    credentials: Mapping[str, str]
    """What an operator types; it leads to this laboratory."""

    def callback(self, name: UUID, leg: str, status: str, amount: str) -> bytes:
        """The body that says so of a transaction of ours: always the same bytes for the same words."""
        ...

    def signed(self, body: bytes) -> Mapping[str, str]:
        """The headers it comes with, names in lower case."""
        ...


class AskedLab(ProviderLab, Protocol):
    """One whose API is asked over HTTP."""

    def says(self, name: UUID, statements: Sequence[tuple[str, str]]) -> None:
        """Leg and status of what it answers of a transaction from now on, the oldest first."""
        ...

    def fails(self, answer: int | bytes) -> None:
        """It answers everything with this status, or with this body and 200."""
        ...

    def stop(self) -> None:
        """Nobody listens any more."""
        ...


class ProviderSuite:
    """The suite. A subclass has `provider_name` and the fixture `lab`."""

    provider_name: ClassVar[str]

    def test_it_is_registered_and_has_the_suite_of_each_of_its_abilities(
        self, lab: ProviderLab
    ) -> None:
        assert provider_named(self.provider_name) is lab.provider
        able = adapted(lab, _itself)
        assert isinstance(able, TranslatesCallbacks)
        # What simulates has no other side to ask: its own tests have a database.
        asked = isinstance(able, Polls) and not lab.provider.simulates
        assert isinstance(self, PollingSuite) is asked
        assert isinstance(self, WidgetSuite) is isinstance(able, OpensSessions)
        assert isinstance(able, OpensSessions) is (lab.provider.widget is not None)

    @pytest.mark.parametrize("environment", Environment)
    def test_an_account_needs_what_has_no_default(
        self, lab: ProviderLab, environment: Environment
    ) -> None:
        fields = lab.provider.fields
        names = [field.name for field in fields]
        found = checked_credentials(fields, environment, lab.credentials)
        assert list(found) == names == list(dict.fromkeys(names))
        for field in fields:
            left_out = {name: text for name, text in found.items() if name != field.name}
            if field.generated or field.default.get(environment):
                assert checked_credentials(fields, environment, left_out)[field.name]
            else:
                with pytest.raises(InvalidInputError, match=field.name):
                    checked_credentials(fields, environment, left_out)

    def test_its_bounds_are_of_coins_and_in_order(self, lab: ProviderLab) -> None:
        for currency, (least, most) in lab.provider.amounts.items():
            assert 0 < least < most
            assert re.fullmatch(r"[A-Z0-9]{2,10}", currency)

    def test_every_status_means_what_it_says(self, lab: ProviderLab) -> None:
        found = {
            (leg, status): translated(lab, lab.callback(NAME, leg, status, AMOUNT))
            for leg, meanings in lab.provider.statuses.items()
            for status in meanings
        }
        for (leg, status), said in found.items():
            assert said.verdict is lab.provider.statuses[leg][status]
            assert said.merchant_transaction_id == NAME
            assert status in said.said
            assert said.occurred_at.utcoffset() is not None
        amounts = {said.crypto_amount for said in found.values()}
        assert amounts <= {Decimal(AMOUNT), None}
        assert ProviderStatus.UNKNOWN not in {said.verdict for said in found.values()}

    def test_a_status_nobody_knows_is_neither_success_nor_failure(self, lab: ProviderLab) -> None:
        legs = list(lab.provider.statuses)
        for leg, status in [(leg, "odd") for leg in legs] + [("odd", "completed"), ("", "")]:
            said = translated(lab, lab.callback(NAME, leg, status, AMOUNT))
            assert said.verdict is ProviderStatus.UNKNOWN

    def test_a_signature_is_of_one_body_under_one_key(self, lab: ProviderLab) -> None:
        body = a_callback(lab)
        headers = dict(lab.signed(body))
        adapter, ours = callbacks(lab), account(lab)
        assert adapter.verify(ours, headers, body)
        secrets = {field.name for field in lab.provider.fields if field.secret}
        others = {
            name: text + "x" if name in secrets else text for name, text in ours.credentials.items()
        }
        altered = body.replace(AMOUNT.encode(), b"99")
        assert altered != body
        for under, given, posted in (
            (account(lab, others), headers, body),
            (ours, headers, altered),
            (ours, {}, body),
            (ours, dict.fromkeys(headers, ""), body),
            (ours, dict.fromkeys(headers, "é\x00"), body),
        ):
            with pytest.raises(CallbackRefusedError):
                adapter.verify(under, given, posted)

    def test_callbacks_are_the_same_when_they_say_the_same(self, lab: ProviderLab) -> None:
        said = [
            lab.callback(NAME, leg, status, AMOUNT)
            for leg, meanings in lab.provider.statuses.items()
            for status in meanings
        ]
        identities = [callbacks(lab).identity(body) for body in [*said, *said]]
        assert {len(identity) for identity in identities} == {32}
        assert len(set(identities)) == len(said)

    def test_nothing_else_than_a_refusal_comes_of_what_strangers_send(
        self, lab: ProviderLab
    ) -> None:
        body, adapter = a_callback(lab), callbacks(lab)
        cut = [body[:end] for end in range(0, len(body), 7)]
        for posted in (*NO_CALLBACKS, *cut, body.replace(str(NAME).encode(), b"not an id")):
            with pytest.raises(CallbackRefusedError):
                adapter.translate(posted)
        for posted in (*NO_CALLBACKS, *cut):
            for read in (adapter.identity, lambda raw: adapter.verify(account(lab), {}, raw)):
                with pytest.raises(CallbackRefusedError):
                    read(posted)


class PollingSuite:
    """Of a provider that is asked over HTTP. The fixture `lab` is an AskedLab."""

    def test_of_what_it_does_not_know_it_says_nothing(self, lab: AskedLab) -> None:
        lab.says(OTHER, [first(lab)])
        assert polled(lab) == []

    def test_asked_it_says_what_its_callbacks_say(self, lab: AskedLab) -> None:
        for leg, meanings in lab.provider.statuses.items():
            for status, meaning in meanings.items():
                lab.says(NAME, [(leg, status)])
                (said,) = polled(lab)
                assert (said.merchant_transaction_id, said.verdict) == (NAME, meaning)
                assert said.crypto_amount in {Decimal(AMOUNT), None}
        lab.says(NAME, [(first(lab)[0], "odd")])
        assert [said.verdict for said in polled(lab)] == [ProviderStatus.UNKNOWN]

    def test_it_tells_the_oldest_first(self, lab: AskedLab) -> None:
        statements = [(leg, next(iter(each))) for leg, each in lab.provider.statuses.items()]
        lab.says(NAME, statements)
        found = polled(lab)
        assert len(found) == len(statements)
        times = [said.occurred_at for said in found]
        assert times == sorted(times)

    @pytest.mark.parametrize(
        ("answer", "error"),
        [
            (500, ProviderUnavailableError),
            (503, ProviderUnavailableError),
            (429, ProviderUnavailableError),
            (400, ProviderError),
            (403, ProviderError),
            (b"<html>", ProviderAnswerError),
            (b"\xff", ProviderAnswerError),
            (b"null", ProviderAnswerError),
            (b"[" * 10_000, ProviderAnswerError),
        ],
        ids=repr,
    )
    def test_its_failures_are_told_apart_and_repeat_no_secret(
        self, lab: AskedLab, answer: int | bytes, error: type[ProviderError]
    ) -> None:
        lab.fails(answer)
        with pytest.raises(ProviderError) as failed:
            polled(lab)
        assert type(failed.value) is error
        assert_nothing_told(lab, str(failed.value))

    def test_where_nobody_listens_it_is_unavailable(self, lab: AskedLab) -> None:
        lab.stop()
        with pytest.raises(ProviderUnavailableError) as failed:
            polled(lab)
        assert_nothing_told(lab, str(failed.value))


class WidgetSuite:
    """Of a provider with a widget of its own. The fixture `lab` is a ProviderLab."""

    def test_the_page_lets_in_the_hosts_of_its_script_alone(self, lab: ProviderLab) -> None:
        widget = lab.provider.widget
        assert widget is not None
        assert all(re.fullmatch(r"https://[*a-z0-9.-]+", host) for host in widget.hosts)
        for environment in Environment:
            defaults = checked_credentials(lab.provider.fields, environment, lab.credentials)
            script = opened(lab, account(lab, defaults, environment)).script
            place = urlsplit(script)
            assert place.scheme == "https"
            assert any(
                re.fullmatch(re.escape(host).replace(r"\*", r"[^/]+"), f"https://{place.netloc}")
                for host in widget.hosts
            ), script

    def test_it_is_opened_for_this_transaction_and_tells_no_secret(self, lab: ProviderLab) -> None:
        told = json.dumps(dict(opened(lab, account(lab)).parameters))
        assert str(NAME) in told
        assert str(SUBJECT.email) not in told
        for field in lab.provider.fields:
            assert not field.secret or account(lab).credentials[field.name] not in told

    def test_its_opener_is_served_with_the_page(self, lab: ProviderLab) -> None:
        served = static()[f"provider/{lab.provider.name}.js"].body.decode()
        assert re.search(r"^export (async )?function open\(", served, re.M)


async def _itself(adapter: Adapter) -> Adapter:
    return adapter


def adapted(lab: ProviderLab, act: Callable[[Adapter], Awaitable[T]]) -> T:
    """What comes of an adapter with a client that may call loopback."""

    async def run() -> T:
        policy = OutboundPolicy((ip_network("127.0.0.0/8"),))
        client = OutboundClient(policy, connect_timeout_s=_PATIENCE_S, timeout_s=_PATIENCE_S)
        try:
            return await act(lab.provider.adapter(_reach(client)))
        finally:
            await client.aclose()

    return asyncio.run(run())


def _reach(client: OutboundClient) -> Reach:
    # Only what keeps its operations with us reads the database, and that is not tested here.
    return Reach(client, cast("Any", None), SystemClock())


def account(
    lab: ProviderLab,
    credentials: Mapping[str, str] | None = None,
    environment: Environment = Environment.SANDBOX,
) -> Account:
    found = checked_credentials(lab.provider.fields, environment, credentials or lab.credentials)
    return Account(UUID(int=1), lab.provider.name, 1, environment, found)


def first(lab: ProviderLab) -> tuple[str, str]:
    """The first leg it knows, and the first status of that."""
    leg, meanings = next(iter(lab.provider.statuses.items()))
    return leg, next(iter(meanings))


def a_callback(lab: ProviderLab) -> bytes:
    return lab.callback(NAME, *first(lab), AMOUNT)


def callbacks(lab: ProviderLab) -> TranslatesCallbacks:
    found = adapted(lab, _itself)
    assert isinstance(found, TranslatesCallbacks)
    return found


def translated(lab: ProviderLab, body: bytes) -> Observation:
    return callbacks(lab).translate(body)


def polled(lab: ProviderLab) -> list[Observation]:
    async def poll(adapter: Adapter) -> list[Observation]:
        assert isinstance(adapter, Polls)
        return list(await adapter.poll(account(lab), SUBJECT))

    return adapted(lab, poll)


def opened(lab: ProviderLab, under: Account) -> Any:
    async def widget(adapter: Adapter) -> Any:
        assert isinstance(adapter, OpensSessions)
        return await adapter.open(under, SUBJECT)

    return adapted(lab, widget)


def assert_nothing_told(lab: ProviderLab, message: str) -> None:
    """No credential and nothing of the user stands in a message."""
    secret = [account(lab).credentials[field.name] for field in lab.provider.fields if field.secret]
    for text in (*secret, SUBJECT.email, SUBJECT.client_ip, SUBJECT.address):
        assert str(text) not in message
