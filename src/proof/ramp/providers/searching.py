"""Finding callbacks that name a person, among those that could not be told to be about a transaction."""

import json
from collections.abc import Collection
from contextlib import suppress
from typing import Any

from proof.core.secrets import Vault
from proof.db import Connection
from proof.ramp.providers.callbacks import REFUSED_IDENTITY, callback_identity

_NOT_UNDERSTOOD = """
SELECT callback.id, callback.account_id, callback.dedup_sha256, callback.sealed
FROM provider_callbacks callback JOIN provider_accounts account ON account.id = callback.account_id
WHERE account.partner_environment_id = $1 AND callback.transaction_id IS NULL
  AND callback.sealed IS NOT NULL AND callback.processed_at IS NOT NULL
FOR UPDATE OF callback
"""

_REFUSED = """
SELECT callback.id, callback.sealed
FROM refused_callbacks callback JOIN provider_accounts account ON account.id = callback.account_id
WHERE account.partner_environment_id = $1 FOR UPDATE OF callback
"""


async def forget_naming(
    tx: Connection, vault: Vault, partner_environment_id: int, words: Collection[str]
) -> int:
    """Erase the bodies of an environment's callbacks that were refused or not understood and hold any of
    these words; how many. Letter case does not matter. Raises SealError."""
    lowered = [word.lower() for word in words]
    named = [
        row["id"]
        for row in await tx.fetch(_NOT_UNDERSTOOD, partner_environment_id)
        if _holds(vault.open(row["sealed"], _identity(row)), lowered)
    ]
    refused = [
        row["id"]
        for row in await tx.fetch(_REFUSED, partner_environment_id)
        if _holds(vault.open(row["sealed"], REFUSED_IDENTITY.format(id=row["id"])), lowered)
    ]
    await tx.execute(
        "UPDATE provider_callbacks SET sealed = NULL WHERE id = ANY($1::bigint[])", named
    )
    await tx.execute("DELETE FROM refused_callbacks WHERE id = ANY($1::uuid[])", refused)
    return len(named) + len(refused)


def _identity(row: Any) -> str:
    return callback_identity(row["account_id"], row["dedup_sha256"])


def _holds(body: bytes, words: Collection[str]) -> bool:
    """As it stands, and as JSON reads it: an @ may be written in six characters there."""
    text = body.decode(errors="replace")
    with suppress(ValueError, RecursionError):
        text += json.dumps(json.loads(body), ensure_ascii=False)
    lowered = text.lower()
    return any(word in lowered for word in words)
