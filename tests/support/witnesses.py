"""A real aics-witness on loopback: another author's witness, unmodified.

It cosigns with an Ed25519 key (type 0x04) only.
"""

import http.client
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.ports import free_port
from tests.support.tools import aics

_READY_S = 120.0
_STOP_S = 60.0
_POLL_S = 0.05


class AicsWitness:
    """A witness with its key and database in `folder`, which need not exist.

    `url` is its submission and monitoring prefix, `vkey` its verifier key. `start` may follow `stop` or
    `kill`: same port, same key, same memory.
    """

    def __init__(self, folder: Path, name: str = "aics.example/w1") -> None:
        self.name = name
        self._config = folder / "witness.json"
        self._log = folder / "log"
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._python, self._environment = aics.python()
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        listen = f"127.0.0.1:{self._port}"
        self.vkey = self._run("init", "--name", name, "--listen", listen).strip()

    def add(self, vkey: str, origin: str | None = None) -> None:
        """Trust a log's key; `origin` is the key's name unless it is given. Takes effect at `start`."""
        origin = origin or vkey.partition("+")[0]
        self._run("add-log", "--origin", origin, "--vkey", vkey)

    def start(self) -> None:
        """Start it and wait until it answers. Raises RuntimeError with its log otherwise."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command("serve"),
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + _READY_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"aics-witness did not start:\n{self.log()}")
            time.sleep(_POLL_S)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self.kill()
            self._process = None

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

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
            self._command(*arguments),
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=_READY_S,
        )
        if done.returncode:
            raise RuntimeError(f"aics-witness {arguments[0]} failed:\n{done.stderr}")
        return done.stdout

    def _command(self, *arguments: str) -> Sequence[str]:
        command, *rest = arguments
        return [*self._python, "-m", "aics_witness", command, "--config", str(self._config), *rest]


@contextmanager
def aics_witness(
    folder: Path, log_vkeys: Iterable[str], name: str = "aics.example/w1"
) -> Iterator[AicsWitness]:
    """A running witness that trusts logs by their verifier keys (each named like its origin)."""
    witness = AicsWitness(folder, name)
    for vkey in log_vkeys:
        witness.add(vkey)
    witness.start()
    try:
        yield witness
    finally:
        witness.stop()
