"""One partner attacks, another goes on: what the other notices of it.

A whole installation, a victim and attackers who are its partners. For each attack the victim is measured
alone and beside it, in turn: it submits a hash every 20 ms, fetches the proof of one a second, and gets
a webhook every 20 ms. To add an attack, add an async context manager to `ATTACKS`: it begins when entered,
and is over when left. What a client makes of hostile receivers without a server around it stands apart,
in processor time, which the machine's other work does not add to.
"""

import asyncio
import gc
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import aiohttp

from bench.figures import Figure, Target, compared
from bench.hostile import ENDLESS, NAME_SERVER
from bench.installation import HOST, Served, module, partner, proof
from bench.options import Options
from proof.db import Database
from proof.events import Event, publish, relay
from proof.main.database import arguments
from proof.outbound import OutboundClient, OutboundError, OutboundPolicy
from proof.partners.environments import environment_id
from proof.partners.types import Environment
from proof.webhooks import fan_out, set_endpoint

_POLICY = OutboundPolicy((ip_network("127.0.0.0/8"),))
_TICK_S = 0.02
_PROOF_EVERY_S = 1.0
_ATTACK_EVERY_S = 0.2
_ATTACKERS = 9
_PURPOSES = ("timestamp.proof", "timestamp.tree")
_NAMES = 34
_DEAD_QUEUED = 100_000
_AT_ONCE = 5_000
_RECEIVERS = 15
_START_S = 10.0
_P50_MS, _P99_MS, _PROOF_S, _MEMORY_MB, _STALL_MS = 25.0, 250.0, 3.0, 400.0, 20.0
# A fresh mount of one file, seen by the server's processes alone.
_RESOLVING = ("unshare", "-m", "sh", "-c", 'mount --bind "$0" /etc/resolv.conf && exec "$@"')


@dataclass(frozen=True, slots=True)
class Attacker:
    """A partner who means harm: its keys, and its environments by their ids."""

    api_key: str
    owners: Sequence[int]


@dataclass(frozen=True)
class Scene:
    """The installation and who is in it. `hostile` is a port of `bench.hostile`."""

    served: Served
    database: Database
    attackers: Sequence[Attacker]
    victim_owner: int
    hostile: int
    sink: int
    options: Options

    def api(self, path: str) -> str:
        return f"http://{HOST}:{self.served.port}{path}"

    def receiver(self, path: str) -> str:
        return f"http://{HOST}:{self.hostile}/{path}"

    @property
    def endpoints(self) -> list[tuple[int, str]]:
        """Every endpoint the attackers may have: environment and purpose."""
        owners = [owner for one in self.attackers for owner in one.owners]
        return [(owner, purpose) for owner in owners for purpose in _PURPOSES]

    async def aim(self, urls: Sequence[str]) -> list[tuple[int, str]]:
        """Give the attackers' first endpoints these targets, which starts their breakers anew."""
        aimed = self.endpoints[: len(urls)]
        async with self.database.transaction() as tx:
            for (owner, purpose), url in zip(aimed, urls, strict=True):
                await set_endpoint(tx, _POLICY, owner, purpose, url)
        return aimed

    async def disarm(self) -> None:
        """Take the attackers' targets away, and with them what waits."""
        async with self.database.transaction() as tx:
            for owner, purpose in self.endpoints:
                await set_endpoint(tx, _POLICY, owner, purpose, "")


Attack = Callable[[Scene], AbstractAsyncContextManager[None]]


def _examples(count: int) -> Attack:
    """So many example calls at a time, without pause, to a receiver of endless informational responses."""

    @asynccontextmanager
    async def attack(scene: Scene) -> AsyncIterator[None]:
        body = {"target": scene.receiver("informational")}

        async def call(session: aiohttp.ClientSession, attacker: Attacker) -> None:
            headers = {"x-api-key": attacker.api_key}
            url = scene.api("/v1/webhook/proof/example")
            while True:
                async with session.post(url, json=body, headers=headers) as response:
                    await response.read()

        async with (
            aiohttp.ClientSession() as session,
            _running(
                call(session, scene.attackers[n % len(scene.attackers)]) for n in range(count)
            ),
        ):
            yield

    return attack


