"""A served platform with a relay, and partners that watch their transactions."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Self
from uuid import UUID

from tests.support.application import Platform
from tests.support.partners import issued
from tests.support.ramp import hear, make_transaction, said
from tests.support.websockets import Watcher, relaying, serving, watching

from proof.partners.types import Environment
from proof.ramp.providers.protocols import ProviderStatus

HERE = {"production_networks": ("127.0.0.1", "203.0.113.0/24"), "sandbox_networks": ("127.0.0.1",)}


def open_watches(platform: Platform) -> int:
    """How many WebSockets the process has open."""
    return sum(map(len, platform.watches._by_caller.values()))


class Scene:
    """A served platform with a relay; partners that call from loopback."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(relaying(self.platform.database))
        self.port = await self._stack.enter_async_context(serving(self.platform.client.app))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def partner(self, environment: Environment = Environment.PRODUCTION) -> "Party":
        partner = await self.platform.onboard("Acme", **HERE)
        return Party(self.platform, partner, environment)

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[tuple["Party", UUID, Watcher]]:
        """A new partner that watches a new transaction of its own; its first message is yet to be read."""
        party = await self.partner()
        transaction = await party.transaction()
        async with watching(self.port, transaction, party.token) as watcher:
            yield party, transaction, watcher


class Party:
    """A partner's side of one environment."""

    def __init__(self, platform: Platform, partner: Any, environment: Environment) -> None:
        self.platform = platform
        self.partner = partner
        handed = issued(partner, environment)
        self.token, self.id = handed.client_token, handed.partner_environment_id
        self.environment = environment
        self.prefix = "" if environment is Environment.PRODUCTION else "/sandbox"

    async def transaction(self, kind: str = "buy") -> UUID:
        return await make_transaction(
            self.platform.database, self.platform.vault, self.id, kind=kind
        )

    async def hear(self, transaction: UUID, *verdicts: ProviderStatus, **how: Any) -> None:
        sayings = [said(transaction, verdict, **how) for verdict in verdicts]
        await hear(self.platform.database, self.platform.vault, *sayings)
