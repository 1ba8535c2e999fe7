"""A statement of a hundred thousand transactions: making it, its list, a path into it, checking it all.

Records are written by hand, five a transaction, as long as the product's own. A first, smaller statement
makes the caches warm and shows what memory a process of Python has by itself.
"""

import asyncio
import random
import resource
import statistics
import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
from tests.support.partners import issued, onboard

from bench.figures import Figure, Target
from bench.installation import database_only, superuser
from bench.options import Options
from proof.config import Settings
from proof.db import Database
from proof.main.parts.database import opened
from proof.main.parts.keys import open_vault
from proof.partners.types import Environment
from proof.receipts import statement_queries
from proof.receipts.statements import ListForm, StatementMaker, Statements, newest_with
from proof.timestamps.proofs.service import Proofs
from proof.verify.receipts.statement import read_statement
from proof.verify.receipts.statement_file import check_lines
from proof.verify.strict_json import parse_json

TRANSACTIONS = 100_000
_PATHS = 500
_FIRST_DAY = datetime(2026, 5, 4, 12, tzinfo=UTC)

_RECORDS = """
INSERT INTO ramp_records (transaction_id, sequence, kind, record)
SELECT md5($1 || n::text)::uuid, sequence,
    CASE sequence WHEN 1 THEN 'session.opened' WHEN 2 THEN 'provider.callback'
         WHEN 4 THEN 'provider.callback' ELSE 'transaction.status' END,
    convert_to(format('{"address_sha256":"%1$s%1$s","caused_by":"callback","chain_transaction":"%1$s%1$s",'
        '"chain_transaction_url":"https://tronscan.org/#/transaction/%1$s%1$s","created_at":'
        '"2026-05-04T03:02:01.123456Z","crypto_amount":"%2$s.5","currency":"USDT","environment":'
        '"production","failure_reason":"","fiat_amount":"%2$s.92","fiat_currency":"EUR","fiat_fee":"1.20",'
        '"id":"%3$s","kind":"transaction.status","merchant_transaction_id":"%3$s","network":"TRC20",'
        '"occurred_at":"2026-05-04T03:02:01.123456Z","partner_id":"ptr_7Qm2aZk9",'
        '"partner_reference_sha256":"%1$s%1$s","partner_user_id_sha256":"%1$s%1$s","payment_method":"card",'
        '"previous_sha256":"%1$s%1$s","rate":"1.008627","recorded_at":"2026-05-04T03:02:01.123456Z",'
        '"refund_amount":"","refund_status":"none","refunded_at":"","sequence":%4$s,"status":"completed",'
        '"status_sequence":2,"type":"buy","updated_at":"2026-05-04T03:02:01.123456Z","version":3}',
        md5(n::text || sequence), n % 1000 + 1, md5($1 || n::text)::uuid, sequence), 'UTF8')
FROM generate_series(1, $2) n, generate_series(1, 5) sequence
"""
_CHAINS = """
INSERT INTO ramp_chain_days (partner_environment_id, day, transaction_id, records, head)
SELECT $3, $4, md5($1 || n::text)::uuid, 5, sha256(int8send(n)) FROM generate_series(1, $2) n
"""


class _Clock:
    moment = _FIRST_DAY

    def now(self) -> datetime:
        return self.moment


def run(options: Options) -> list[Figure]:
    """Seconds, megabytes and milliseconds."""
    count = options.rows or (2_000 if options.quick else TRANSACTIONS)
    with database_only() as settings:
        return asyncio.run(_measured(settings, count, options))


async def _measured(settings: Settings, count: int, options: Options) -> list[Figure]:
    async with opened(settings) as database:
        partner = await onboard(database, open_vault(settings))
        owner = issued(partner, Environment.PRODUCTION).partner_environment_id
        clock = _Clock()
        await _fill(settings, owner, clock.moment, count // 10)
        clock.moment += timedelta(days=1)
        await _fill(settings, owner, clock.moment, count)
        await _made(database, clock)
        before_mb, clock.moment = _peak_mb(), clock.moment + timedelta(days=1)
        before_s = time.process_time()
        made_s = await _made(database, clock)
        processor_s = time.process_time() - before_s
        grown_mb, day = _peak_mb() - before_mb, clock.moment.date() - timedelta(days=1)
        options.say(f"  {count:,} transactions stated in {made_s:.2f} s, {grown_mb:.1f} MB more")
        statements = Statements(database, open_vault(settings), Proofs(database, clock))
        listing = await statements.listing(owner, day, ListForm.CSV)
        started = time.perf_counter()
        raw = [piece async for piece in listing.pieces]
        listed_s = time.perf_counter() - started
        paths = await _paths_ms(database, owner, count)
        checked_s = await _checked_s(database, owner, b"".join(raw))
        options.say(f"  its CSV has {listing.size:,} bytes")
    name = f"statement of {count:,}"
    return [
        Figure(f"{name}, made", "s", made_s, target=Target("at most", 5)),
        Figure(f"{name}, processor time of the maker", "s", processor_s),
        Figure(
            f"{name}, more memory than a tenth of it", "MB", grown_mb, target=Target("at most", 10)
        ),
        Figure(f"{name}, list as CSV", "s", listed_s),
        Figure(f"{name}, a receipt's path, p50", "ms", statistics.median(paths)),
        Figure(f"{name}, a receipt's path, p99", "ms", sorted(paths)[int(0.99 * len(paths))]),
        Figure(f"{name}, list checked", "s", checked_s),
    ]


async def _fill(settings: Settings, owner: int, day: datetime, count: int) -> None:
    connection = await asyncpg.connect(**superuser(settings))
    name = str(day.date())
    try:
        await connection.execute("ALTER TABLE ramp_records DISABLE TRIGGER ALL")
        await connection.execute(_RECORDS, name, count, timeout=3600)
        await connection.execute(_CHAINS, name, count, owner, day.date(), timeout=600)
        await connection.execute("ALTER TABLE ramp_records ENABLE TRIGGER ALL")
        await connection.execute("VACUUM ANALYZE ramp_records, ramp_chain_days", timeout=600)
    finally:
        await connection.close()


async def _made(database: Database, clock: _Clock) -> float:
    """Seconds for all that is due."""
    maker, started = StatementMaker(database, clock), time.perf_counter()
    while await maker.step():
        pass
    return time.perf_counter() - started


async def _paths_ms(database: Database, owner: int, count: int) -> list[float]:
    chance, found = random.Random(1), list[float]()
    async with database.connection() as connection:
        rows = await connection.fetch(
            "SELECT transaction_id FROM ramp_chain_days WHERE day = $1",
            (_FIRST_DAY + timedelta(days=1)).date(),
        )
        wanted: list[UUID] = [row["transaction_id"] for row in rows]
        for transaction in chance.sample(wanted, min(_PATHS, count)):
            started = time.perf_counter()
            assert await newest_with(connection, owner, transaction) is not None
            found.append((time.perf_counter() - started) * 1000)
    return found


async def _checked_s(database: Database, owner: int, raw: bytes) -> float:
    day = (_FIRST_DAY + timedelta(days=1)).date()
    async with database.connection() as connection:
        stored = await statement_queries.statement(connection, owner, day)
    assert stored is not None
    statement, started = read_statement(parse_json(stored.statement)), time.perf_counter()
    check_lines(statement, raw.splitlines(keepends=True))
    return time.perf_counter() - started


def _peak_mb() -> float:
    """The most memory that this process ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
