"""The commands of a partner, in this process, against a real Proof over HTTP; between the two is what
loses, doubles and alters calls. Hashes go into the log and into Bitcoin when a test says so."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import typer
from tests.support.anchors import BLOCK, BLOCKS, SCHEDULE, HandClock
from tests.support.application import Platform
from tests.support.fake_chain import FakeChain, FakeNetwork
from tests.support.middleman import Middleman, middleman
from tests.support.partners import issued
from tests.support.served_platform import ServedPlatform, platform_served
from typer.testing import CliRunner, Result

from proof.api.services import Services
from proof.cli.installation import Installation, ServerOptions
from proof.cli.log import commands as log
from proof.cli.proofs import fetching, stamping, verifying
from proof.db.embedded import EmbeddedCluster
from proof.partners.types import Environment, OnboardedPartner
from proof.timestamps.anchors.anchoring import Anchorer
from proof.timestamps.anchors.kinds import Pace
from proof.timestamps.proofs.service import Proofs
from proof.timestamps.submissions.committer import Committer
from proof.timestamps.submissions.service import Submissions
from proof.timestamps.types import Chains, Currency

Proof = Callable[..., Result]


def no_installation(options: ServerOptions) -> Installation:
    """No command of a caller opens one."""
    raise AssertionError("a caller's command opened the installation")


_CHAINS: Chains = {Environment.PRODUCTION: (Currency.BTC,)}
_PACES = {(Environment.PRODUCTION, Currency.BTC): Pace(SCHEDULE.every, BLOCK, BLOCKS)}


@dataclass
class Bitcoin:
    """The chain that the server's production is anchored in; the chain alone is a fake."""

    network: FakeNetwork = field(default_factory=FakeNetwork)
    committers: list[Committer] = field(default_factory=list)

    def enabled(self, services: Services) -> Services:
        committer = Committer(services.database, _CHAINS)
        committer.start()
        self.committers.append(committer)
        return replace(
            services,
            submissions=Submissions(services.database, committer),
            proofs=Proofs(services.database, services.clock, _CHAINS, _PACES),
        )

    @asynccontextmanager
    async def working(self, _platform: Platform) -> AsyncIterator[None]:
        self.network.mine()
        yield
        for committer in self.committers:
            await committer.close()


@dataclass
class Server:
    """The server with its operator's and its worker's hands."""

    served: ServedPlatform
    bitcoin: Bitcoin
    clock: HandClock = field(default_factory=HandClock)

    def partner(self, **changes: Any) -> OnboardedPartner:
        return self.served.run(self.served.platform.onboard(**changes))

    def seal(self) -> None:
        """What was submitted so far has its proof in the log."""
        self.served.run(self.served.platform.seal())

    def anchor(self) -> None:
        """What was submitted so far has its proof in Bitcoin too."""
        self.seal()
        self.clock.pass_(SCHEDULE.every)
        platform, network = self.served.platform, self.bitcoin.network
        chain = FakeChain(network)
        anchorer = Anchorer(platform.database, self.clock, Environment.PRODUCTION, chain, SCHEDULE)
        self.served.run(anchorer.step())
        network.mine(3)
        self.served.run(anchorer.step())

    def act(self, work: Callable[..., Any], *values: Any, **named: Any) -> None:
        """Something an operator does to the database, which the server then knows."""
        self.served.run(work(self.served.platform.database, *values, **named))
        self.served.run(self.served.platform.poll())


@pytest.fixture(scope="package")
def server(cluster: EmbeddedCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    bitcoin = Bitcoin()
    folder = tmp_path_factory.mktemp("client")
    with platform_served(cluster, folder, bitcoin.working, altered=bitcoin.enabled) as served:
        yield Server(served, bitcoin)


@pytest.fixture
def line(server: Server) -> Iterator[Middleman]:
    with middleman(server.served.url) as found:
        yield found


@pytest.fixture
def partner(server: Server) -> OnboardedPartner:
    return server.partner()


@pytest.fixture
def proof(
    line: Middleman, partner: OnboardedPartner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Proof:
    """Runs `proof <arguments>` in an empty folder as the partner, in production."""
    app = typer.Typer()
    for commands in (stamping, fetching, verifying):
        commands.register(app)
    log.register(app, no_installation)
    monkeypatch.chdir(tmp_path)
    key = issued(partner).api_key

    def run(*arguments: object, **environment: str) -> Result:
        settings = {"PROOF_URL": line.url, "PROOF_API_KEY": key} | environment
        result = CliRunner().invoke(app, list(map(str, arguments)), env=settings)
        assert result.exception is None or isinstance(result.exception, SystemExit)
        assert key not in result.output
        return result

    return run
