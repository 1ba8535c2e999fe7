"""Forgetting what a session holds of a person beside the sealed values."""

from collections.abc import Collection
from uuid import UUID

import msgspec

from proof.db import Connection


async def forget(tx: Connection, transaction_ids: Collection[UUID]) -> None:
    """Remove redirect URLs and references, in which a partner may have put whom it sends, from the sessions
    of these transactions."""
    rows = await tx.fetch(
        "SELECT id, parameters FROM ramp_sessions WHERE transaction_id = ANY($1::uuid[]) FOR UPDATE",
        list(transaction_ids),
    )
    cleared = [
        (
            row["id"],
            msgspec.json.encode(msgspec.json.decode(row["parameters"]) | {"redirect_url": ""}),
        )
        for row in rows
    ]
    await tx.executemany(
        "UPDATE ramp_sessions SET parameters = $2::json, partner_reference = '' WHERE id = $1",
        [(session_id, parameters.decode()) for session_id, parameters in cleared],
    )
