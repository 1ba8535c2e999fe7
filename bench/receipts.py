"""Reading a receipt among millions of records.

The transactions that are read were recorded, stamped, logged and anchored by the product's own code,
against a chain in memory that makes Bitcoin's blocks; then the tables were filled around them. First reads
are of a process that has read nothing of that transaction yet: its proofs are put together, and the whole
is signed and verified. What PostgreSQL reads from files may be in the machine's memory.
"""

import asyncio
import statistics
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
from tests.support.anchors import HandClock
from tests.support.fake_chain import FakeChain, FakeNetwork
from tests.support.partners import issued, onboard
from tests.support.ramp import BEGUN, make_transaction, said

from bench.figures import Figure, Target
from bench.installation import database_only, superuser
from bench.options import Options
from proof.config import Settings
from proof.core.secrets import Vault
from proof.db import Database
from proof.main.parts.database import opened
from proof.main.parts.keys import open_vault
from proof.partners.audit import Actor
from proof.partners.types import Environment
from proof.ramp.providers.callbacks import StoredCallback
from proof.ramp.providers.protocols import ProviderStatus
from proof.ramp.transactions.service import Statement, observe_all, resolve
from proof.ramp.types import Status
from proof.receipts.service import Receipts
from proof.receipts.stamping import Stamper
from proof.receipts.statements import StatementMaker
from proof.timestamps.anchors.anchoring import Anchorer, Schedule
from proof.timestamps.anchors.log.mark import Marks
from proof.timestamps.anchors.log.service import LogWriter
from proof.timestamps.proofs.service import Proofs
from proof.timestamps.trees.sealing import close_due, seal_next
from proof.timestamps.types import Chains

RECORDS = 10_000_000
_PRODUCTION = Environment.PRODUCTION
_READ = 50
_EACH = 20
_A_TRANSACTION = 5
_A_ROUND = 1_000
_SCHEDULE = Schedule(every=timedelta(minutes=10), replace_after=timedelta(hours=1))
_TARGET = Target("at most", 30)

# Without a write-ahead log and with indexes made at the end, or filling takes an hour.
_BEFORE = """
ALTER TABLE ramp_records DISABLE TRIGGER ALL;
ALTER TABLE ramp_records DROP CONSTRAINT ramp_records_pkey;
ALTER TABLE ramp_records SET UNLOGGED;
ALTER TABLE submissions DROP CONSTRAINT submissions_pkey;
ALTER TABLE submissions SET UNLOGGED;
"""
_FILL = (
    """
INSERT INTO ramp_transactions (id, partner_environment_id, user_id, type, currency, network,
    crypto_amount, created_at, updated_at, status, next_poll_at)
SELECT md5(n::text)::uuid, $1, 1, 'buy', 'USDT', 'TRC20', 50, now(), now(), 'completed', now()
FROM generate_series(1, $2 / 5) n
""",
    """
INSERT INTO ramp_records (transaction_id, sequence, kind, record)
SELECT md5(n::text)::uuid, sequence, 'transaction.status',
    convert_to(repeat(md5(n::text || sequence), 30), 'UTF8')
FROM generate_series(1, $2 / 5) n, generate_series(1, 5) sequence WHERE $1 > 0
""",
    """
INSERT INTO rounds (partner_environment_id, environment, blinding, opened_at, closed_at, sealed_at,
    leaf_count, root, plain_root)
SELECT -2, 'production', sha256(int8send(n)), now(), now(), now(), 1001,
    sha256('root' || int8send(n)), sha256('plain' || int8send(n))
FROM generate_series(1, $2 / 1000) n WHERE $1 > 0
""",
    """
INSERT INTO submissions (partner_environment_id, digest, round_id, created_at)
SELECT -2, sha256(int8send(n)), 1000 + n / 1000, now() FROM generate_series(1, $2) n WHERE $1 > 0
""",
    """
INSERT INTO round_tiles (round_id, level, position, first_hash, hashes)
SELECT id, 0, 0, root, root FROM rounds
WHERE $1 > 0 AND $2 > 0 AND NOT EXISTS (SELECT FROM round_tiles WHERE round_id = rounds.id)
""",
)
_AFTER = """
ALTER TABLE ramp_records ADD PRIMARY KEY (transaction_id, sequence);
ALTER TABLE submissions ADD PRIMARY KEY (partner_environment_id, digest);
ANALYZE;
"""


def run(options: Options) -> list[Figure]:
    """Milliseconds a receipt: read for the first time, and again."""
    records = options.rows or (50_000 if options.quick else RECORDS)
    with ExitStack() as stack:
        settings = stack.enter_context(database_only())
        return asyncio.run(_measured(settings, records, options))


