"""Open WebSockets on one machine: their memory, and a status change's way from commit to receipt."""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from bench.figures import Figure, Target
from bench.installation import Served, proof
from bench.options import Options
from bench.sockets import Received, Watchers, Watching, spread
from bench.transactions import add_transactions
from proof.core.secrets import Vault
from proof.db import Database
from proof.main.parts.database import arguments
from proof.main.parts.keys import open_vault
from proof.ramp.providers.protocols import Observation, ProviderStatus
from proof.ramp.transactions.service import Statement, observe_all

_GENERATORS = 2
# As stored callbacks are worked off: a few at a time, each batch one commit.
_TICK_S = 0.02
_PER_TICK = 10
_SETTLE_S = 2.0
_LAST_S = 30.0


def run(options: Options) -> list[Figure]:
    """One HTTP process holds all of them; two processes of clients, and the changes come from here."""
    sockets, changes = (500, 1_000) if options.quick else (10_000, 10_000)
    with proof(1) as served:
        return asyncio.run(_measure(served, options, sockets, changes))


async def _measure(served: Served, options: Options, sockets: int, changes: int) -> list[Figure]:
    database = await Database.open(arguments(served.settings, "app"))
    vault = open_vault(served.settings)
    transactions = await _transactions(database, vault, sockets)
    before_kib, started = _memory_kib(served.port), time.perf_counter()
    parts = spread([str(transaction) for transaction in transactions], _GENERATORS)
    watchers = [
        Watchers(Watching(served.port, f"127.0.0.{n + 1}", served.client_token, part))
        for n, part in enumerate(parts)
    ]
    for watcher in watchers:
        await asyncio.to_thread(watcher.await_open)
    opened_s = time.perf_counter() - started
    await asyncio.sleep(_SETTLE_S)
    each_kib = (_memory_kib(served.port) - before_kib) / sockets
    options.say(f"  {sockets:,} open after {opened_s:.1f} s, {each_kib:.1f} KiB each")
    committed = await _change(database, vault, transactions[: changes // 2])
    await asyncio.sleep(_SETTLE_S)
    received = [await asyncio.to_thread(watcher.finish) for watcher in watchers]
    await database.close()
    return _figures(options, committed, received, sockets / opened_s, each_kib)


async def _change(
    database: Database, vault: Vault, transactions: Sequence[UUID]
) -> dict[tuple[str, str], int]:
    """Bring each to `processing`, then to `completed`, at the given rate; when its commit began."""
    committed: dict[tuple[str, str], int] = {}
    started, ticks = time.perf_counter(), 0
    for verdict in (ProviderStatus.PROCESSING, ProviderStatus.COMPLETED):
        for at in range(0, len(transactions), _PER_TICK):
            some = transactions[at : at + _PER_TICK]
            begun = await _batch(database, vault, some, verdict)
            committed |= {(str(item), verdict.value): begun for item in some}
            ticks += 1
            await asyncio.sleep(max(0.0, started + ticks * _TICK_S - time.perf_counter()))
    elapsed_s = time.perf_counter() - started
    if elapsed_s > 1.1 * ticks * _TICK_S:
        raise AssertionError(f"the changes took {elapsed_s:.1f} s, not {ticks * _TICK_S:.1f} s")
    return committed


async def _batch(
    database: Database, vault: Vault, transactions: Sequence[UUID], verdict: ProviderStatus
) -> int:
    now = datetime.now(UTC)
    statements = [
        Statement(Observation(item, verdict, verdict.value, now)) for item in transactions
    ]
    async with database.connection() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await observe_all(connection, vault, statements, now)
        begun = time.monotonic_ns()
        await transaction.commit()
    return begun


def _figures(
    options: Options,
    committed: dict[tuple[str, str], int],
    received: Sequence[Received],
    opened_per_s: float,
    each_kib: float,
) -> list[Figure]:
    came = {(item, status): at for part in received for item, status, at in part.messages}
    missed = committed.keys() - came.keys()
    count = sum(len(part.messages) for part in received)
    if missed or count != len(committed):
        raise AssertionError(f"{len(committed)} changes, {count} messages, {len(missed)} missed")
    ordered = sorted((came[change] - at) / 1e6 for change, at in committed.items())
    options.say(
        f"  {count:,} changes: p50 {ordered[count // 2]:.1f} ms, largest {ordered[-1]:.1f} ms;"
        f" clients' CPU {sum(part.cpu_s for part in received):.1f} s"
    )
    return [
        Figure(
            "commit to receipt, p99",
            "ms",
            ordered[count * 99 // 100],
            target=Target("at most", 250),
        ),
        Figure("memory of an open WebSocket", "KiB", each_kib),
        Figure("WebSockets opened", "/s", opened_per_s),
    ]


async def _transactions(database: Database, vault: Vault, count: int) -> list[UUID]:
    async with database.transaction() as tx:
        return await add_transactions(tx, vault, count)


def _memory_kib(port: int) -> int:
    """What the HTTP processes serving `port` hold for themselves."""
    return sum(_private_kib(folder) for folder in Path("/proc").iterdir() if _is_api(folder, port))


def _is_api(folder: Path, port: int) -> bool:
    try:
        words = (folder / "cmdline").read_bytes().split(b"\0")
        return words[1:4] == [b"-m", b"proof.main.server.process", b"api"] and (
            b"PROOF_PORT=%d\0" % port in (folder / "environ").read_bytes()
        )
    except (OSError, IndexError):
        return False


def _private_kib(folder: Path) -> int:
    lines = (folder / "smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))
