"""The gate, one step after another, each refusing before the next is looked at."""

from collections.abc import Callable
from datetime import timedelta
from ipaddress import ip_address
from typing import Any

import pytest
from tests.db.webhooks.scene import TurnedClock
from tests.support.application import Platform
from tests.support.partners import execute, issued, onboard, suspend

from proof.core.errors import CallerError
from proof.partners.directory import Directory
from proof.partners.errors import (
    AddressNotAllowedError,
    InvalidTokenError,
    MissingTokenError,
    ScopeError,
)
from proof.partners.gate import admit
from proof.partners.tokens import parse_token
from proof.partners.types import CredentialKind, Environment, PartnerEnvironment

Run = Callable[[Any], Any]
API_KEY, CLIENT_TOKEN = CredentialKind.API_KEY, CredentialKind.CLIENT_TOKEN
PRODUCTION, SANDBOX = Environment.PRODUCTION, Environment.SANDBOX


async def tried(
    platform: Platform,
    token: str | None,
    kind: CredentialKind = API_KEY,
    address: str = "203.0.113.9",
    environment: Environment = PRODUCTION,
    clock: Any = None,
) -> PartnerEnvironment | CallerError:
    directory = Directory(platform.database)
    try:
        return await admit(
            directory, clock or platform.clock, token, environment, kind, ip_address(address)
        )
    except CallerError as error:
        return error


def test_an_empty_allowlist_refuses_client_tokens_and_lets_api_keys_in(
    run: Run, platform: Platform
) -> None:
    async def scene() -> None:
        partner = await onboard(platform.database, platform.vault)
        sandbox = issued(partner, SANDBOX)
        let_in = await tried(platform, sandbox.api_key, environment=SANDBOX)
        assert isinstance(let_in, PartnerEnvironment)
        assert (let_in.id, let_in.environment) == (sandbox.partner_environment_id, SANDBOX)
        refused = await tried(platform, sandbox.client_token, CLIENT_TOKEN, environment=SANDBOX)
        assert isinstance(refused, AddressNotAllowedError)
        assert refused.message.startswith("203.0.113.9 is not on the allowlist of client_token")

    run(scene())


@pytest.mark.parametrize(
    ("address", "let_in"),
    [
        ("203.0.113.0", True),
        ("203.0.113.255", True),
        ("203.0.114.0", False),
        ("2001:db8::ffff", True),
        ("2001:db9::", False),
        ("::", False),
    ],
)
def test_the_list_of_its_own_product_decides(
    run: Run, platform: Platform, address: str, let_in: bool
) -> None:
    async def scene() -> None:
        partner = await onboard(
            platform.database,
            platform.vault,
            production_networks=("203.0.113.0/24", "2001:db8::/32"),
            timestamp_networks=("192.0.2.1/32",),
        )
        one = issued(partner)
        found = await tried(platform, one.client_token, CLIENT_TOKEN, address)
        assert isinstance(found, PartnerEnvironment) is let_in
        assert isinstance(
            await tried(platform, one.api_key, API_KEY, address), AddressNotAllowedError
        )
        other = await tried(platform, one.api_key, API_KEY, "192.0.2.1")
        assert isinstance(other, PartnerEnvironment)

    run(scene())


def test_the_first_reason_is_the_one_told(run: Run, platform: Platform) -> None:
    async def scene() -> None:
        partner = await onboard(
            platform.database, platform.vault, timestamp_networks=("192.0.2.1/32",)
        )
        one = issued(partner)
        for nothing in (None, ""):
            assert isinstance(await tried(platform, nothing), MissingTokenError)
        wrong_environment = await tried(platform, one.client_token, environment=SANDBOX)
        assert isinstance(wrong_environment, InvalidTokenError)
        assert isinstance(await tried(platform, one.client_token), ScopeError)
        await suspend(platform.database, partner)
        for token in (one.client_token, one.api_key):
            suspended = await tried(platform, token, address="192.0.2.1")
            assert isinstance(suspended, ScopeError)
            assert "suspended" in suspended.message

    run(scene())


def test_a_token_ends_at_its_time_even_unread(run: Run, platform: Platform) -> None:
    async def scene() -> None:
        partner = await onboard(platform.database, platform.vault)
        token, clock = issued(partner).api_key, TurnedClock()
        parsed = parse_token(token)
        assert parsed is not None
        await execute(
            platform.database,
            "UPDATE credentials SET expires_at = $2 WHERE key_id = $1",
            parsed.key_id,
            clock.now() + timedelta(hours=1),
        )
        directory, here = Directory(platform.database), ip_address("203.0.113.9")

        async def enter() -> PartnerEnvironment:
            return await admit(directory, clock, token, PRODUCTION, API_KEY, here)

        clock.turn(3599)
        assert (await enter()).partner_id == partner.partner_id
        clock.turn(1)
        with pytest.raises(InvalidTokenError):
            await enter()

    run(scene())


def test_no_refusal_shows_a_token(run: Run, platform: Platform) -> None:
    async def scene() -> None:
        partner = await onboard(platform.database, platform.vault)
        for one in partner.environments:
            for token in (one.api_key, one.client_token):
                for kind in CredentialKind:
                    found = await tried(platform, token, kind, "198.51.100.1", one.environment)
                    assert token not in str(found) + repr(found)
            assert one.api_key not in repr(partner)
            assert one.webhook_secret not in repr(partner)

    run(scene())
