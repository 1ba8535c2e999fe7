"""One partner attacks, another goes on: what the other notices of it.

A whole installation, a victim and attackers who are its partners. For each attack the victim is measured
alone and beside it, in turn: it submits a hash every 20 ms, fetches the proof of one a second, and gets
a webhook every 20 ms. The attacks are in `bench.attacks`. What a client makes of hostile receivers without
a server around it stands apart, in processor time, which the machine's other work does not add to.
"""

import asyncio
import gc
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import aiohttp

from bench.attacks import (
    ATTACKS,
    HANGING_NAMES,
    OPEN_PATHS,
    POLICY,
    PURPOSES,
    Attack,
    Attacker,
    Scene,
    running,
)
from bench.calendar import calendar_variables
from bench.figures import Figure, Target, compared
from bench.hostile import ENDLESS, NAME_SERVER
from bench.installation import HOST, Served, module, partner, proof
from bench.options import Options
from proof.db import Database
from proof.events import Event, publish
from proof.main.parts.database import arguments
from proof.outbound import OutboundClient, OutboundError
from proof.partners.environments import environment_id
from proof.partners.types import Environment
from proof.webhooks import set_endpoint

_TICK_S = 0.02
_PROOF_EVERY_S = 1.0
_ATTACKERS = 9
_RECEIVERS = 15
_START_S = 10.0
_POLL_S = 0.05
_WALLET = "TNXcYBwoZdPsAkAExZTfKFP6shBeh4W4Rf"
_P50_MS, _P99_MS, _PROOF_S, _MEMORY_MB, _STALL_MS = 25.0, 250.0, 3.0, 400.0, 20.0
# A fresh mount of one file, seen by the server's processes alone.
_RESOLVING = ("unshare", "-m", "sh", "-c", 'mount --bind "$0" /etc/resolv.conf && exec "$@"')


@dataclass
class Felt:
    """What the victim saw in one round."""

    calls_ms: list[float] = field(default_factory=list)
    webhooks_ms: list[float] = field(default_factory=list)
    proofs_s: list[float] = field(default_factory=list)
    memory_mb: float = 0.0
    failed: int = 0
    # Of one core, by process; and the longest time that the victim's own loop was late.
    busy: dict[str, float] = field(default_factory=dict)
    late_ms: float = 0.0

    def text(self) -> str:
        """What progress says of it."""
        calls, webhooks = sorted(self.calls_ms), sorted(self.webhooks_ms)
        busy = ", ".join(f"{name} {share:.0%}" for name, share in self.busy.items())
        return (
            f"p50 {calls[len(calls) // 2]:.0f} ms, p99 {calls[len(calls) * 99 // 100]:.0f} ms,"
            f" webhook p99 {webhooks[len(webhooks) * 99 // 100]:.0f} ms,"
            f" proof {max(self.proofs_s):.1f} s, {self.memory_mb:.0f} MB, {self.failed} failed;"
            f" {busy}, victim's loop late by {self.late_ms:.0f} ms"
        )


def run(options: Options) -> list[Figure]:
    """Six figures for each attack that is asked for, and the client's own when all are."""
    figures: list[Figure] = []
    attacks, within = _stage()
    chosen = {name: attack for name, attack in attacks.items() if options.only in name}
    with ExitStack() as stack:
        hostile, sink = (
            stack.enter_context(module(f"bench.{name}")) for name in ("hostile", "sink")
        )
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="proof-bench-")))
        if not options.only:
            figures += asyncio.run(_stalls(hostile, options))
        file = stack.enter_context(_resolving())
        variables = {
            "PROOF_UNSAFE_OUTBOUND_NETWORKS": "127.0.0.0/8",
            "PROOF_TSA_ENABLED": "true",
            **calendar_variables(folder),
        }
        served = stack.enter_context(
            proof(1, within=[*within, str(file)] if within else (), **variables)
        )
        figures += asyncio.run(_measured(served, hostile, sink, chosen, options))
    return figures


def _stage() -> tuple[dict[str, Attack], Sequence[str]]:
    """The attacks there can be, and what the server runs within."""
    if os.geteuid() == 0 and shutil.which("unshare"):
        return ATTACKS | HANGING_NAMES | OPEN_PATHS, _RESOLVING
    return ATTACKS | OPEN_PATHS, ()


