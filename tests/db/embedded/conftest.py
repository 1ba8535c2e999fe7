"""One cluster shared by the tests that only look; programs and connections for the others."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import proof
from proof.db.embedded import EmbeddedCluster

SUPERVISE = Path(__file__).with_name("supervise.py")


class Supervised:
    """A process that runs supervise.py."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process

    def server_pid(self) -> int:
        """Wait until its server is ready; return the process id of postgres."""
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())

    def stop(self) -> int:
        """Let it stop in order; return its exit code."""
        self.process.communicate()
        return self.process.returncode

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


Supervise = Callable[..., Supervised]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shared") / "data"


@pytest.fixture(scope="module")
def cluster(data_dir: Path) -> Iterator[EmbeddedCluster]:
    shared = EmbeddedCluster(data_dir)
    with shared.start():
        yield shared


@pytest.fixture
def supervise() -> Iterator[Supervise]:
    """Start supervise.py, maybe behind a command that changes the user; kill it at the end."""
    with ExitStack() as stack:

        def start(data_dir: Path, *statements: str, behind: tuple[str, ...] = ()) -> Supervised:
            sources = Path(next(iter(proof.__path__))).parent
            process = subprocess.Popen(
                [*behind, sys.executable, str(SUPERVISE), str(data_dir), *statements],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, "PYTHONPATH": str(sources)},
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            return Supervised(process)

        yield start
