"""One PostgreSQL for the whole run, one migrated database for each test that asks for it."""

import asyncio
import gc
import inspect
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict
from functools import cache, partial
from pathlib import Path
from typing import Any, NoReturn, TypeGuard, TypeVar

import pytest
import structlog
import typer.testing
from hypothesis import HealthCheck, settings
from tests.support.copying import CLUSTER, copied, copies_of, migrated_cluster
from typer.main import get_command

from proof.core.secrets import Vault
from proof.db import Database
from proof.db.embedded import EmbeddedCluster

T = TypeVar("T")
Run = Callable[[Awaitable[T]], T]

_numbers = itertools.count()

# Databases and servers of the tests write without end and are read once: in memory that takes a third of
# the time, and on a busy disk a tenth. Below it the room left is the machine's own business.
_MEMORY = Path("/dev/shm")  # noqa: S108 - each run has a folder of its own in it
_ROOM_BYTES = 2 * 2**30

_TESTS = Path(__file__).parent
_ORDER = ("e2e", "db", "unit")

# Nobody is called whom the system's authorities vouch for, and reading them takes each process of a test
# thirty milliseconds for every TLS context.
os.environ["SSL_CERT_FILE"] = os.devnull

# Typer makes all commands anew for each that a test runs, which takes longer than most of them.
typer.testing._get_command = cache(get_command)  # type: ignore[attr-defined]

# With colours and every local variable a traceback takes forty milliseconds, and some tests have hundreds.
structlog.get_config()["processors"][-1].exception_formatter = structlog.dev.plain_traceback

# How long an example takes says more about the machine's load than about Proof.
settings.register_profile("proof", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("proof")


def pytest_configure(config: pytest.Config) -> None:
    """Put temporary files into a folder of this run, in memory where there is room; workers of a parallel
    run inherit it."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        return
    for left in _MEMORY.glob("p-*-*"):
        # A run that was killed leaves its folder.
        if not Path("/proc", left.name.split("-")[1]).exists():
            shutil.rmtree(left, ignore_errors=True)
    room = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _ROOM_BYTES
    folder = tempfile.mkdtemp(prefix=f"p-{os.getpid()}-", dir=_MEMORY if room else None)
    Path(folder).chmod(0o711)  # the embedded PostgreSQL of root is another user's process
    os.environ["TMPDIR"] = tempfile.tempdir = folder
    # Where servers keep their marks; the home of whoever runs the tests is none of theirs.
    os.environ["XDG_STATE_HOME"] = str(Path(folder, "state"))
    os.environ.pop("STATE_DIRECTORY", None)
    if config.option.basetemp is None:
        config.option.basetemp = Path(folder, "t")  # short: there are Unix sockets below it
    config.add_cleanup(partial(shutil.rmtree, folder, ignore_errors=True))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """All that is collected stays to the end: looking for garbage in it takes a tenth of the time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what waits longest, and give every test an id of its own: of those that share one, a
    parallel run makes only the last.

    pytest 9.2 leaves out of the id what Schemathesis adds to a name, the operation.
    """
    items.sort(key=_place)
    for item in items:
        if item.parent is not None and not item.nodeid.endswith(item.name):
            item._id = item.parent._id.child(item.name)
    shared = [name for name, times in Counter(entry.nodeid for entry in items).items() if times > 1]
    if shared:
        raise pytest.UsageError(f"several tests have the same id; name them apart: {shared}")


def _place(item: pytest.Item) -> int:
    """Tests with servers, browsers and nodes come first: while one waits there are others to run beside it,
    and none is left alone at the end."""
    folder = item.path.relative_to(_TESTS).parts[0]
    return _ORDER.index(folder) if folder in _ORDER else len(_ORDER)


def pytest_itemcollected(item: pytest.Item) -> None:
    """An `async def` test runs on the loop of `run`: that of its module, or one of its own."""
    if _is_async(item) and "run" not in item.fixturenames:
        item.fixturenames.append("run")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not _is_async(pyfuncitem):
        return None
    found: dict[str, Any] = pyfuncitem.funcargs
    named = {name: found[name] for name in inspect.signature(pyfuncitem.obj).parameters}
    run: Run[None] = found["run"]
    run(pyfuncitem.obj(**named))
    return True


def _is_async(item: pytest.Item) -> TypeGuard[pytest.Function]:
    return isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.function)


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """A command under test sets up the log for its own standard error, which ends with the test."""
    yield
    structlog.reset_defaults()


def _end_as_another(_path: str, program: list[str], environment: dict[str, str]) -> NoReturn:
    done = subprocess.run(program, env=environment, capture_output=True, text=True, check=False)
    sys.stdout.write(done.stdout)
    sys.stderr.write(done.stderr)
    raise SystemExit(done.returncode)


@pytest.fixture(scope="session", autouse=True)
def a_command_replaces_no_test() -> Iterator[None]:
    """`proof serve` becomes another program; called within a test, that program runs beside the test."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "execve", _end_as_another)
        yield


@pytest.fixture(scope="session")
def cluster() -> Iterator[EmbeddedCluster]:
    """A running embedded PostgreSQL with a migrated database to copy from."""
    if folder := os.environ.get(CLUSTER):
        with copies_of(EmbeddedCluster(Path(folder))) as found:
            yield found
        return
    with migrated_cluster() as found:
        yield found


@pytest.fixture
def run() -> Iterator[Callable[[Awaitable[Any]], Any]]:
    """Runs coroutines of a test on one event loop."""
    with asyncio.Runner() as runner:

        async def awaited(value: Awaitable[Any]) -> Any:
            return await value

        yield lambda value: runner.run(awaited(value))


@pytest.fixture
def database_arguments(cluster: EmbeddedCluster) -> Iterator[dict[str, Any]]:
    """asyncpg arguments of an empty, migrated database, as the application role."""
    with copied(cluster, f"test_{os.getpid()}_{next(_numbers)}") as arguments:
        yield arguments


@pytest.fixture
def owner_arguments(cluster: EmbeddedCluster, database_arguments: dict[str, Any]) -> dict[str, Any]:
    """The same database, as its owner."""
    return asdict(cluster.connection("owner")) | {"database": database_arguments["database"]}


@pytest.fixture
def database(run: Run[Any], database_arguments: dict[str, Any]) -> Iterator[Database]:
    """The same database, as a pool on the loop of `run`."""
    opened: Database = run(Database.open(database_arguments))
    yield opened
    run(opened.close())


@pytest.fixture
def vault() -> Vault:
    return Vault([bytes(range(32))])
