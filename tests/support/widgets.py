"""A Proof with its simulator for the hosted page: the real application over real HTTP on real PostgreSQL,
with the worker's loops beside it, and partners whose sandbox's time a test lets pass."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from tests.support.application import CALLER, POLICY, Answer, Platform
from tests.support.partners import suspend
from tests.support.served_platform import ServedPlatform, platform_served
from tests.support.sessions import Shop, open_session, ramp_partner

from proof.core.clock import SystemClock
from proof.db.embedded import EmbeddedCluster
from proof.events import Listener, waking
from proof.outbound import OutboundClient
from proof.partners.audit import Actor
from proof.partners.records.types import Wallet, WidgetConfig
from proof.partners.types import Environment
from proof.ramp.providers.accounts import add_account, remove_account
from proof.ramp.providers.protocols import Reach
from proof.ramp.providers.registry import Premises, Providers, backgrounds
from proof.ramp.providers.simulator import operations
from proof.ramp.providers.simulator.play import Operation
from proof.worker.loops import provider_loops, ramp_loops

SANDBOX, PRODUCTION = Environment.SANDBOX, Environment.PRODUCTION
# Where the bought coins go, and where a sell's come back to.
WALLETS = {
    "ERC20": "0x742d35Cc6634C0532925a3b844Bc454e4438f44e",
    "TRC20": "TNXcYBwoZdPsAkAExZTfKFP6shBeh4W4Rf",
    "BTC": "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq",
}
_CURRENCIES = {"ERC20": "USDT", "TRC20": "USDT", "BTC": "BTC"}
_VERIFIED = """
UPDATE ramp_users SET kyc = 'verified' WHERE partner_environment_id = $1 AND partner_user_id = $2
"""


class WidgetServer(ServedPlatform):
    """Proof with its simulator, and the partners that sell by it."""

    def base_url(self, environment: Environment = SANDBOX) -> str:
        return self.platform.base_urls[environment]

    def partner(
        self, *, config: Mapping[str, Any] | None = None, widget_origins: tuple[str, ...] = ()
    ) -> "WidgetPartner":
        """A new partner named Acme Exchange that buys and sells; `config` are fields of WidgetConfig, the
        origins those of its sandbox."""
        wanted = {"fiat_currency": "EUR", "fiat_currencies": ("EUR", "USD"), **(config or {})}
        found = self.run(
            ramp_partner(
                self.platform,
                name="Acme Exchange",
                provider=False,
                off_ramp=True,
                currencies=("USDT", "BTC"),
                networks=tuple(WALLETS),
                wallets=tuple(
                    Wallet(_CURRENCIES[network], network, address)
                    for network, address in WALLETS.items()
                ),
                widget_config=WidgetConfig(**wanted),
                sandbox={"widget_origins": widget_origins},
            )
        )
        return WidgetPartner(self, found)


@dataclass
class WidgetPartner:
    """A partner's backend, and its operator."""

    server: WidgetServer
    shop: Shop
    environment: Environment = SANDBOX
    users: int = field(default=0)

    @property
    def widget_id(self) -> str:
        return self.shop.widget_id(self.environment)

    def open(self, *, verified: bool = True, **changes: Any) -> dict[str, Any]:
        """The answer of POST /widget/session; each has a user of its own, whose identity is known already
        unless it is not to be `verified`."""
        self.users += 1
        body = {
            "partner_user_id": f"user {self.users}",
            "currency": "BTC",
            "network": "BTC",
            "amount": "0.015",
            **changes,
        }
        answer = self.server.run(
            open_session(self.server.platform, self.shop, self.environment, body)
        )
        assert answer.status == 200, answer.body
        if verified:
            self.execute(_VERIFIED, self.owner, body["partner_user_id"])
        found: dict[str, Any] = answer.json
        return found

    @property
    def owner(self) -> int:
        return next(
            environment.partner_environment_id
            for environment in self.shop.partner.environments
            if environment.environment is self.environment
        )

    def call(self, method: str, path: str, body: Any = None) -> Answer:
        """One call of its backend's."""
        return self.server.run(
            self.shop.call(
                self.server.platform, self.environment, method, path, body, address=CALLER
            )
        )

    def later(self, seconds: int) -> None:
        """Let the sandbox's time pass."""
        assert self.call("POST", "/clock/advance", {"seconds": seconds}).status == 200

    def transaction(self, answer: Mapping[str, Any]) -> dict[str, Any]:
        """What its backend is answered about a transaction."""
        name = answer["merchant_transaction_id"]
        found: dict[str, Any] = self.call("GET", f"/widget/transactions/{name}").json
        return found

    def execute(self, statement: str, *values: Any) -> None:
        """One statement of the operator's."""

        async def executed() -> None:
            async with self.server.platform.database.connection() as connection:
                await connection.execute(statement, *values)

        self.server.run(executed())

    def attempts(self, answer: Mapping[str, Any]) -> list[str]:
        """What the simulator has made of each attempt to pay."""

        async def read() -> Operation | None:
            async with self.server.platform.database.connection() as connection:
                return await operations.read(connection, UUID(answer["merchant_transaction_id"]))

        found = self.server.run(read())
        assert found is not None
        return [str(attempt.result) for attempt in found.attempts]

    def suspend(self) -> None:
        self.server.run(suspend(self.server.platform.database, self.shop.partner))

    def remove_provider(self) -> None:
        """What `proof provider remove` does."""
        at = self.server.platform

        async def removed() -> None:
            async with at.database.transaction() as tx:
                await remove_account(
                    tx, self.shop.partner.partner_id, self.environment, Actor("operator")
                )

        self.server.run(removed())

    def give_provider(self, provider: str, credentials: Mapping[str, str]) -> None:
        """What `proof provider add` does."""
        at = self.server.platform

        async def given() -> None:
            async with at.database.transaction() as tx:
                await add_account(
                    tx,
                    at.vault,
                    self.shop.partner.partner_id,
                    self.environment,
                    provider,
                    credentials,
                    Actor("operator"),
                )

        self.server.run(given())


@contextmanager
def widget_served(cluster: EmbeddedCluster, folder: Path) -> Iterator[WidgetServer]:
    """A Proof on a database of its own while the block lasts; nothing of it is on this thread's loop."""
    with platform_served(cluster, folder, _working) as found:
        yield WidgetServer(found.platform, found.url, found.loop)


@asynccontextmanager
async def _working(platform: Platform) -> AsyncIterator[None]:
    """The worker's loops of the ramp."""
    at, clock = platform, SystemClock()
    asking = OutboundClient(POLICY)
    providers = Providers(Reach(asking, at.database, clock))
    premises = Premises(at.database, at.vault, clock, at.base_urls)
    async with backgrounds(premises) as steps:
        loops = [*ramp_loops(at.database, at.vault, providers, clock), *provider_loops(steps)]
        tasks = [asyncio.create_task(loop.run()) for loop in loops]
        listening = asyncio.create_task(Listener(at.database, waking(loops)).run())
        try:
            yield
        finally:
            listening.cancel()
            for loop in loops:
                loop.stop()
            await asyncio.gather(*tasks)
            with suppress(asyncio.CancelledError):
                await listening
            await asking.aclose()
