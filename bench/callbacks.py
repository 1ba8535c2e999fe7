"""Providers' callbacks: stored, against an endpoint of one INSERT on the same database, and worked off."""

import asyncio
import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

from bench.figures import Figure, Target, compared
from bench.installation import HOST, database_only, inserting, partner, proof
from bench.load import COUNTER, Load, Result, run_load
from bench.options import Options
from bench.transactions import add_transactions
from proof.config import Settings
from proof.core.clock import SystemClock
from proof.core.secrets import Vault
from proof.db import Connection, Database
from proof.main.parts.database import arguments
from proof.main.parts.keys import open_vault
from proof.outbound import OutboundClient, OutboundPolicy
from proof.partners.audit import Actor
from proof.partners.types import Environment
from proof.ramp.providers.accounts import add_account
from proof.ramp.providers.callbacks import callback_identity
from proof.ramp.providers.protocols import Reach
from proof.ramp.providers.registry import Providers
from proof.ramp.transactions.processing import process

CONNECTIONS = 64
_STORED_AT_LEAST = 0.8
_APPLIED_AT_LEAST = 0.5
_P99_AT_MOST = 1.3
_SETTLE_S = 0.5
_LAST_S = 120.0
_SIGN_KEY = "bench-sign-key"
_CREDENTIALS = {
    "widget_id": "bench",
    "widget_secret": "bench",
    "sign_key": _SIGN_KEY,
    "sdk_partner_token": "bench",
    "api_url": "https://api.bench.example/v1.6",
    "widget_url": "https://widget.bench.example/embed.js",
}
_NOBODY = "00000000-0000-4000-8000-000000000000"
_STORE = """
INSERT INTO provider_callbacks (account_id, dedup_sha256, form, sealed, received_at)
VALUES ($1, $2, 'raw', $3, $4)
"""


def run(options: Options) -> list[Figure]:
    """Stored by one process; then the same number of changes applied by one."""
    return [*_stored(options), _worked_off(options)]


def _body(of: str, transaction: str) -> str:
    """What Mercuryo posts when a purchase is paid."""
    said = {
        "id": of,
        "type": "buy",
        "status": "paid",
        "merchant_transaction_id": transaction,
        "amount": "50.00000000",
        "currency": "USDT",
        "fiat_amount": "23.40",
        "fiat_currency": "EUR",
        "payment_method": "card",
        "created_at": "2026-01-02 03:00:00",
        "updated_at": "2026-01-02 03:04:05",
        "user": {"uuid4": "3292c753-6809-492a-9acd-1ccdbf2fa91e", "country_code": "de"},
    }
    return json.dumps({"data": said}, separators=(",", ":"))


def _stored(options: Options) -> list[Figure]:
    rounds, duration_s = (2, 1.0) if options.quick else (9, 2.0)
    ours: list[Result] = []
    theirs: list[Result] = []
    with proof(1) as served, inserting(served.settings) as baseline_port:
        account = asyncio.run(_account(served.settings, served.partner_id))
        for _ in range(rounds):
            theirs.append(_load(baseline_port, account, duration_s))
            ours.append(_load(served.port, account, duration_s))
            asyncio.run(_worker_is_done(served.settings))
            options.say(f"  {_text(theirs[-1])}; {_text(ours[-1])}")
    return [
        compared(
            "callbacks stored",
            "requests/s",
            [our.per_second for our in ours],
            [their.per_second for their in theirs],
            Target("at least", _STORED_AT_LEAST),
        ),
        compared(
            "callbacks stored, p99",
            "ms",
            [our.p99_ms for our in ours],
            [their.p99_ms for their in theirs],
            Target("at most", _P99_AT_MOST),
        ),
    ]


def _load(port: int, account: UUID, duration_s: float) -> Result:
    result = run_load(
        Load(
            host=HOST,
            port=port,
            api_key="",
            path=f"/providers/mercuryo/{account}/callback",
            body=_body(COUNTER, _NOBODY),
            sign_key=_SIGN_KEY,
            connections=CONNECTIONS,
            hashes=0,
            seed=time.time_ns(),
            warmup_s=0.5,
            duration_s=duration_s,
        )
    )
    time.sleep(_SETTLE_S)
    return result


async def _account(settings: Settings, partner_id: str) -> UUID:
    database, vault = await _opened(settings)
    async with database.transaction() as tx:
        made = await add_account(
            tx, vault, partner_id, Environment.PRODUCTION, "mercuryo", _CREDENTIALS, Actor("cli")
        )
    await database.close()
    return made


async def _worker_is_done(settings: Settings) -> None:
    """What it still has to do is not the baseline's burden."""
    database, _ = await _opened(settings)
    deadline = time.monotonic() + _LAST_S
    waiting = "SELECT EXISTS (SELECT FROM provider_callbacks WHERE processed_at IS NULL)"
    async with database.connection() as connection:
        while await connection.fetchval(waiting):
            if time.monotonic() > deadline:
                raise AssertionError("the worker does not get done")
            await asyncio.sleep(0.2)
    await database.close()


def _worked_off(options: Options) -> Figure:
    rounds, count, duration_s = (2, 1_000, 1.0) if options.quick else (7, 6_000, 2.0)
    ours: list[float] = []
    theirs: list[float] = []
    with database_only() as settings, inserting(settings) as baseline_port:
        partner_id = partner(settings)["partner_id"]
        account = asyncio.run(_account(settings, partner_id))
        load = Load(
            host=HOST,
            port=baseline_port,
            api_key="",
            body=_body(COUNTER, _NOBODY),
            connections=CONNECTIONS,
            hashes=0,
            seed=1,
            warmup_s=0.5,
            duration_s=duration_s,
        )
        for _ in range(rounds):
            theirs.append(run_load(load).per_second)
            ours.append(asyncio.run(_backlog(settings, account, count)))
            options.say(f"  {theirs[-1]:,.0f} requests/s; {ours[-1]:,.0f} callbacks/s applied")
    return compared("callbacks applied", "/s", ours, theirs, Target("at least", _APPLIED_AT_LEAST))


async def _backlog(settings: Settings, account: UUID, count: int) -> float:
    """Store callbacks about as many transactions, and apply them as a worker does; how many a second."""
    database, vault = await _opened(settings)
    clock = SystemClock()
    client = OutboundClient(OutboundPolicy(()))
    adapters = Providers(Reach(client, database, clock))
    async with database.transaction() as tx:
        names = await add_transactions(tx, vault, count)
        await _store(tx, vault, account, names)
    started, applied = time.perf_counter(), 0
    while done := await process(database, vault, adapters, clock):
        applied += done
    elapsed_s = time.perf_counter() - started
    if applied != count:
        raise AssertionError(f"{applied} of {count} callbacks were applied")
    await client.aclose()
    await database.close()
    return count / elapsed_s


async def _store(tx: Connection, vault: Vault, account: UUID, names: Sequence[UUID]) -> None:
    rows: list[tuple[Any, ...]] = []
    for name in names:
        body = _body(name.hex[:17], str(name)).encode()
        dedup = sha256(body).digest()
        sealed = vault.seal(body, callback_identity(account, dedup))
        rows.append((account, dedup, sealed, datetime.now(UTC)))
    await tx.executemany(_STORE, rows)


async def _opened(settings: Settings) -> tuple[Database, Vault]:
    return await Database.open(arguments(settings, "app")), open_vault(settings)


def _text(result: Result) -> str:
    return f"{result.per_second:,.0f}/s, p99 {result.p99_ms:.1f} ms, load generator {result.cpu_share:.0%}"
