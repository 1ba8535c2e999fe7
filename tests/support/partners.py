"""Partners made as the operator makes them, and what an operator does to them later."""

from collections.abc import Sequence
from ipaddress import ip_network
from typing import Any

from proof.core.clock import SystemClock
from proof.core.secrets import Vault
from proof.db import Database
from proof.outbound import OutboundPolicy
from proof.partners.access.credentials import all_credentials
from proof.partners.access.tokens import parse_token
from proof.partners.audit import Actor
from proof.partners.records.changes import EnvironmentChange, PartnerChange
from proof.partners.records.types import TRANSACTION_EVENT
from proof.partners.service import add_partner
from proof.partners.types import (
    Environment,
    IssuedEnvironment,
    OnboardedPartner,
    PartnerEnvironment,
)
from proof.webhooks.service import Target

WEBHOOKS = Target(OutboundPolicy((ip_network("127.0.0.0/8"),)), TRANSACTION_EVENT)


async def onboard(
    database: Database,
    vault: Vault,
    name: str = "Acme",
    *,
    contact_email: str = "dev@acme.example",
    production_networks: Sequence[str] = ("203.0.113.0/24",),
    sandbox_networks: Sequence[str] = (),
    timestamp_networks: Sequence[str] = (),
    widget_origins: Sequence[str] = (),
    off_ramp: bool = False,
) -> OnboardedPartner:
    """A new partner; what names no environment is for both."""
    common: dict[str, Any] = {
        "timestamp_ips": tuple(timestamp_networks),
        "off_ramp": off_ramp,
    }
    secure = tuple(origin for origin in widget_origins if not origin.startswith("http://"))
    wanted = PartnerChange(
        name=name,
        contact_email=contact_email,
        production=EnvironmentChange(
            ips=tuple(production_networks), widget_origins=secure, **common
        ),
        sandbox=EnvironmentChange(
            ips=tuple(sandbox_networks), widget_origins=tuple(widget_origins), **common
        ),
    )
    async with database.transaction() as tx:
        return await add_partner(tx, vault, WEBHOOKS, wanted, Actor("operator"), SystemClock())


def issued(
    partner: OnboardedPartner, environment: Environment = Environment.PRODUCTION
) -> IssuedEnvironment:
    """What the partner was handed for one environment."""
    return next(item for item in partner.environments if item.environment is environment)


async def owner_of(
    database: Database,
    partner: OnboardedPartner,
    environment: Environment = Environment.PRODUCTION,
) -> PartnerEnvironment:
    """The partner environment as the gate hands it to the slices."""
    wanted = issued(partner, environment).partner_environment_id
    async with database.connection() as connection:
        credentials = await all_credentials(connection)
    return next(credential.owner for credential in credentials if credential.owner.id == wanted)


async def execute(database: Database, statement: str, *values: Any) -> None:
    """One statement of the operator's, as the application role."""
    async with database.connection() as connection:
        await connection.execute(statement, *values)


async def tamper(database: Database, *statements: str) -> None:
    """What the application role may not do and whoever owns the tables can."""
    async with database.transaction() as tx:
        await tx.execute("SET LOCAL ROLE proof_owner")
        for statement in statements:
            await tx.execute(statement)


async def suspend(database: Database, partner: OnboardedPartner) -> None:
    await execute(
        database, "UPDATE partners SET status = 'suspended' WHERE id = $1", partner.partner_id
    )


async def revoke(database: Database, token: str) -> None:
    parsed = parse_token(token)
    assert parsed is not None
    await execute(
        database, "UPDATE credentials SET revoked_at = now() WHERE key_id = $1", parsed.key_id
    )


async def limit(
    database: Database, partner: OnboardedPartner, environment: Environment, **limits: int
) -> None:
    """Set monthly limits: `timestamps`, `proofs`, `status`."""
    for kind, value in limits.items():
        await execute(
            database,
            f"UPDATE partner_environments SET limit_{kind} = $2 WHERE id = $1",
            issued(partner, environment).partner_environment_id,
            value,
        )
