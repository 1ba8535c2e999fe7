"""A platform, its sandbox's simulator, and a partner with transactions."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from tests.support.application import CALLER, Stage, staged
from tests.support.partners import issued
from tests.support.ramp import make_transaction
from tests.support.simulator import Loopback, TurnedClock, World

from proof.db.embedded import EmbeddedCluster
from proof.partners.types import Environment, OnboardedPartner


@dataclass
class Scene:
    """Everything a test acts with."""

    stage: Stage
    world: World
    partner: OnboardedPartner

    @property
    def sandbox(self) -> int:
        return issued(self.partner, Environment.SANDBOX).partner_environment_id

    def run(self, awaitable: Any) -> Any:
        return self.stage.run(awaitable)

    def transaction(self, kind: str = "buy", amount: str = "25.5", **how: Any) -> UUID:
        """A pending transaction of the sandbox."""
        at = self.stage.platform
        now = self.world.clock.now()
        made: UUID = self.run(
            make_transaction(
                at.database, at.vault, self.sandbox, kind=kind, amount=amount, at=now, **how
            )
        )
        return made

    def call(self, target: str, body: Any, environment: Environment = Environment.SANDBOX) -> Any:
        """POST with the sandbox's client token, to the sandbox unless it is told otherwise."""
        prefix = "/sandbox" if environment is Environment.SANDBOX else ""
        token = issued(self.partner, environment).client_token
        return self.run(
            self.stage.platform.call("POST", prefix + target, body, token=token, address=CALLER)
        )

    def simulate(self, transaction: UUID, outcome: str) -> Any:
        return self.call(f"/simulate/{transaction}", {"outcome": outcome})


@pytest.fixture(scope="module")
def stage(cluster: EmbeddedCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder: Path = tmp_path_factory.mktemp("providers")
    with staged(cluster, folder, clock=TurnedClock()) as found:
        yield found


@pytest.fixture
def scene(stage: Stage) -> Scene:
    clock = stage.platform.clock
    assert isinstance(clock, TurnedClock)
    partner = stage.run(stage.platform.onboard(sandbox_networks=("203.0.113.0/24",)))
    return Scene(stage, World(stage.platform, clock, Loopback(stage.platform)), partner)
