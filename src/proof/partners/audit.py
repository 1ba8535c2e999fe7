"""The audit log: what operators and credentials did. Appended to, never changed."""

import json
from dataclasses import dataclass
from typing import Any

from proof.db import Connection


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts, from where, in which request. `name` is `cli`, `worker` or an operator's key id."""

    name: str
    address: str | None = None
    request_id: str | None = None


async def record(
    tx: Connection,
    actor: Actor,
    action: str,
    partner_id: str | None = None,
    *,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    """Write one entry in the caller's transaction: it is there if and only if the act is.

    `before` and `after` hold what changed, without secrets; values must be JSON.
    """
    await tx.execute(
        "INSERT INTO audit_log (actor, address, request_id, action, partner_id, before, after)"
        " VALUES ($1, $2, $3, $4, $5, $6::jsonb, $7::jsonb)",
        actor.name,
        actor.address,
        actor.request_id,
        action,
        partner_id,
        _json(before),
        _json(after),
    )


def _json(value: dict[str, Any] | None) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False, sort_keys=True)