@dataclass(frozen=True, slots=True)
class _Scene:
    """What records, stamps and anchors, all by hand."""

    database: Database
    vault: Vault
    owner: int
    clock: HandClock
    network: FakeNetwork
    stamper: Stamper
    maker: StatementMaker
    anchorer: Anchorer
    writer: LogWriter

    async def record(self, transactions: Sequence[UUID], verdict: ProviderStatus) -> None:
        """A callback for each, and what it causes."""
        for number, transaction in enumerate(transactions):
            callback = StoredCallback(number, "bench", self.owner, BEGUN, str(transaction).encode())
            statement = Statement(said(transaction, verdict), self.owner, callback)
            async with self.database.transaction() as tx:
                await observe_all(tx, self.vault, [statement], BEGUN + timedelta(minutes=2))

    async def confirm(self, transactions: Sequence[UUID]) -> None:
        """A person's word on each."""
        for transaction in transactions:
            async with self.database.transaction() as tx:
                how = (Status.COMPLETED, "checked", Actor("cli:bench"), BEGUN)
                await resolve(tx, self.vault, transaction, *how)

    async def state(self) -> None:
        """The day is over, and has a statement."""
        self.clock.pass_(timedelta(days=1))
        while await self.maker.step():
            pass

    async def prove(self) -> None:
        """Everything recorded is stamped, logged, and in a block with three upon it."""
        while await self.stamper.stamp():
            pass
        await close_due(self.database, 0)
        while await seal_next(self.database):
            pass
        await self.log()
        self.clock.pass_(_SCHEDULE.every)
        await self.anchorer.step()
        self.network.mine(3)
        await self.anchorer.step()

    async def log(self) -> None:
        while await self.writer.append():
            pass
        await self.writer.publish()


async def _measured(settings: Settings, records: int, options: Options) -> list[Figure]:
    async with opened(settings) as database:
        scene = await _scene(settings, database)
        transactions = [
            await make_transaction(database, scene.vault, scene.owner, user=str(uuid4()))
            for _ in range(_READ)
        ]
        for verdict in (ProviderStatus.PROCESSING, ProviderStatus.COMPLETED):
            await scene.record(transactions, verdict)
            await scene.prove()
        await scene.confirm(transactions)
        await scene.prove()
        await scene.state()
        await scene.prove()
        started = time.perf_counter()
        await _fill(settings, scene.owner, records)
        await scene.log()
        options.say(f"  {records:,} records filled in {time.perf_counter() - started:.0f} s")
        receipts = Receipts(database, scene.vault, scene.clock, Proofs(database, scene.clock))
        first = [await _read_ms(receipts, scene.owner, each) for each in transactions]
        before = time.process_time()
        again = [
            await _read_ms(receipts, scene.owner, each)
            for _ in range(_EACH)
            for each in transactions
        ]
        processor_ms = (time.process_time() - before) * 1000 / len(again)
        raw = await receipts.receipt(scene.owner, transactions[0])
        assert b'"statement":{' in raw
        options.say(f"  a receipt has {len(raw):,} bytes")
    name = f"receipt among {records:,} records"
    return [
        *[
            Figure(f"{name}, {how}, {part}", "ms", _share(times, at), target=_TARGET)
            for how, times in (("first read", first), ("read again", again))
            for part, at in (("p50", 0.5), ("p99", 0.99))
        ],
        Figure(f"{name}, read again, fastest", "ms", min(again)),
        Figure(f"{name}, processor time of the reader", "ms", processor_ms),
    ]


async def _scene(settings: Settings, database: Database) -> _Scene:
    vault, clock, network = open_vault(settings), HandClock(), FakeNetwork()
    network.mine()
    chain = FakeChain(network)
    partner = await onboard(database, vault)
    chains: Chains = {_PRODUCTION: (chain.currency,)}
    return _Scene(
        database,
        vault,
        issued(partner, _PRODUCTION).partner_environment_id,
        clock,
        network,
        Stamper(database, clock, chains),
        StatementMaker(database, clock, chains),
        Anchorer(database, clock, _PRODUCTION, chain, _SCHEDULE),
        LogWriter(database, vault, clock, _PRODUCTION, Marks(Path(settings.data_dir) / "keys")),
    )


async def _fill(settings: Settings, owner: int, records: int) -> None:
    connection = await asyncpg.connect(**superuser(settings))
    try:
        await connection.execute(_BEFORE)
        for statement in _FILL:
            await connection.execute(statement, owner, records, timeout=7200)
        await connection.execute(_AFTER, timeout=7200)
    finally:
        await connection.close()


async def _read_ms(receipts: Receipts, owner: int, transaction: UUID) -> float:
    started = time.perf_counter()
    await receipts.receipt(owner, transaction)
    return (time.perf_counter() - started) * 1000


def _share(times: Sequence[float], at: float) -> float:
    if at == 0.5:
        return statistics.median(times)
    return sorted(times)[int(at * (len(times) - 1))]
