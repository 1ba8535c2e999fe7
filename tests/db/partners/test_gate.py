"""The gate, one step after another, each refusing before the next is looked at."""

import asyncio
from contextlib import suppress
from datetime import timedelta
from functools import partial
from ipaddress import ip_address
from typing import Any, cast

import pytest
from tests.db.webhooks.scene import TurnedClock, until
from tests.support.application import Platform
from tests.support.partners import execute, issued, onboard, suspend

from proof.core.errors import CallerError
from proof.partners.access.credentials import Credential
from proof.partners.access.directory import RECENT_AT_MOST, TRUST_S, Directory
from proof.partners.access.gate import Gate
from proof.partners.access.tokens import parse_token
from proof.partners.errors import (
    AddressNotAllowedError,
    InvalidTokenError,
    MissingTokenError,
    ScopeError,
    SuspendedError,
)
from proof.partners.types import CredentialKind, Environment, PartnerEnvironment

API_KEY, CLIENT_TOKEN = CredentialKind.API_KEY, CredentialKind.CLIENT_TOKEN
PRODUCTION, SANDBOX = Environment.PRODUCTION, Environment.SANDBOX


def gate_of(platform: Platform, clock: Any = None) -> Gate:
    return Gate(platform.database, Directory(platform.database), clock or platform.clock)


async def enter(
    gate: Gate,
    token: str | None,
    kind: CredentialKind = API_KEY,
    address: str = "203.0.113.9",
    environment: Environment = PRODUCTION,
) -> PartnerEnvironment:
    """Pass the whole gate, as an endpoint does."""
    seen = ip_address(address)
    credential = await gate.authenticate(token, environment, seen)
    await gate.admit(credential, kind, seen, None)
    return credential.owner


async def tried(
    platform: Platform,
    token: str | None,
    kind: CredentialKind = API_KEY,
    address: str = "203.0.113.9",
    environment: Environment = PRODUCTION,
) -> PartnerEnvironment | CallerError:
    try:
        return await enter(gate_of(platform), token, kind, address, environment)
    except CallerError as error:
        return error


async def test_an_empty_allowlist_refuses_client_tokens_and_lets_api_keys_in(
    platform: Platform,
) -> None:
    partner = await onboard(platform.database, platform.vault)
    sandbox = issued(partner, SANDBOX)
    let_in = await tried(platform, sandbox.api_key, environment=SANDBOX)
    assert isinstance(let_in, PartnerEnvironment)
    assert (let_in.id, let_in.environment) == (sandbox.partner_environment_id, SANDBOX)
    refused = await tried(platform, sandbox.client_token, CLIENT_TOKEN, environment=SANDBOX)
    assert isinstance(refused, AddressNotAllowedError)
    assert refused.message.startswith("203.0.113.9 is not on the allowlist of client_token")


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
async def test_the_list_of_its_own_product_decides(
    platform: Platform, address: str, let_in: bool
) -> None:
    partner = await onboard(
        platform.database,
        platform.vault,
        production_networks=("203.0.113.0/24", "2001:db8::/32"),
        timestamp_networks=("192.0.2.1/32",),
    )
    item = issued(partner)
    found = await tried(platform, item.client_token, CLIENT_TOKEN, address)
    assert isinstance(found, PartnerEnvironment) is let_in
    assert isinstance(await tried(platform, item.api_key, API_KEY, address), AddressNotAllowedError)
    other = await tried(platform, item.api_key, API_KEY, "192.0.2.1")
    assert isinstance(other, PartnerEnvironment)


async def test_the_first_reason_is_the_one_told(platform: Platform) -> None:
    partner = await onboard(platform.database, platform.vault, timestamp_networks=("192.0.2.1/32",))
    item = issued(partner)
    for nothing in (None, ""):
        assert isinstance(await tried(platform, nothing), MissingTokenError)
    wrong_environment = await tried(platform, item.client_token, environment=SANDBOX)
    assert isinstance(wrong_environment, InvalidTokenError)
    assert isinstance(await tried(platform, item.client_token), ScopeError)
    await suspend(platform.database, partner)
    for token in (item.client_token, item.api_key):
        suspended = await tried(platform, token, address="192.0.2.1")
        assert isinstance(suspended, SuspendedError)
        assert "suspended" in suspended.message


async def test_a_token_ends_at_its_time_even_unread(platform: Platform) -> None:
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
    gate = gate_of(platform, clock)
    clock.turn(3599)
    assert (await enter(gate, token)).partner_id == partner.partner_id
    clock.turn(1)
    with pytest.raises(InvalidTokenError):
        await enter(gate, token)


async def test_a_token_is_remembered_until_the_next_look_and_no_longer(platform: Platform) -> None:
    partner, database = await onboard(platform.database, platform.vault), platform.database
    directory, token = Directory(database), issued(partner).api_key
    gate = Gate(database, directory, platform.clock)
    with pytest.raises(InvalidTokenError):
        await enter(gate, token[:-1] + ("0" if token[-1] != "0" else "1"))
    assert directory._recent == {}
    await enter(gate, token)
    await enter(gate, token)
    assert list(directory._recent) == [token]
    # Remembered or not, nothing is trusted for longer than the directory itself.
    directory._checked_at -= TRUST_S + 1
    assert directory.recent(token) is None
    await execute(
        database, "UPDATE credentials SET revoked_at = now() WHERE key_id = $1", token[11:24]
    )
    await directory._poll()
    assert directory._recent == {}
    with pytest.raises(InvalidTokenError):
        await enter(gate, token)


async def test_what_the_gate_saw_is_written_without_being_asked_for(platform: Platform) -> None:
    partner = await onboard(platform.database, platform.vault)
    gate, token = gate_of(platform), issued(partner).api_key
    gate._writing._idle_s = 24 * 3600.0
    writing = asyncio.create_task(gate.run())

    async def seen(address: str) -> bool:
        found = await platform.fetch(
            f"SELECT FROM credential_uses WHERE last_address = '{address}'"
        )
        return bool(found)

    async def refused() -> bool:
        owner_id = issued(partner).partner_environment_id
        return bool(
            await platform.fetch(f"SELECT FROM refusals WHERE partner_environment_id = {owner_id}")
        )

    # The first use is written at once; the others when a second is over.
    for address in ("192.0.2.71", "192.0.2.72"):
        await enter(gate, token, address=address)
        await until(partial(seen, address))
    with pytest.raises(ScopeError):
        await enter(gate, token, CLIENT_TOKEN)
    await until(refused)
    writing.cancel()
    with suppress(asyncio.CancelledError):
        await writing


def test_only_so_many_tokens_are_remembered(platform: Platform) -> None:
    directory = Directory(platform.database)
    for number in range(RECENT_AT_MOST + 10):
        directory.remember(str(number), cast("Credential", None))
    assert len(directory._recent) == RECENT_AT_MOST


async def test_no_refusal_shows_a_token(platform: Platform) -> None:
    partner = await onboard(platform.database, platform.vault)
    for environment in partner.environments:
        for token in (environment.api_key, environment.client_token):
            for kind in CredentialKind:
                found = await tried(platform, token, kind, "198.51.100.1", environment.environment)
                assert token not in str(found) + repr(found)
        assert environment.api_key not in repr(partner)
        assert environment.webhook_secret not in repr(partner)
