"""Telling that receipts have matured: who asked for it hears of each chain that proves more of one.

What is to be told is written when records are stamped, by the tree that will prove them, and for those
alone whose endpoint asked. Once a tree is verified its rows are taken out and become events in one
transaction: stopped anywhere before its commit nothing was told and the rows wait, after it they are gone.
So each (transaction, chain, number of records) is told once, whoever is killed.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from proof.core.canonical import canonical_json
from proof.core.loop import Again
from proof.db import Connection, Database
from proof.events import Event, notify
from proof.events import publish as publish_events
from proof.partners.environments import names_of
from proof.partners.types import Environment
from proof.timestamps.proofs.queries import verified_trees
from proof.timestamps.types import Currency, TreeRef
from proof.webhooks.service import subscribers
from proof.webhooks.types import Subscription

RECEIPT_EVENT = "transaction.receipt"

WATCHED = "proof_receipts_watched"
"""What PostgreSQL notifies when there is something to be told later."""

BATCH = 1_000

# The log's trees are verified every second; while something waits they are looked at as often.
_LOOK_S = 1.0

# Of what is stamped in two rounds of one tree the newer is told.
_WATCH = """
INSERT INTO receipt_watches AS known (tree_id, transaction_id, partner_environment_id, records, head)
SELECT tree_id, transaction_id, owner, records, head
FROM unnest($1::integer[], $2::uuid[], $3::integer[], $4::bytea[])
    AS chain (owner, transaction_id, records, head) CROSS JOIN unnest($5::uuid[]) AS tree_id
ORDER BY tree_id, transaction_id
ON CONFLICT (tree_id, transaction_id) DO UPDATE
SET records = excluded.records, head = excluded.head WHERE known.records < excluded.records
"""

# The trees are few and their rows may be many, so they are found by skipping through the index.
_TREES = """
WITH RECURSIVE watched AS (
    (SELECT tree_id FROM receipt_watches ORDER BY tree_id LIMIT 1)
    UNION ALL
    SELECT (SELECT tree_id FROM receipt_watches WHERE tree_id > watched.tree_id ORDER BY tree_id LIMIT 1)
    FROM watched WHERE watched.tree_id IS NOT NULL
)
SELECT tree_id FROM watched WHERE tree_id IS NOT NULL
"""

_TAKE = """
DELETE FROM receipt_watches WHERE (tree_id, transaction_id) IN (
    SELECT tree_id, transaction_id FROM receipt_watches WHERE tree_id = ANY($1::uuid[])
    ORDER BY tree_id, transaction_id LIMIT $2 FOR UPDATE SKIP LOCKED)
RETURNING tree_id, transaction_id, partner_environment_id, records, head
"""


class StampedChain(NamedTuple):
    """How far a transaction's chain was stamped: its newest record's number and SHA-256."""

    partner_environment_id: int
    transaction_id: UUID
    records: int
    head: bytes


async def watch(tx: Connection, chains: Sequence[StampedChain], trees: Sequence[TreeRef]) -> None:
    """Have those who asked told, once these trees prove these chains; in the transaction that stamps."""
    owners = {chain.partner_environment_id for chain in chains}
    asking = await subscribers(tx, list(owners), Subscription.RECEIPT)
    asked = [chain for chain in chains if chain.partner_environment_id in asking]
    if not asked:
        return
    columns = map(list, zip(*asked, strict=True))
    await tx.execute(_WATCH, *columns, [tree.tree_id for tree in trees])
    await notify(tx, WATCHED)


class Maturing:
    """Tells it; any number of workers may have one. `base_urls` lead to the receipts."""

    def __init__(self, database: Database, base_urls: Mapping[Environment, str]) -> None:
        self._database = database
        self._base_urls = base_urls

    async def step(self) -> Again:
        """Tell some of what is due; when to look again."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_TREES)
            watched = [row["tree_id"] for row in rows]
            verified = await verified_trees(connection, watched) if watched else {}
        if not verified:
            return _LOOK_S if watched else False
        return await self._tell(verified) == BATCH or _LOOK_S

    async def _tell(self, verified: Mapping[UUID, Currency]) -> int:
        async with self._database.transaction() as tx:
            rows = await tx.fetch(_TAKE, list(verified), BATCH)
            names = await names_of(tx, {row["partner_environment_id"] for row in rows})
            rows.sort(
                key=lambda row: (row["transaction_id"], row["records"], verified[row["tree_id"]])
            )
            await publish_events(
                tx,
                [
                    self._event(
                        row, verified[row["tree_id"]], names[row["partner_environment_id"]][1]
                    )
                    for row in rows
                ],
            )
        return len(rows)

    def _event(self, row: Any, currency: Currency, environment: Environment) -> Event:
        transaction = str(row["transaction_id"])
        place = f"/widget/transactions/{transaction}/receipt"
        body = {
            "event": RECEIPT_EVENT,
            "merchant_transaction_id": transaction,
            "records": str(row["records"]),
            "record_sha256": row["head"].hex(),
            "currency": currency.name,
            "receipt_url": f"{self._base_urls[environment]}{place}",
        }
        # An object of its own: the events of the transaction itself keep their numbers without gaps.
        subject = f"{transaction}/receipt"
        return Event(row["partner_environment_id"], RECEIPT_EVENT, subject, canonical_json(body))
