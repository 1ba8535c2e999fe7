"""The commands of a partner, in this process, where what answers is not Proof or nothing is asked."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer
from tests.support.middleman import Middleman, middleman
from typer.testing import CliRunner, Result

from proof.cli.installation import Installation, ServerOptions
from proof.cli.log import commands as log
from proof.cli.proofs import fetching, stamping, verifying

KEY = "proof_live_0jRCnJxdWbzFQ_secret_1r8r2g"
Proof = Callable[..., Result]


def no_installation(options: ServerOptions) -> Installation:
    """No command of a caller opens one."""
    raise AssertionError("a caller's command opened the installation")


@pytest.fixture
def stranger() -> Iterator[Middleman]:
    """A server that is not Proof."""
    with middleman() as found:
        yield found


@pytest.fixture
def proof(stranger: Middleman, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Proof:
    """Runs `proof <arguments>` in an empty folder with the stranger's URL and a key."""
    app = typer.Typer()
    for commands in (stamping, fetching, verifying):
        commands.register(app)
    log.register(app, no_installation)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object, given: bytes | None = None, **environment: str) -> Result:
        settings = {"PROOF_URL": stranger.url, "PROOF_API_KEY": KEY} | environment
        result = CliRunner().invoke(app, list(map(str, arguments)), given, env=settings)
        assert result.exception is None or isinstance(result.exception, SystemExit)
        assert KEY not in result.output
        return result

    return run
