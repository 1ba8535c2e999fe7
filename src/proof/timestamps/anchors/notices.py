"""Who is told when a tree is verified."""

from collections.abc import Sequence

from proof.core.canonical import canonical_json
from proof.db import Connection
from proof.events import Event
from proof.timestamps.types import Currency, Tree

TREE_EVENT = "timestamp.tree"

# A log tree is verified every second; only those who ask for it are told.
_ON_REQUEST = Currency.LOG


async def tree_events(tx: Connection, verified: Sequence[tuple[int, Tree]]) -> list[Event]:
    """The events of (partner environment, tree) pairs that their owners want to hear of."""
    owners = {owner for owner, _ in verified}
    rows = await tx.fetch(
        "SELECT partner_environment_id, notified_currency_ids FROM timestamp_settings"
        " WHERE partner_environment_id = ANY($1::int[]) AND notified_currency_ids IS NOT NULL",
        list(owners),
    )
    wanted = {row["partner_environment_id"]: row["notified_currency_ids"] for row in rows}
    return [
        Event(owner, TREE_EVENT, str(tree.tree_id), canonical_json(tree.wire()))
        for owner, tree in verified
        if (tree.currency in wanted[owner] if owner in wanted else tree.currency != _ON_REQUEST)
    ]


async def set_notified(
    tx: Connection, partner_environment_id: int, currencies: Sequence[Currency]
) -> None:
    """Choose the chains whose trees notify this owner."""
    await tx.execute(
        "INSERT INTO timestamp_settings (partner_environment_id, notified_currency_ids)"
        " VALUES ($1, $2) ON CONFLICT (partner_environment_id)"
        " DO UPDATE SET notified_currency_ids = excluded.notified_currency_ids",
        partner_environment_id,
        [int(currency) for currency in currencies],
    )


async def notified(
    connection: Connection, partner_environment_id: int, enabled: Sequence[Currency]
) -> list[Currency]:
    """The chains whose trees notify this owner: those it chose, or every enabled one but the log."""
    chosen = await connection.fetchval(
        "SELECT notified_currency_ids FROM timestamp_settings WHERE partner_environment_id = $1",
        partner_environment_id,
    )
    if chosen is None:
        return [currency for currency in enabled if currency != _ON_REQUEST]
    return [Currency(value) for value in chosen]
