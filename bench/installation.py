"""A Proof of its own for a benchmark, below a temporary folder that goes away with it."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proof.config import Settings, load_settings
from proof.db.embedded.passwords import read_passwords
from proof.db.embedded.provision import SUPERUSER
from proof.main.parts.database import arguments, opened, started
from proof.main.server.preparation import prepare
from proof.partners.access.buckets import Rate
from proof.partners.access.rates import CallClass, set_rate
from proof.partners.audit import Actor
from proof.partners.types import Environment

HOST = "127.0.0.1"
_START_S = 60.0
_STOP_S = 60.0
_LOG_TAIL_CHARS = 2_000
# More than any machine answers.
_ANY_RATE = Rate(1_000_000, 1, 1_000_000)


class NotStartedError(Exception):
    """A server ended or did not answer in time."""


@dataclass(frozen=True, slots=True)
class Served:
    """A running Proof: API processes, one worker, the embedded database; `process` is the supervisor."""

    process: int
    port: int
    api_key: str
    settings: Settings
    client_token: str
    partner_id: str

    def run(self, *arguments: str) -> str:
        """`proof <arguments>` for this installation; what it prints."""
        done = subprocess.run(
            [sys.executable, "-m", "proof", *arguments],
            env=_environment(self.settings),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return done.stdout


@contextmanager
def database_only() -> Iterator[Settings]:
    """The embedded database alone, at the newest revision; no worker touches its rounds."""
    with tempfile.TemporaryDirectory(prefix="proof-bench-") as folder:
        settings = load_settings({}, data_dir=Path(folder) / "data")
        with started(settings):
            asyncio.run(prepare(settings))
            yield settings


@contextmanager
def proof(processes: int, *, within: Sequence[str] = (), **variables: str) -> Iterator[Served]:
    """`proof serve` with that many HTTP processes, one partner, and environment variables beside.

    `within` is a command that runs the one appended to it.
    """
    with tempfile.TemporaryDirectory(prefix="proof-bench-") as folder, ExitStack() as stack:
        data, port = Path(folder) / "data", free_port()
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PROOF_")},
            "XDG_STATE_HOME": folder,
            "PROOF_DATA_DIR": str(data),
            "PROOF_HOST": HOST,
            "PROOF_PORT": str(port),
            "PROOF_PROCESSES": str(processes),
            **variables,
        }
        command = [*within, sys.executable, "-m", "proof", "serve"]
        with (Path(folder) / "log").open("wb") as log:
            server = subprocess.Popen(command, env=environment, stderr=log)
        stack.callback(_stop, server)
        _await_port(port, server, Path(folder) / "log")
        settings = load_settings(variables, data_dir=data, host=HOST, port=port)
        handed = _handed(settings)
        yield Served(
            server.pid,
            port,
            handed["production"]["api_key"],
            settings,
            handed["production"]["client_token"],
            handed["partner_id"],
        )


@contextmanager
def empty(processes: int) -> Iterator[int]:
    """The empty endpoint in that many processes; yields their port."""
    port = free_port()
    with ExitStack() as stack:
        for _ in range(processes):
            server = subprocess.Popen([sys.executable, "-m", "bench.empty", str(port)])
            stack.callback(_stop, server)
            _await_port(port, server, None)
        yield port


@contextmanager
def module(name: str) -> Iterator[int]:
    """`python -m name PORT`, a server of the benchmark's own; yields its port."""
    port = free_port()
    server = subprocess.Popen([sys.executable, "-m", name, str(port)])
    try:
        _await_port(port, server, None)
        yield port
    finally:
        _stop(server)


@contextmanager
def inserting(settings: Settings) -> Iterator[int]:
    """The endpoint of one INSERT, on the installation's own database; yields its port."""
    port = free_port()
    environment = {**os.environ, "PROOF_DATA_DIR": str(settings.data_dir)}
    server = subprocess.Popen([sys.executable, "-m", "bench.inserting", str(port)], env=environment)
    try:
        _await_port(port, server, None)
        yield port
    finally:
        _stop(server)


def superuser(settings: Settings) -> dict[str, Any]:
    """asyncpg's arguments for the embedded server's superuser, who alone may ask for a checkpoint."""
    passwords = read_passwords(settings.data_dir / "keys" / "postgresql.json")
    return {
        **arguments(settings, "owner"),
        "user": SUPERUSER,
        "password": passwords.superuser,
    }


def partner(settings: Settings) -> dict[str, Any]:
    """What a new partner of a running installation is handed."""
    return _handed(settings)


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _handed(settings: Settings) -> dict[str, Any]:
    """What a new partner is handed; loopback may call production, as often as it likes."""
    added = subprocess.run(
        [
            *(sys.executable, "-m", "proof", "partner", "add", "--json"),
            *("--name", "Bench", "--email", "bench@bench.example", "--ip", "127.0.0.0/8"),
        ],
        env=_environment(settings),
        stdout=subprocess.PIPE,
        check=True,
    )
    handed: dict[str, Any] = json.loads(added.stdout)
    asyncio.run(_unhurried(settings, handed["partner_id"]))
    return handed


def _environment(settings: Settings) -> dict[str, str]:
    """What a command of this installation is run with."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("PROOF_")},
        "PROOF_DATA_DIR": str(settings.data_dir),
        "PROOF_DATABASE_URL": settings.database_url,
        "PROOF_DATABASE_OWNER_URL": settings.database_owner_url,
    }


async def _unhurried(settings: Settings, partner_id: str) -> None:
    async with opened(settings) as database, database.transaction() as tx:
        for environment in Environment:
            for call_class in CallClass:
                await set_rate(tx, partner_id, environment, call_class, _ANY_RATE, Actor("bench"))


def _await_port(port: int, server: "subprocess.Popen[bytes]", log: Path | None) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        if server.poll() is not None:
            said = log.read_text()[-_LOG_TAIL_CHARS:] if log else ""
            raise NotStartedError(f"the server ended with {server.returncode}\n{said}")
        try:
            socket.create_connection((HOST, port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
            continue
        return
    raise NotStartedError(f"nothing listens on port {port} after {_START_S:g} s")


def _stop(server: "subprocess.Popen[bytes]") -> None:
    server.terminate()
    try:
        server.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
