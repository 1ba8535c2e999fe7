"""Transactions for benchmarks, written as if their sessions had been opened."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from proof.core.secrets import Vault
from proof.db import Connection
from proof.partners.types import Environment
from proof.ramp import personal
from proof.ramp.records import Chain, Opening
from proof.ramp.transactions.queries import add_records

_PERSON = """
INSERT INTO ramp_users (partner_environment_id, partner_user_id, created_at)
SELECT e.id, 'bench', now() FROM partner_environments e JOIN partners p ON p.id = e.partner_id
WHERE p.name = 'Bench' AND e.environment = 'production'
ON CONFLICT (partner_environment_id, partner_user_id) DO UPDATE SET created_at = now() RETURNING id
"""

_TRANSACTIONS = """
INSERT INTO ramp_transactions (id, partner_environment_id, user_id, type, currency, network,
    crypto_amount, created_at, updated_at, next_poll_at, chain_length, chain_sha256)
SELECT made.id, partner_environment_id, person.id, 'buy', 'USDT', 'TRC20', 50, $2::timestamptz, $2,
       $2 + interval '1 day', 1, sha256
FROM ramp_users person, unnest($3::uuid[], $4::bytea[]) AS made (id, sha256) WHERE person.id = $1
"""

_OPENING = Opening("buy", "USDT", "TRC20", "50", "EUR", "bench", "", "", "")


async def add_transactions(tx: Connection, vault: Vault, count: int) -> list[UUID]:
    """So many pending purchases of one user of the benchmarks' partner; their ids."""
    person, now = await tx.fetchval(_PERSON), datetime.now(UTC)
    records, values = [], list[Any]()
    for _ in range(count):
        secret, sealed = personal.new_secret(vault)
        chain = Chain(uuid4(), "ptr_bench", Environment.PRODUCTION, secret)
        records.append(_OPENING.append_to(chain, now, now))
        values.append((sealed, person, chain.transaction_id))
    ids = [record.transaction_id for record in records]
    await tx.execute(_TRANSACTIONS, person, now, ids, [record.sha256 for record in records])
    await add_records(tx, records)
    await personal.save(tx, values, now)
    return ids