def _deliveries(*urls: str) -> Attack:
    """Five webhooks a second for each of these receivers."""

    @asynccontextmanager
    async def attack(scene: Scene) -> AsyncIterator[None]:
        targets = [url if "://" in url else scene.receiver(url) for url in urls]
        aimed = await scene.aim(targets)

        async def publish_all() -> None:
            while True:
                events = [Event(owner, purpose, "s", b"{}") for owner, purpose in aimed]
                async with scene.database.transaction() as tx:
                    await publish(tx, events)
                await asyncio.sleep(_ATTACK_EVERY_S)

        async with _running([publish_all()]):
            yield
        await scene.disarm()

    return attack


@asynccontextmanager
async def _dead(scene: Scene) -> AsyncIterator[None]:
    """An endpoint that never answers, with deliveries waiting for it."""
    ((owner, purpose),) = await scene.aim([scene.receiver("never")])
    queued = 5_000 if scene.options.quick else _DEAD_QUEUED
    for _ in range(queued // _AT_ONCE):
        async with scene.database.transaction() as tx:
            await publish(tx, [Event(owner, purpose, f"s{n}", b"{}") for n in range(_AT_ONCE)])
            await fan_out(tx, await relay(tx, _AT_ONCE))
    yield
    await scene.disarm()


ATTACKS: dict[str, Attack] = {
    "an endless informational response": _examples(1),
    "15 endless informational responses": _examples(_RECEIVERS),
    "webhooks to endless responses": _deliveries(*(sorted(ENDLESS) * 3)[:_RECEIVERS]),
    "a dead endpoint with 100,000 deliveries": _dead,
}
# Needs a name server of its own, which only root can have on a loopback address.
HANGING_NAMES = _deliveries(*(f"https://n{n}.hangs.example/" for n in range(_NAMES)))


@dataclass
class Felt:
    """What the victim saw in one round."""

    calls_ms: list[float] = field(default_factory=list)
    webhooks_ms: list[float] = field(default_factory=list)
    proofs_s: list[float] = field(default_factory=list)
    memory_mb: float = 0.0
    failed: int = 0


def run(options: Options) -> list[Figure]:
    """Five figures for each attack, and the client's own."""
    figures = []
    with module("bench.hostile") as hostile, module("bench.sink") as sink:
        figures += asyncio.run(_stalls(hostile, options))
        for attacks, within in _stages():
            with (
                _resolving() as file,
                proof(
                    1,
                    within=[*within, str(file)] if within else (),
                    PROOF_UNSAFE_OUTBOUND_NETWORKS="127.0.0.0/8",
                ) as served,
            ):
                figures += asyncio.run(_measured(served, hostile, sink, attacks, options))
    return figures


def _stages() -> list[tuple[dict[str, Attack], Sequence[str]]]:
    if os.geteuid() == 0 and shutil.which("unshare"):
        return [({**ATTACKS, f"hanging DNS on {_NAMES} names": HANGING_NAMES}, _RESOLVING)]
    return [(ATTACKS, ())]


async def _measured(
    served: Served, hostile: int, sink: int, attacks: dict[str, Attack], options: Options
) -> list[Figure]:
    rounds, duration_s = (1, 3.0) if options.quick else (3, 12.0)
    handed = [partner(served.settings) for _ in range(_ATTACKERS)]
    database = await Database.open(arguments(served.settings, "app"))
    figures: list[Figure] = []
    try:
        async with database.connection() as connection:

            async def owner(partner_id: str, environment: Environment) -> int:
                return await environment_id(connection, partner_id, environment)

            attackers = [
                Attacker(
                    one["production"]["api_key"],
                    [await owner(one["partner_id"], each) for each in Environment],
                )
                for one in handed
            ]
            victim = await owner(served.partner_id, Environment.PRODUCTION)
        scene = Scene(served, database, attackers, victim, hostile, sink, options)
        async with database.transaction() as tx:
            target = f"http://{HOST}:{sink}/victim"
            await set_endpoint(tx, _POLICY, victim, _PURPOSES[0], target)
        await _feel(scene, 1.0)
        for name, attack in attacks.items():
            alone, beside = [], []
            for _ in range(rounds):
                alone.append(await _feel(scene, duration_s))
                async with attack(scene):
                    beside.append(await _feel(scene, duration_s))
                options.say(f"  {name}: {_text(beside[-1])}; alone: {_text(alone[-1])}")
            figures += _figures(name, alone, beside)
    finally:
        await database.close()
    return figures


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
            _memory(scene, felt, until),
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
            scene.victim_owner, _PURPOSES[0], f"{time.time_ns()}", b"%020d" % time.time_ns()
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


async def _memory(scene: Scene, felt: Felt, until: float) -> None:
    while time.perf_counter() < until:
        felt.memory_mb = max(felt.memory_mb, *_resident_mb(scene.served.port))
        await asyncio.sleep(0.2)


def _resident_mb(port: int) -> list[float]:
    """Of each process of ours that serves the port, and its worker."""
    found = [0.0]
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError):
            words = (folder / "cmdline").read_bytes().split(b"\0")
            ours = words[1:3] == [b"-m", b"proof"] and words[3] in (b"api", b"worker")
            if ours and b"PROOF_PORT=%d\0" % port in (folder / "environ").read_bytes():
                pages = int((folder / "statm").read_text().split()[1])
                found.append(pages * os.sysconf("SC_PAGESIZE") / 1e6)
    return found


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
        ours, theirs = ([p(one, share, of) for one in felt] for felt in (beside, alone))
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
            max(one.memory_mb for one in beside),
            target=Target("at most", _MEMORY_MB),
        ),
        Figure(
            f"{name}: calls that failed",
            "",
            sum(one.failed for one in beside),
            target=Target("at most", 0),
        ),
    ]


