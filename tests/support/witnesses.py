"""Witnesses on loopback as their operators run them: `proof witness`, and aics-witness, which another
author wrote and which is unmodified. That one cosigns with an Ed25519 key (type 0x04) only.
"""

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.ports import free_port
from tests.support.tools import aics

_READY_S = 120.0
_STOP_S = 60.0
_POLL_S = 0.02


class _Process:
    """A server that says by GET /healthz that it is there. `start` may follow `stop` or `kill`: same
    port, same keys, same memory."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._log = folder / "log"
        self.environment = environment
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self.process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    def command(self, *arguments: str) -> Sequence[str]:
        raise NotImplementedError

    def start(self) -> None:
        """Start it and wait until it answers. Raises RuntimeError with its log otherwise."""
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command("serve"),
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + _READY_S
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"the witness did not start:\n{self.log()}")
            time.sleep(_POLL_S)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self.kill()
            self.process = None

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def log(self) -> str:
        """All that it has written so far."""
        return self._log.read_text(errors="replace")

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=5)
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _run(self, *arguments: str) -> str:
        done = subprocess.run(
            self.command(*arguments),
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=_READY_S,
        )
        if done.returncode:
            raise RuntimeError(f"{arguments[0]} failed:\n{done.stderr}")
        return done.stdout


class ProofWitness(_Process):
    """`proof witness` in `folder`, which need not exist: keys and memory in `w`, this machine's mark in
    `s`.

    `url` is its submission and monitoring prefix, `vkeys` its Ed25519 and its ML-DSA-44 verifier key,
    `policy` the lines that name them as one party, with its URL, and `group` the name of that group.
    """

    def __init__(self, folder: Path, name: str = "proof.example/w1") -> None:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PROOF_")}
        super().__init__(folder, {**environment, "XDG_STATE_HOME": str(folder / "s")})
        self.name = name
        self.folder = folder / "w"
        made = json.loads(self._run("init", str(self.folder), "--name", name))
        self.vkeys: tuple[str, str] = tuple(made["vkeys"])
        self.policy = [line.replace(" URL", f" {self.url}") for line in made["policy"]]
        self.group: str = self.policy[-1].split()[1]

    def add(self, vkey: str, *more: str) -> None:
        """Trust a log's key; `more` are arguments of `proof witness add`. Takes effect at once."""
        self._run("add", vkey, *more)

    def remove(self, name: str) -> None:
        self._run("remove", name)

    def list(self) -> dict[str, Any]:
        """What `proof witness list --json` prints."""
        found: dict[str, Any] = json.loads(self._run("list"))
        return found

    def command(self, *arguments: str) -> Sequence[str]:
        command, *rest = arguments
        more = ["--port", str(self._port)] if command == "serve" else ["--json"]
        if command != "init":
            more += ["--folder", str(self.folder)]
        return [sys.executable, "-m", "proof", "witness", command, *rest, *more]


class AicsWitness(_Process):
    """aics-witness with its key and database in `folder`, which need not exist. `vkey` is its verifier
    key."""

    def __init__(self, folder: Path, name: str = "aics.example/w1") -> None:
        self._python, environment = aics.python()
        super().__init__(folder, environment)
        self.name = name
        self._config = folder / "witness.json"
        listen = f"127.0.0.1:{self._port}"
        self.vkey = self._run("init", "--name", name, "--listen", listen).strip()

    def add(self, vkey: str, origin: str | None = None) -> None:
        """Trust a log's key; `origin` is the key's name unless it is given. Takes effect at `start`."""
        origin = origin or vkey.partition("+")[0]
        self._run("add-log", "--origin", origin, "--vkey", vkey)

    def command(self, *arguments: str) -> Sequence[str]:
        command, *rest = arguments
        return [*self._python, "-m", "aics_witness", command, "--config", str(self._config), *rest]


@contextmanager
def proof_witness(
    folder: Path, log_vkeys: Iterable[str], name: str = "proof.example/w1"
) -> Iterator[ProofWitness]:
    """A running `proof witness` that trusts logs by their verifier keys (each named like its
    origin)."""
    witness = ProofWitness(folder, name)
    for vkey in log_vkeys:
        witness.add(vkey)
    witness.start()
    try:
        yield witness
    finally:
        witness.stop()


@contextmanager
def aics_witness(
    folder: Path, log_vkeys: Iterable[str], name: str = "aics.example/w1"
) -> Iterator[AicsWitness]:
    """A running aics-witness that trusts logs by their verifier keys (each named like its origin)."""
    witness = AicsWitness(folder, name)
    for vkey in log_vkeys:
        witness.add(vkey)
    witness.start()
    try:
        yield witness
    finally:
        witness.stop()
