"""What the simulator tells of itself."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal

from proof.core.loop import when_due
from proof.outbound import OutboundClient
from proof.partners.types import Environment
from proof.ramp.clock import ADVANCED
from proof.ramp.providers.protocols import AmountRange, CredentialField, ProviderStatus
from proof.ramp.providers.registry import Background, Premises, Provider
from proof.ramp.providers.simulator.adapter import PLAYED, SimulatorAdapter
from proof.ramp.providers.simulator.background import OwnAddressPolicy, Simulator
from proof.ramp.providers.simulator.wire import VERDICTS, Leg

# Steps that are due one after the other are taken together.
_PAUSE_S = 0.2

_ABOUT = """\
Plays the outcomes of the [sandbox](sandbox.md), without money. Every sandbox has it until it is given
another provider; in production it would move nothing, so it cannot be added there."""


@asynccontextmanager
async def _background(premises: Premises) -> AsyncIterator[Background]:
    base_url = premises.base_urls[Environment.SANDBOX]
    client = OutboundClient(OwnAddressPolicy(base_url=base_url))
    try:
        simulator = Simulator(premises.database, premises.vault, premises.clock, client, base_url)
        step = when_due(simulator.due_in, simulator.step, _PAUSE_S)
        yield Background(step, woken_by=(PLAYED, ADVANCED))
    finally:
        await client.aclose()


def _statuses(leg: Leg) -> dict[str, ProviderStatus]:
    return {status: verdict for (found, status), verdict in VERDICTS.items() if found is leg}


PROVIDER = Provider(
    name="sandbox",
    about=_ABOUT,
    adapter=SimulatorAdapter,
    fields=(CredentialField("sign_key", "what it signs callbacks with", generated=True),),
    statuses={leg: _statuses(leg) for leg in Leg},
    # Wide enough for the amounts that choose an outcome, of whatever coin.
    amounts={
        "BTC": AmountRange(Decimal("0.00001"), Decimal(1_000)),
        "ETH": AmountRange(Decimal("0.0001"), Decimal(10_000)),
        "USDT": AmountRange(Decimal(1), Decimal(1_000_000)),
        "USDC": AmountRange(Decimal(1), Decimal(1_000_000)),
    },
    simulates=True,
    background=_background,
)
