"""What providers post to us, from its storing to its end.

A callback is acknowledged when it is durable, and only then; what it says is applied later, by the worker.
The raw bytes are sealed, because they may hold what a person would not have shown, and are erased with the
person or with age; that there was a callback stays.
"""

import json
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from proof.core.secrets import Vault
from proof.db import Connection
from proof.ramp.providers.accounts import account_ids

# The associated data of sealed records of provider_callbacks and refused_callbacks, from their columns.
IDENTITY = "provider callback {account_id} {dedup_sha256}"

REFUSED_IDENTITY = "refused callback {id}"

STORED = "proof_callback_stored"
"""What PostgreSQL notifies when a callback is stored while none was waiting."""

PRUNED_AT_ONCE = 1000


# Oldest first, so that statements are usually applied in the order they were made; any order has the same
# end.
_CLAIM = """
SELECT callback.id, account_id, dedup_sha256, callback.sealed, received_at, provider,
    partner_environment_id
FROM provider_callbacks callback JOIN provider_accounts account ON account.id = account_id
WHERE processed_at IS NULL ORDER BY callback.id LIMIT $1 FOR UPDATE OF callback SKIP LOCKED
"""

_CONCLUDE = """
UPDATE provider_callbacks callback SET processed_at = $4, outcome = done.outcome,
    transaction_id = done.transaction_id
FROM unnest($1::bigint[], $2::text[], $3::uuid[]) AS done(id, outcome, transaction_id)
WHERE callback.id = done.id
"""

_PRUNE = """
UPDATE provider_callbacks SET sealed = NULL WHERE id IN (
    SELECT id FROM provider_callbacks
    WHERE received_at < $1 AND sealed IS NOT NULL AND processed_at IS NOT NULL
    ORDER BY received_at LIMIT $2 FOR UPDATE SKIP LOCKED)
"""

_PRUNE_REFUSED = """
DELETE FROM refused_callbacks WHERE id IN (
    SELECT id FROM refused_callbacks WHERE received_at < $1
    ORDER BY received_at LIMIT $2 FOR UPDATE SKIP LOCKED)
"""

_LOCK_UNATTRIBUTED = """
SELECT id, account_id, dedup_sha256, sealed FROM provider_callbacks
WHERE account_id = ANY($1::uuid[]) AND transaction_id IS NULL AND sealed IS NOT NULL
  AND processed_at IS NOT NULL
FOR UPDATE
"""

_LOCK_REFUSED = """
SELECT id, sealed FROM refused_callbacks WHERE account_id = ANY($1::uuid[]) FOR UPDATE
"""


@dataclass(frozen=True, slots=True)
class StoredCallback:
    """A callback as it came, verified, waiting to be applied."""

    id: int
    provider: str
    partner_environment_id: int
    received_at: datetime
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class CallbackResult:
    """What became of a callback: `outcome` in a word or two, and the transaction it was about."""

    id: int
    outcome: str
    transaction_id: UUID | None = None


async def claim(tx: Connection, vault: Vault, limit: int) -> list[StoredCallback]:
    """Callbacks nobody has applied yet, the oldest first, locked until the caller's transaction ends.

    Raises SealError.
    """
    rows = await tx.fetch(_CLAIM, limit)
    return [
        StoredCallback(
            row["id"],
            row["provider"],
            row["partner_environment_id"],
            row["received_at"],
            vault.open(row["sealed"], callback_identity(row["account_id"], row["dedup_sha256"])),
        )
        for row in rows
    ]


async def conclude(tx: Connection, done: Collection[CallbackResult], now: datetime) -> None:
    """Apply these no more, in the transaction that applied them."""
    columns = [[result.id for result in done], [result.outcome for result in done]]
    await tx.execute(_CONCLUDE, *columns, [result.transaction_id for result in done], now)


async def prune(tx: Connection, before: datetime, limit: int = PRUNED_AT_ONCE) -> int:
    """Erase the bodies of callbacks that came before that moment, `limit` of each kind; how many."""
    tags = [await tx.execute(query, before, limit) for query in (_PRUNE, _PRUNE_REFUSED)]
    return sum(int(tag.split()[-1]) for tag in tags)


async def forget(tx: Connection, transaction_ids: Collection[UUID]) -> int:
    """Erase the bodies of callbacks about these transactions; how many."""
    status = await tx.execute(
        "UPDATE provider_callbacks SET sealed = NULL"
        " WHERE transaction_id = ANY($1::uuid[]) AND sealed IS NOT NULL",
        list(transaction_ids),
    )
    return int(status.split()[-1])


async def lock_unattributed(
    tx: Connection, vault: Vault, account_ids: Collection[UUID]
) -> dict[int, bytes]:
    """The bodies of these accounts' callbacks that were applied to no transaction, by the callback's id,
    locked until the caller's transaction ends. Raises SealError."""
    return {
        row["id"]: vault.open(
            row["sealed"], callback_identity(row["account_id"], row["dedup_sha256"])
        )
        for row in await tx.fetch(_LOCK_UNATTRIBUTED, list(account_ids))
    }


async def lock_refused(
    tx: Connection, vault: Vault, account_ids: Collection[UUID]
) -> dict[UUID, bytes]:
    """The bodies of these accounts' callbacks that were refused and kept, likewise. Raises SealError."""
    return {
        row["id"]: vault.open(row["sealed"], REFUSED_IDENTITY.format(id=row["id"]))
        for row in await tx.fetch(_LOCK_REFUSED, list(account_ids))
    }


async def forget_bodies(
    tx: Connection, callback_ids: Collection[int], refused_ids: Collection[UUID]
) -> None:
    """Erase the bodies of these callbacks; of those refused nothing else was kept."""
    await tx.execute(
        "UPDATE provider_callbacks SET sealed = NULL WHERE id = ANY($1::bigint[])",
        list(callback_ids),
    )
    await tx.execute("DELETE FROM refused_callbacks WHERE id = ANY($1::uuid[])", list(refused_ids))


def callback_identity(account_id: UUID, dedup_sha256: bytes) -> str:
    """What a callback's body is sealed for."""
    return IDENTITY.format(account_id=account_id, dedup_sha256=dedup_sha256.hex())


async def forget_naming(
    tx: Connection, vault: Vault, partner_environment_id: int, words: Collection[str]
) -> int:
    """Erase the bodies of an environment's callbacks that were refused or not understood and hold any of
    these words; how many. Letter case does not matter. Raises SealError."""
    lowered = [word.lower() for word in words]
    accounts = await account_ids(tx, partner_environment_id)
    unattributed = await lock_unattributed(tx, vault, accounts)
    named = [name for name, body in unattributed.items() if _holds(body, lowered)]
    kept = await lock_refused(tx, vault, accounts)
    refused = [name for name, body in kept.items() if _holds(body, lowered)]
    await forget_bodies(tx, named, refused)
    return len(named) + len(refused)


def _holds(body: bytes, words: Collection[str]) -> bool:
    """As it stands, and as JSON reads it: an @ may be written in six characters there."""
    text = body.decode(errors="replace")
    with suppress(ValueError, RecursionError):
        text += json.dumps(json.loads(body), ensure_ascii=False)
    lowered = text.lower()
    return any(word in lowered for word in words)
