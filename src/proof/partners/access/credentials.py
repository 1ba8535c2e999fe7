"""Credentials as the gate knows them, and reading all of them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from ipaddress import ip_network
from typing import Any

from proof.db import Connection
from proof.partners.access.buckets import Rate
from proof.partners.access.networks import Allowlist, AllowlistMode
from proof.partners.access.rates import LEASED_RATES, CallClass, Rates
from proof.partners.types import (
    CredentialKind,
    Environment,
    Limits,
    PartnerEnvironment,
    SessionTerms,
)

_ENVIRONMENTS = """
SELECT e.id, e.partner_id, e.environment, e.limit_timestamps, e.limit_proofs, e.limit_status,
       e.widget_id, e.off_ramp, e.own_address, e.currencies, e.networks, e.amounts,
       e.widget_config,
       (SELECT json_agg(json_build_array(currency, network, address)) FROM wallets w
        WHERE w.partner_environment_id = e.id AND active) AS wallets,
       p.status = 'suspended' AS suspended,
       ARRAY(SELECT text(network) FROM allowlist a
             WHERE a.partner_environment_id = e.id AND kind = 'client_token') AS client_token,
       ARRAY(SELECT text(network) FROM allowlist a
             WHERE a.partner_environment_id = e.id AND kind = 'api_key') AS api_key
FROM partner_environments e JOIN partners p ON p.id = e.partner_id
"""


_CREDENTIALS = """
SELECT c.key_id, c.partner_environment_id, c.kind, c.token_sha256, c.expires_at, c.deprecated_at,
       c.grace IS NOT NULL AND u.key_id IS NULL AS awaited
FROM credentials c LEFT JOIN credential_uses u ON u.key_id = c.key_id
WHERE c.revoked_at IS NULL AND (c.expires_at IS NULL OR c.expires_at > now())
"""


# An ended credential is kept in memory only to tell the operator who still uses it, and no longer than a
# year.
_ENDED = """
SELECT key_id, partner_environment_id AS owner_id, kind, token_sha256,
       revoked_at IS NOT NULL AS revoked
FROM credentials
WHERE least(revoked_at, expires_at) > now() - interval '1 year'
  AND (revoked_at IS NOT NULL OR expires_at <= now())
"""


@dataclass(frozen=True, slots=True)
class EndedCredential:
    """A credential that is no longer one: revoked, or else expired."""

    key_id: str
    owner_id: int
    kind: CredentialKind
    token_sha256: bytes = field(repr=False)
    revoked: bool


@dataclass(frozen=True, slots=True)
class Credential:
    """A live credential as stored, with what the gate asks about its holder. The token itself is known
    to the partner only.

    `deprecated_at` is when another took its place. `awaited`: its first use sets the end of those it
    takes the place of. `allowlist` is its kind's.
    """

    key_id: str
    kind: CredentialKind
    token_sha256: bytes = field(repr=False)
    expires_at: datetime | None
    deprecated_at: datetime | None
    awaited: bool
    owner: PartnerEnvironment
    allowlist: Allowlist
    rates: Rates


async def directory_version(connection: Connection) -> int:
    """A number that is raised by every change of what `all_credentials` returns, except `awaited`."""
    version: int = await connection.fetchval("SELECT version FROM directory_version")
    return version


async def all_credentials(connection: Connection) -> list[Credential]:
    """Every live credential with its owner, from one snapshot."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        environments = await connection.fetch(_ENVIRONMENTS)
        modes = await connection.fetch("SELECT * FROM allowlist_modes")
        rates = await connection.fetch("SELECT * FROM rate_limits")
        rows = await connection.fetch(_CREDENTIALS)
    owners = {row["id"]: _environment(row) for row in environments}
    allowlists = _allowlists(owners, modes)
    limits = _rates(owners, rates)
    return [
        Credential(
            key_id=row["key_id"],
            kind=CredentialKind(row["kind"]),
            token_sha256=row["token_sha256"],
            expires_at=row["expires_at"],
            deprecated_at=row["deprecated_at"],
            awaited=row["awaited"],
            owner=owners[row["partner_environment_id"]],
            allowlist=allowlists[row["partner_environment_id"], row["kind"]],
            rates=limits[row["partner_environment_id"]],
        )
        for row in rows
    ]


async def ended_credentials(connection: Connection) -> list[EndedCredential]:
    """The credentials that ended within the last year."""
    rows = await connection.fetch(_ENDED)
    return [EndedCredential(**{**row, "kind": CredentialKind(row["kind"])}) for row in rows]


def _environment(row: Any) -> PartnerEnvironment:
    return PartnerEnvironment(
        id=row["id"],
        partner_id=row["partner_id"],
        environment=Environment(row["environment"]),
        limits=Limits(row["limit_timestamps"], row["limit_proofs"], row["limit_status"]),
        suspended=row["suspended"],
        allowlists={kind: tuple(map(ip_network, row[kind])) for kind in CredentialKind},
        terms=_terms(row),
    )


def _terms(row: Any) -> SessionTerms:
    config = json.loads(row["widget_config"])
    return SessionTerms(
        widget_id=row["widget_id"],
        off_ramp=row["off_ramp"],
        own_address=row["own_address"],
        currencies=tuple(row["currencies"]),
        networks=tuple(row["networks"]),
        wallets={
            (currency, network): address
            for currency, network, address in json.loads(row["wallets"] or "[]")
        },
        amounts={
            (bounds["currency"], bounds["network"]): (
                _bound(bounds["minimum"]),
                _bound(bounds["maximum"]),
            )
            for bounds in json.loads(row["amounts"])
        },
        type=config.get("type", "buy"),
        shown_currencies=tuple(config.get("currencies", ())),
        shown_networks=tuple(config.get("networks", ())),
        fiat_currency=config.get("fiat_currency", ""),
        fiat_currencies=tuple(config.get("fiat_currencies", ())),
        lang=config.get("lang", ""),
        theme=config.get("theme", ""),
        redirect_url=config.get("redirect_url", ""),
    )


def _bound(text: str) -> Decimal | None:
    return Decimal(text) if text else None


def _allowlists(
    owners: dict[int, PartnerEnvironment], rows: list[Any]
) -> dict[tuple[int, str], Allowlist]:
    modes = {(row["partner_environment_id"], row["kind"]): row["mode"] for row in rows}
    return {
        (owner.id, kind): Allowlist(
            owner.allowlists[kind],
            AllowlistMode(modes.get((owner.id, kind), AllowlistMode.ENFORCE)),
        )
        for owner in owners.values()
        for kind in CredentialKind
    }


def _rates(owners: dict[int, PartnerEnvironment], rows: list[Any]) -> Mapping[int, Rates]:
    found: dict[int, dict[CallClass, Rate]] = {identity: dict(LEASED_RATES) for identity in owners}
    for row in rows:
        rate = Rate(row["calls"], row["window_s"], row["burst"])
        found[row["partner_environment_id"]][CallClass(row["call_class"])] = rate
    return found
