"""A real `proof serve` with its own data directory, as an operator runs it."""

import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import structlog
from tests.support.commands import PROOF
from tests.support.copying import copy_migrated
from tests.support.ports import free_port
from typer.testing import CliRunner, Result

# They end what hangs; a busy machine takes many times as long as an idle one.
_READY_S = 120.0
_STOP_S = 120.0
_COMMAND_S = 120.0
_GIVE_UP_S = 120.0
_ASK_S = 0.1
_POLL_S = 0.05
_ROOT = Path(__file__).parents[2]
_PARTNER = {"name": "Acme", "email": "ops@acme.example", "ip": "127.0.0.1"}


class Server:
    """A Proof on loopback. `start` may follow `stop`, or a kill of `process`: same port, same data."""

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        self.data_dir = folder / "d"
        self._log = folder / "log"
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PROOF_")},
            "PROOF_DATA_DIR": str(self.data_dir),
            "PROOF_PORT": str(self._port),
            **settings,
        }
        self.options: tuple[str, ...] = ()
        self.process: subprocess.Popen[bytes]

    def start(self) -> None:
        """Start and wait until /readyz says so. Raises RuntimeError with the log otherwise."""
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "proof", "serve", *self.options],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + _READY_S
        while not self._ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"proof serve did not become ready:\n{self.log()}")
            time.sleep(_POLL_S)

    def stop(self) -> int:
        """SIGTERM, then, when it takes too long, SIGKILL; the exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def add_partner(self, **options: str | list[str] | bool) -> dict[str, Any]:
        """What `proof partner add --json` prints; `timestamps_ip=["::1"]` is `--timestamps-ip ::1`."""
        arguments = []
        for name, value in (_PARTNER | options).items():
            option = "--" + name.replace("_", "-")
            if value is True:
                arguments.append(option)
            elif value is not False:
                for item in [value] if isinstance(value, str) else value:
                    arguments += [option, item]
        done = self.run("partner", "add", *arguments, "--json")
        assert done.returncode == 0, done.stderr
        partner: dict[str, Any] = json.loads(done.stdout)
        return partner

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """`proof <arguments>` in this server's environment, to its end, without a process of its own:
        starting one takes many times as long as most commands."""
        ours = {name: None for name in os.environ if name.startswith("PROOF_")}
        theirs = {k: v for k, v in self.environment.items() if k.startswith("PROOF_")}
        env = ours | theirs | environment
        # In a thread, because the caller's may have a loop that runs.
        with ThreadPoolExecutor(1) as thread:
            done = thread.submit(_invoked, arguments, env).result()
        return subprocess.CompletedProcess(arguments, done.exit_code, done.stdout, done.stderr)

    def run_process(
        self, *arguments: str, cwd: Path | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """The same as a process."""
        return subprocess.run(
            [sys.executable, "-m", "proof", *arguments],
            env=self.environment | environment,
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=_COMMAND_S,
        )

    def log(self) -> str:
        """All that the server has written so far."""
        return self._log.read_text(errors="replace")

    def _ready(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=5)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def _invoked(arguments: Sequence[str], env: Mapping[str, str | None]) -> Result:
    try:
        result = CliRunner().invoke(PROOF, list(arguments), env=env)
    finally:
        structlog.reset_defaults()
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@contextmanager
def served(
    settings: Mapping[str, str] | None = None, of_url: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """A ready server; it is stopped and its data removed at the end. In values of `of_url` {} stands for
    its URL."""
    with unstarted(settings) as server:
        for name, value in (of_url or {}).items():
            server.environment[name] = value.format(server.url)
        server.start()
        yield server


@contextmanager
def unstarted(settings: Mapping[str, str] | None = None) -> Iterator[Server]:
    """A server to start; at the end it is stopped and its data removed. Its database is there, and
    migrated.

    The folder has a short path because a Unix socket's is at most 107 bytes long.
    """
    folder = Path(tempfile.mkdtemp(prefix="pf-"))
    server = Server(folder, settings or {})
    try:
        copy_migrated(server.data_dir)
        try:
            yield server
        finally:
            if hasattr(server, "process"):
                server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def fetch(url: str, key: str, body: Any = None) -> bytes:
    """What the timestamp API answers a key; `body` is posted as JSON. Raises HTTPError for any refusal."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"x-api-key": key})
    with urllib.request.urlopen(request, timeout=60) as answer:
        read: bytes = answer.read()
        return read


def call(url: str, key: str, body: Any = None) -> Any:
    """The same, parsed."""
    return json.loads(fetch(url, key, body))


def eventually(check: Callable[[], Any]) -> Any:
    """What `check` gives, once it gives something."""
    deadline = time.monotonic() + _GIVE_UP_S
    while not (found := check()):
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(_ASK_S)
    return found


def build_verifier(folder: Path) -> None:
    """Put the stand-alone verifier into a folder."""
    build = [sys.executable, str(_ROOT / "scripts" / "build_verifier.py"), "verify.pyz"]
    subprocess.run(build, cwd=folder, check=True, timeout=60, capture_output=True)


def verify_alone(folder: Path, proof: bytes, *options: str) -> tuple[int, dict[str, Any]]:
    """Exit code and facts of the verifier of that folder, as somebody without this project runs it."""
    (folder / "proof").write_bytes(proof)
    done = subprocess.run(
        [sys.executable, "-I", "-S", "verify.pyz", "proof", "--json", *options],
        cwd=folder,
        env={},
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, json.loads(done.stdout) if done.stdout else {}
