"""Transactions for benchmarks, written as if their sessions had been opened."""

from typing import Any
from uuid import UUID

from proof.db import Connection

_PERSON = """
INSERT INTO ramp_users (partner_environment_id, partner_user_id, created_at)
SELECT e.id, 'bench', now() FROM partner_environments e JOIN partners p ON p.id = e.partner_id
WHERE p.name = 'Bench' AND e.environment = 'production'
ON CONFLICT (partner_environment_id, partner_user_id) DO UPDATE SET created_at = now() RETURNING id
"""

_TRANSACTIONS = """
INSERT INTO ramp_transactions (id, partner_environment_id, user_id, type, currency, network,
    crypto_amount, created_at, updated_at, next_poll_at)
SELECT gen_random_uuid(), partner_environment_id, id, 'buy', 'USDT', 'TRC20', 50, now(), now(),
       now() + interval '1 day'
FROM ramp_users, generate_series(1, $2::integer) WHERE id = $1
RETURNING id
"""


async def add_transactions(tx: Connection, count: int) -> list[UUID]:
    """So many pending purchases of one user of the benchmarks' partner; their ids."""
    person = await tx.fetchval(_PERSON)
    rows: list[Any] = await tx.fetch(_TRANSACTIONS, person, count)
    return [row["id"] for row in rows]