async def _stalls(hostile: int, options: Options) -> list[Figure]:
    """The longest turn of a loop whose client calls fifteen receivers of each kind at once."""
    worst_ms: dict[str, float] = {}
    # As every process of ours does once it has started.
    gc.collect()
    gc.freeze()
    client = OutboundClient(_POLICY)
    try:
        for name in sorted(ENDLESS):
            for _ in range(1 if options.quick else 5):
                turn_ms = await _longest_turn_ms(client, f"http://{HOST}:{hostile}/{name}")
                worst_ms[name] = max(turn_ms, worst_ms.get(name, 0.0))
    finally:
        await client.aclose()
    name, stall_ms = max(worst_ms.items(), key=lambda one: one[1])
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

    async with _running([watch()]), asyncio.TaskGroup() as calls:
        for _ in range(_RECEIVERS):
            calls.create_task(call())
            # Each begins in a turn of its own: what is looked for is what receivers do to it.
            await asyncio.sleep(0)
    return longest_s * 1000


@asynccontextmanager
async def _running(steps: "Iterator[Coroutine[Any, Any, None]] | list[Any]") -> AsyncIterator[None]:
    tasks = [asyncio.create_task(one) for one in steps]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextmanager
def _resolving() -> Iterator[Path]:
    """A resolver's file that leads to the name server which never answers."""
    with tempfile.NamedTemporaryFile("w", prefix="proof-bench-", suffix=".conf") as file:
        file.write(f"nameserver {NAME_SERVER}\n")
        file.flush()
        yield Path(file.name)


def _digest() -> str:
    return sha256(os.urandom(32)).hexdigest()


def _text(felt: Felt) -> str:
    calls = sorted(felt.calls_ms)
    return (
        f"p50 {calls[len(calls) // 2]:.0f} ms, p99 {calls[len(calls) * 99 // 100]:.0f} ms,"
        f" webhook p99 {sorted(felt.webhooks_ms)[len(felt.webhooks_ms) * 99 // 100]:.0f} ms,"
        f" proof {max(felt.proofs_s):.1f} s, {felt.memory_mb:.0f} MB, {felt.failed} failed"
    )