async def _measured(
    served: Served, hostile: int, sink: int, attacks: Mapping[str, Attack], options: Options
) -> list[Figure]:
    database = await Database.open(arguments(served.settings, "app"))
    figures: list[Figure] = []
    try:
        attackers = [await _attacker(served, database) for _ in range(_ATTACKERS)]
        await asyncio.to_thread(_enable, served, attackers[0])
        victim = await _owner(database, served.partner_id, Environment.PRODUCTION)
        scene = Scene(served, database, attackers, victim, hostile, sink, options)
        async with database.transaction() as tx:
            target = f"http://{HOST}:{sink}/victim"
            await set_endpoint(tx, POLICY, victim, PURPOSES[0], target)
        await _feel(scene, 1.0)
        for name, attack in attacks.items():
            alone, beside = [], []
            rounds, duration_s = _length(name, options)
            for _ in range(rounds):
                alone.append(await _feel(scene, duration_s))
                async with attack(scene):
                    beside.append(await _feel(scene, duration_s))
                options.say(f"  {name}: {beside[-1].text()}")
                options.say(f"    alone: {alone[-1].text()}")
            figures += _figures(name, alone, beside)
    finally:
        await database.close()
    return figures


def _length(name: str, options: Options) -> tuple[int, float]:
    """How many rounds, and how long each is: the paths are many."""
    if options.quick:
        return 1, 3.0
    return (1, 5.0) if name in OPEN_PATHS else (3, 12.0)


async def _attacker(served: Served, database: Database) -> Attacker:
    handed = await asyncio.to_thread(partner, served.settings)
    owners = [await _owner(database, handed["partner_id"], each) for each in Environment]
    return Attacker(handed, owners)


def _enable(served: Served, attacker: Attacker) -> None:
    """Let its sandbox take sessions, from this machine."""
    terms = ("--currency", "USDT", "--network", "TRC20", "--wallet", f"USDT:TRC20:{_WALLET}")
    partner_id = attacker.handed["partner_id"]
    served.run("partner", "edit", partner_id, "--environment", "sandbox", *terms)
    kind = ("--env", "sandbox", "--kind", "client_token")
    served.run("allowlist", "add", partner_id, "127.0.0.0/8", *kind)


async def _owner(database: Database, partner_id: str, environment: Environment) -> int:
    async with database.connection() as connection:
        return await environment_id(connection, partner_id, environment)


async def _feel(scene: Scene, duration_s: float) -> Felt:
    """One round of the victim's."""
    felt, until = Felt(), time.perf_counter() + duration_s
    await _ages_ms(scene)
    headers = {"x-api-key": scene.served.api_key}
    async with aiohttp.ClientSession(headers=headers) as session:
        await asyncio.gather(
            _calls(scene, session, felt, until),
            _proofs(scene, session, felt, until),
            _webhooks(scene, felt, until),
            _processes(scene, felt, until),
        )
    return felt


async def _calls(scene: Scene, session: aiohttp.ClientSession, felt: Felt, until: float) -> None:
    """At a steady pace: a call that waits holds back none after it."""

    async def call() -> None:
        started = time.perf_counter()
        if not await _submit(scene, session, _digest()):
            felt.failed += 1
        felt.calls_ms.append((time.perf_counter() - started) * 1000)

    async with asyncio.TaskGroup() as group:
        while time.perf_counter() < until:
            group.create_task(call())
            await asyncio.sleep(_TICK_S)


async def _proofs(scene: Scene, session: aiohttp.ClientSession, felt: Felt, until: float) -> None:
    while time.perf_counter() < until:
        digest, started = _digest(), time.perf_counter()
        await _submit(scene, session, digest)
        while True:
            async with session.get(scene.api(f"/v1/proof/{digest}")) as response:
                felt.failed += response.status >= 500
                if response.status == 200 or time.perf_counter() - started > _START_S:
                    break
            await asyncio.sleep(0.05)
        felt.proofs_s.append(time.perf_counter() - started)
        await asyncio.sleep(_PROOF_EVERY_S)


async def _webhooks(scene: Scene, felt: Felt, until: float) -> None:
    published = 0
    while time.perf_counter() < until:
        event = Event(
            scene.victim_owner, PURPOSES[0], f"{time.time_ns()}", b"%020d" % time.time_ns()
        )
        async with scene.database.transaction() as tx:
            await publish(tx, [event])
        published += 1
        await asyncio.sleep(_TICK_S)
    late = time.perf_counter() + _START_S
    while len(felt.webhooks_ms) < published and time.perf_counter() < late:
        felt.webhooks_ms += await _ages_ms(scene)
        await asyncio.sleep(0.05)
    # What has not come by then counts as late as that.
    felt.webhooks_ms += [_START_S * 1000] * (published - len(felt.webhooks_ms))


async def _processes(scene: Scene, felt: Felt, until: float) -> None:
    """Their memory and processor time, read from outside."""
    found = _ours(scene.served.port)
    started, before = time.perf_counter(), {name: _cpu_s(item) for name, item in found.items()}
    while (now := time.perf_counter()) < until:
        felt.memory_mb = max(felt.memory_mb, *map(_resident_mb, found.values()))
        await asyncio.sleep(_POLL_S)
        felt.late_ms = max(felt.late_ms, (time.perf_counter() - now - _POLL_S) * 1000)
    elapsed_s = time.perf_counter() - started
    felt.busy = {name: (_cpu_s(item) - before[name]) / elapsed_s for name, item in found.items()}


