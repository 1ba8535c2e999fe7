"""The SQL of partner records."""

import json
from collections.abc import Sequence
from typing import Any

import msgspec

from proof.db import Connection
from proof.partners.environments import PSEUDO_PARTNERS
from proof.partners.records.types import (
    UNLIMITED,
    AmountRange,
    EnvironmentRecord,
    Limit,
    MonthlyLimits,
    PartnerRecord,
    PartnerSummary,
    Wallet,
    WidgetConfig,
)
from proof.partners.types import CredentialKind, Environment

_ENVIRONMENTS = """
SELECT e.*,
       ARRAY(SELECT text(network) FROM allowlist a WHERE a.partner_environment_id = e.id
             AND kind = 'client_token' ORDER BY family(network), network) AS ips,
       ARRAY(SELECT text(network) FROM allowlist a WHERE a.partner_environment_id = e.id
             AND kind = 'api_key' ORDER BY family(network), network) AS timestamp_ips,
       ARRAY(SELECT origin FROM widget_origins o WHERE o.partner_environment_id = e.id
             ORDER BY position, origin) AS widget_origins,
       (SELECT coalesce(json_agg(json_build_array(currency, network, address, active)
                                 ORDER BY currency COLLATE "C", network COLLATE "C"), '[]')
        FROM wallets w WHERE w.partner_environment_id = e.id) AS wallets
FROM partner_environments e WHERE partner_id = $1
"""

_PAGE = """
SELECT id AS partner_id, name, contact_email, status, version, created_at FROM partners
WHERE ($1::text IS NULL OR (created_at, id) > (SELECT created_at, id FROM partners WHERE id = $1))
  AND id <> ALL($3::text[])
ORDER BY created_at, id LIMIT $2
"""

_UPDATE_ENVIRONMENT = """
UPDATE partner_environments
SET off_ramp = $2, own_address = $3, currencies = $4, networks = $5, widget_config = $6::jsonb,
    limit_timestamps = $7, limit_proofs = $8, limit_status = $9, amounts = $10::jsonb
WHERE id = $1
"""


async def select_partner(connection: Connection, partner_id: str, *, lock: bool) -> Any:
    """The partner's own row, or None; locked against other changes when asked."""
    if not partner_id.isascii() or not partner_id.isprintable():
        return None  # no id, and text that PostgreSQL does not take
    return await connection.fetchrow(
        "SELECT * FROM partners WHERE id = $1 AND id <> ALL($2::text[])"
        + (" FOR UPDATE" if lock else ""),
        partner_id,
        PSEUDO_PARTNERS,
    )


async def select_environments(
    connection: Connection, partner_id: str
) -> dict[Environment, tuple[int, EnvironmentRecord]]:
    """Id and record of each environment; the webhook is kept elsewhere and left empty."""
    rows = await connection.fetch(_ENVIRONMENTS, partner_id)
    return {Environment(row["environment"]): (row["id"], _environment(row)) for row in rows}


async def select_page(
    connection: Connection, after: str | None, limit: int
) -> list[PartnerSummary]:
    """Partners in the order they came, from the one that follows `after`."""
    rows = await connection.fetch(_PAGE, after, limit, PSEUDO_PARTNERS)
    return [PartnerSummary(**row) for row in rows]


async def update_partner(tx: Connection, record: PartnerRecord) -> None:
    """Name, address, status, version."""
    await tx.execute(
        "UPDATE partners SET name = $2, contact_email = $3, status = $4, version = $5 WHERE id = $1",
        record.partner_id,
        record.name,
        record.contact_email,
        record.status,
        record.version,
    )


async def update_environment(tx: Connection, identity: int, record: EnvironmentRecord) -> None:
    """What stands in the environment's own row."""
    limits = record.limits
    await tx.execute(
        _UPDATE_ENVIRONMENT,
        identity,
        record.off_ramp,
        record.own_address,
        list(record.currencies),
        list(record.networks),
        json.dumps(msgspec.to_builtins(record.widget_config)),
        *map(_stored, (limits.timestamps, limits.proofs, limits.status)),
        json.dumps(msgspec.to_builtins(record.amounts)),
    )


async def replace_networks(
    tx: Connection, identity: int, kind: CredentialKind, networks: Sequence[str]
) -> None:
    """Make these the allowlist; those that stay are not touched."""
    await tx.execute(
        "DELETE FROM allowlist WHERE partner_environment_id = $1 AND kind = $2"
        " AND NOT network = ANY($3::text[]::cidr[])",
        identity,
        kind,
        list(networks),
    )
    await tx.execute(
        "INSERT INTO allowlist (partner_environment_id, kind, network)"
        " SELECT $1, $2, unnest($3::text[])::cidr ON CONFLICT DO NOTHING",
        identity,
        kind,
        list(networks),
    )


async def replace_widget_origins(tx: Connection, identity: int, origins: Sequence[str]) -> None:
    """Make these the origins, in this order."""
    await tx.execute("DELETE FROM widget_origins WHERE partner_environment_id = $1", identity)
    await tx.execute(
        "INSERT INTO widget_origins (partner_environment_id, origin, position)"
        " SELECT $1, origin, position FROM unnest($2::text[]) WITH ORDINALITY AS o (origin, position)",
        identity,
        list(origins),
    )


async def replace_wallets(tx: Connection, identity: int, wallets: Sequence[Wallet]) -> None:
    """Make these the wallets."""
    await tx.execute("DELETE FROM wallets WHERE partner_environment_id = $1", identity)
    await tx.executemany(
        "INSERT INTO wallets (partner_environment_id, currency, network, address, active)"
        " VALUES ($1, $2, $3, $4, $5)",
        [
            (identity, wallet.currency, wallet.network, wallet.address, wallet.active)
            for wallet in wallets
        ],
    )


def _environment(row: Any) -> EnvironmentRecord:
    return EnvironmentRecord(
        widget_id=row["widget_id"],
        ips=tuple(row["ips"]),
        timestamp_ips=tuple(row["timestamp_ips"]),
        off_ramp=row["off_ramp"],
        own_address=row["own_address"],
        currencies=tuple(row["currencies"]),
        networks=tuple(row["networks"]),
        wallets=tuple(Wallet(*wallet) for wallet in json.loads(row["wallets"])),
        amounts=msgspec.convert(json.loads(row["amounts"]), tuple[AmountRange, ...]),
        widget_origins=tuple(row["widget_origins"]),
        widget_config=msgspec.convert(json.loads(row["widget_config"]), WidgetConfig),
        limits=MonthlyLimits(
            timestamps=_limit(row["limit_timestamps"]),
            proofs=_limit(row["limit_proofs"]),
            status=_limit(row["limit_status"]),
        ),
    )


def _limit(stored: int | None) -> Limit:
    return UNLIMITED if stored is None else stored


def _stored(limit: Limit) -> int | None:
    return None if limit == UNLIMITED else int(limit)
