"""Who was let in a moment ago is let in again without being looked at whole, and only then."""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from ipaddress import IPv4Address
from typing import Any

import pytest
from tests.db.partners.processes import OPERATOR
from tests.db.webhooks.scene import TurnedClock
from tests.support.application import Platform
from tests.support.partners import execute, issued, onboard, suspend

from proof.partners.allowlists import Place, set_mode
from proof.partners.buckets import Rate
from proof.partners.directory import TRUST_S, Directory
from proof.partners.errors import AddressNotAllowedError
from proof.partners.gate import Gate
from proof.partners.networks import AllowlistMode
from proof.partners.rate_limits import set_rate
from proof.partners.rates import CallClass, RateExceededError
from proof.partners.types import CredentialKind, Environment

Run = Callable[[Any], Any]
API_KEY, CLIENT_TOKEN = CredentialKind.API_KEY, CredentialKind.CLIENT_TOKEN
PRODUCTION, SANDBOX = Environment.PRODUCTION, Environment.SANDBOX
SUBMIT = CallClass.SUBMIT
HERE, ELSEWHERE = IPv4Address("192.0.2.1"), IPv4Address("198.51.100.1")


class Door:
    """One process's gate at which a partner calls again and again from one address."""

    def __init__(self, platform: Platform, clock: Any = None) -> None:
        self.directory = Directory(platform.database)
        self.gate = Gate(platform.database, self.directory, clock or platform.clock)

    async def enter(self, token: str, address: IPv4Address, kind: CredentialKind = API_KEY) -> None:
        credential = await self.gate.authenticate(token, PRODUCTION, address)
        await self.gate.admit(credential, kind, address, SUBMIT)
        self.gate.note_admitted(token, credential, address)

    def again(
        self,
        token: str,
        address: IPv4Address,
        kind: CredentialKind = API_KEY,
        environment: Environment = PRODUCTION,
    ) -> bool:
        return self.gate.readmit(token, environment, address, kind, SUBMIT) is not None


def test_who_was_let_in_is_let_in_again_until_the_next_look(run: Run, platform: Platform) -> None:
    async def scene() -> None:
        partner = await onboard(
            platform.database, platform.vault, timestamp_networks=("192.0.2.0/24",)
        )
        door, token = Door(platform), issued(partner).api_key
        assert not door.again(token, HERE)
        await door.enter(token, HERE)
        assert door.again(token, HERE)
        assert not door.again(token, ELSEWHERE)
        assert not door.again(token, HERE, CLIENT_TOKEN)
        assert not door.again(token, HERE, environment=SANDBOX)
        assert not door.again(token + "0", HERE)
        assert not door.again(issued(partner).client_token, HERE)
        with pytest.raises(AddressNotAllowedError):
            await door.enter(token, ELSEWHERE)
        assert not door.again(token, ELSEWHERE)
        await door.directory._check(0)
        assert not door.again(token, HERE)

    run(scene())


def test_what_changed_before_it_was_noted_is_not_overlooked(run: Run, platform: Platform) -> None:
    async def scene() -> None:
        partner = await onboard(platform.database, platform.vault)
        door, token = Door(platform), issued(partner).api_key
        before = await door.gate.authenticate(token, PRODUCTION, HERE)
        await door.gate.admit(before, API_KEY, HERE, SUBMIT)
        await suspend(platform.database, partner)
        await door.directory._check(0)
        await door.gate.authenticate(token, PRODUCTION, HERE)
        door.gate.note_admitted(token, before, HERE)
        assert not door.again(token, HERE)

    run(scene())


def test_nobody_is_let_in_again_after_the_end_of_a_token(run: Run, platform: Platform) -> None:
    async def scene() -> None:
        partner, clock = await onboard(platform.database, platform.vault), TurnedClock()
        token = issued(partner).api_key
        await execute(
            platform.database,
            "UPDATE credentials SET expires_at = $2 WHERE key_id = $1",
            token[11:24],
            clock.now() + timedelta(hours=1),
        )
        door = Door(platform, clock)
        await door.enter(token, HERE)
        clock.turn(3599)
        assert door.again(token, HERE)
        clock.turn(1)
        assert not door.again(token, HERE)

    run(scene())


def test_a_look_that_is_too_old_lets_nobody_in_again(run: Run, platform: Platform) -> None:
    async def scene() -> None:
        partner = await onboard(platform.database, platform.vault)
        door, token = Door(platform), issued(partner).api_key
        await door.enter(token, HERE)
        door.directory._checked_at -= TRUST_S + 1
        assert not door.again(token, HERE)

    run(scene())


def test_who_is_only_reported_is_reported_each_time(run: Run, platform: Platform) -> None:
    async def scene() -> None:
        partner = await onboard(
            platform.database, platform.vault, timestamp_networks=("192.0.2.0/24",)
        )
        async with platform.database.transaction() as tx:
            place = Place(partner.partner_id, PRODUCTION, API_KEY)
            await set_mode(tx, place, AllowlistMode.REPORT, OPERATOR)
        door, token = Door(platform), issued(partner).api_key
        await door.enter(token, ELSEWHERE)
        assert not door.again(token, ELSEWHERE)

    run(scene())


def test_calls_of_the_same_caller_are_counted(run: Run, platform: Platform) -> None:
    async def scene() -> None:
        partner = await onboard(platform.database, platform.vault)
        async with platform.database.transaction() as tx:
            await set_rate(tx, partner.partner_id, PRODUCTION, SUBMIT, Rate(4, 86_400, 4), OPERATOR)
        door, token = Door(platform), issued(partner).api_key
        let_in = 0
        for _ in range(8):
            let_in += door.again(token, HERE)
            with suppress(RateExceededError):
                await door.enter(token, HERE)
                let_in += 1
        assert let_in == 4

    run(scene())
