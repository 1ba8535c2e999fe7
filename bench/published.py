"""From a hash's submission to its published proof, with witnesses and without.

Three witnesses 20 ms away, two of them a quorum, the third one of those that take a connection and never
answer. Submissions come at any moment of a round's second; the proof is asked for every 10 ms.
"""

import asyncio
import http.client
import json
import os
import random
import secrets
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bench.figures import Figure, Target
from bench.installation import HOST, Served, free_port, proof
from bench.options import Options
from proof.core.note_keys import SigningKey
from proof.verify.evidence.log.note import COSIGNER_KEY
from proof.witness.administration import add_log
from proof.witness.folder import create, policy_lines

_AWAY_S = 0.020
_ASK_AGAIN_S = 0.010
_SUBMITTERS = 8
_READY_S = 60.0
_GIVE_UP_S = 60.0
_P50_S, _P99_S = Target("at most", 1.4), Target("at most", 2.5)


def run(options: Options) -> list[Figure]:
    """The median and the 99th percentile, beside those of a log that publishes alone."""
    each = 2 if options.quick else 40
    with tempfile.TemporaryDirectory(prefix="proof-bench-") as name, proof(1) as alone:
        baseline = _times(alone, each)
        options.say(f"  alone: p50 {statistics.median(baseline):.2f} s")
        with _witnesses(Path(name)) as witnesses:
            variables = {
                "PROOF_LOG_POLICY_FILE": str(witnesses.policy),
                "PROOF_SANDBOX_LOG_POLICY_FILE": "none",
            }
            with proof(1, **variables) as served:
                witnesses.know(served)
                _times(served, 1)
                measured = _times(served, each)
    options.say(f"  with witnesses: p50 {statistics.median(measured):.2f} s")
    return [
        Figure(f"published, {name}", "s", _share(measured, at), _share(baseline, at), target=target)
        for name, at, target in (("p50", 0.5, _P50_S), ("p99", 0.99, _P99_S))
    ]


def _share(times: Sequence[float], at: float) -> float:
    return sorted(times)[min(len(times) - 1, int(at * len(times)))]


def _times(served: Served, each: int) -> list[float]:
    with ThreadPoolExecutor(_SUBMITTERS) as submitters:
        found = submitters.map(lambda _: _one_after_another(served, each), range(_SUBMITTERS))
        return [seconds for times in found for seconds in times]


def _one_after_another(served: Served, count: int) -> list[float]:
    found = []
    connection = http.client.HTTPConnection(HOST, served.port, timeout=_GIVE_UP_S)
    with closing(connection):
        for _ in range(count):
            time.sleep(random.random())
            digest, began = secrets.token_hex(32), time.monotonic()
            _call(connection, served, "POST", "/v1/timestamp", json.dumps({"sha256": [digest]}))
            while _call(connection, served, "GET", f"/v1/proof/{digest}", None) != 200:
                if time.monotonic() > began + _GIVE_UP_S:
                    raise RuntimeError("a proof did not come; does a quorum cosign?")
                time.sleep(_ASK_AGAIN_S)
            found.append(time.monotonic() - began)
    return found


def _call(
    connection: http.client.HTTPConnection, served: Served, method: str, path: str, body: str | None
) -> int:
    connection.request(method, path, body, {"x-api-key": served.api_key})
    answer = connection.getresponse()
    answer.read()
    return answer.status


@dataclass(frozen=True, slots=True)
class _Witnesses:
    policy: Path
    folders: Sequence[Path]

    def know(self, served: Served) -> None:
        """They cosign the production log of that installation."""
        connection = http.client.HTTPConnection(HOST, served.port, timeout=_GIVE_UP_S)
        with closing(connection):
            connection.request("GET", "/log/key")
            vkey = connection.getresponse().read().decode().splitlines()[0]
        for folder in self.folders:
            add_log(folder, vkey, None, None)


@contextmanager
def _witnesses(folder: Path) -> Iterator[_Witnesses]:
    with ExitStack() as stack:
        folders, lines, groups = [], [], []
        for number in range(2):
            place, port = folder / f"witness{number}", free_port()
            found = policy_lines(create(place, f"bench.example/w{number}"))
            url = f"http://{HOST}:{stack.enter_context(_away(port))}"
            lines += [line.replace(" URL", f" {url}") for line in found]
            groups.append(found[-1].split()[1])
            folders.append(place)
            stack.enter_context(_served(place, port))
        dead = f"http://{HOST}:{stack.enter_context(_away(None))}"
        key = SigningKey.generate("bench.example/dead", COSIGNER_KEY).text
        lines += [f"witness dead {key} {dead}", f"group three 2 dead {' '.join(groups)}"]
        policy = folder / "policy"
        policy.write_text("\n".join([*lines, "quorum three", ""]))
        yield _Witnesses(policy, folders)


@contextmanager
def _served(folder: Path, port: int) -> Iterator[None]:
    command = [sys.executable, "-m", "proof", "witness", "serve"]
    process = subprocess.Popen(
        [*command, "--folder", str(folder), "--port", str(port)],
        env={**os.environ, "XDG_STATE_HOME": str(folder.parent)},
        stderr=subprocess.DEVNULL,
    )
    try:
        until = time.monotonic() + _READY_S
        while time.monotonic() < until:
            with suppress(OSError), closing(http.client.HTTPConnection(HOST, port)) as connection:
                connection.request("GET", "/healthz")
                if connection.getresponse().status == 200:
                    break
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait()


@contextmanager
def _away(port: int | None) -> Iterator[int]:
    """A port that leads to that one, every byte _AWAY_S / 2 late; to None leads to silence."""
    loop = asyncio.new_event_loop()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if port is None:
            await reader.read(-1)
            return
        to_reader, to_writer = await asyncio.open_connection(HOST, port)
        await asyncio.gather(_late(reader, to_writer), _late(to_reader, writer))

    server = loop.run_until_complete(asyncio.start_server(relay, HOST, 0))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


async def _late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await reader.read(1 << 16):
            await asyncio.sleep(_AWAY_S / 2)
            writer.write(piece)
            await writer.drain()
    writer.close()