def _ours(port: int) -> dict[str, Path]:
    """Each process of ours that serves the port, and its worker."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError):
            words = (folder / "cmdline").read_bytes().split(b"\0")
            ours = words[1:3] == [b"-m", b"proof.main.server.process"] and words[3] in (
                b"api",
                b"worker",
            )
            if ours and b"PROOF_PORT=%d\0" % port in (folder / "environ").read_bytes():
                found[words[3].decode()] = folder
    return found


def _resident_mb(folder: Path) -> float:
    pages = int((folder / "statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 1e6


def _cpu_s(folder: Path) -> float:
    words = (folder / "stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


async def _submit(scene: Scene, session: aiohttp.ClientSession, digest: str) -> bool:
    async with session.post(scene.api("/v1/timestamp"), json={"sha256": [digest]}) as response:
        await response.read()
        return response.status < 500


async def _ages_ms(scene: Scene) -> list[float]:
    url = f"http://{HOST}:{scene.sink}/"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        ages: list[float] = json.loads(await response.read())
        return ages


def _figures(name: str, alone: Sequence[Felt], beside: Sequence[Felt]) -> list[Figure]:
    def p(felt: Felt, share: float, of: str) -> float:
        values = sorted(getattr(felt, of))
        return float(values[int(len(values) * share)])

    def figure(what: str, share: float, of: str, unit: str, bound: float) -> Figure:
        ours, theirs = ([p(item, share, of) for item in felt] for felt in (beside, alone))
        ratio = compared(f"{name}: {what}", unit, ours, theirs)
        # A bound in time, whatever the ratio: ten times of very little is very little.
        allowed = max(bound, 10 * statistics.median(theirs)) if share == 0.5 else bound
        return Figure(
            *(ratio.name, unit, ratio.measured, ratio.baseline, ratio.ratio, ratio.low, ratio.high),
            target=Target("at most", allowed / ratio.baseline if ratio.baseline else allowed),
        )

    return [
        figure("call, p50", 0.5, "calls_ms", "ms", _P50_MS),
        figure("call, p99", 0.99, "calls_ms", "ms", _P99_MS),
        figure("webhook, p99", 0.99, "webhooks_ms", "ms", 2 * _P99_MS),
        figure("submission to proof, p99", 0.99, "proofs_s", "s", _PROOF_S),
        Figure(
            f"{name}: memory of a process",
            "MB",
            max(item.memory_mb for item in beside),
            target=Target("at most", _MEMORY_MB),
        ),
        Figure(
            f"{name}: calls that failed",
            "",
            sum(item.failed for item in beside),
            target=Target("at most", 0),
        ),
    ]


async def _stalls(hostile: int, options: Options) -> list[Figure]:
    """The longest turn of a loop whose client calls fifteen receivers of each kind at once."""
    worst_ms: dict[str, float] = {}
    # As every process of ours does once it has started.
    gc.collect()
    gc.freeze()
    client = OutboundClient(POLICY)
    try:
        # What a process pays at its first call alone is no receiver's doing.
        await _longest_turn_ms(client, f"http://{HOST}:{hostile}/{min(ENDLESS)}")
        for name in sorted(ENDLESS):
            for _ in range(1 if options.quick else 5):
                turn_ms = await _longest_turn_ms(client, f"http://{HOST}:{hostile}/{name}")
                worst_ms[name] = max(turn_ms, worst_ms.get(name, 0.0))
    finally:
        await client.aclose()
    name, stall_ms = max(worst_ms.items(), key=lambda item: item[1])
    figure = Figure(
        f"15 endless responses: longest turn ({name})",
        "ms of processor",
        stall_ms,
        target=Target("at most", _STALL_MS),
    )
    return [figure]


async def _longest_turn_ms(client: OutboundClient, url: str) -> float:
    longest_s = 0.0

    async def watch() -> None:
        nonlocal longest_s
        while True:
            before = time.thread_time()
            await asyncio.sleep(0)
            longest_s = max(longest_s, time.thread_time() - before)

    async def call() -> None:
        with suppress(OutboundError):
            await client.post(url, b"{}", {})

    async with running([watch()]), asyncio.TaskGroup() as calls:
        for _ in range(_RECEIVERS):
            calls.create_task(call())
            # Each begins in a turn of its own: what is looked for is what receivers do to it.
            await asyncio.sleep(0)
    return longest_s * 1000


@contextmanager
def _resolving() -> Iterator[Path]:
    """A resolver's file that leads to the name server which never answers."""
    with tempfile.NamedTemporaryFile("w", prefix="proof-bench-", suffix=".conf") as file:
        file.write(f"nameserver {NAME_SERVER}\n")
        file.flush()
        yield Path(file.name)


def _digest() -> str:
    return sha256(os.urandom(32)).hexdigest()
