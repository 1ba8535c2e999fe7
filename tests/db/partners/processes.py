"""Gates as several processes would have them, over one database and one clock to turn."""

from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address
from typing import Any

from tests.support.application import Platform
from tests.support.partners import issued

from proof.db import Database
from proof.partners.access.credentials import Credential
from proof.partners.access.directory import Directory
from proof.partners.access.gate import Gate
from proof.partners.access.rates import CallClass, Standing
from proof.partners.access.rotation import IssuedToken, rotate
from proof.partners.access.tokens import parse_token
from proof.partners.audit import Actor
from proof.partners.types import CredentialKind, Environment, OnboardedPartner

API_KEY, CLIENT_TOKEN = CredentialKind.API_KEY, CredentialKind.CLIENT_TOKEN
PRODUCTION, SANDBOX = Environment.PRODUCTION, Environment.SANDBOX
OPERATOR = Actor("cli")
CALLER = "203.0.113.9"


@dataclass
class Process:
    """One process's gate. It looks at the directory and writes what it noted when told to."""

    database: Database
    clock: Any

    def __post_init__(self) -> None:
        self.directory = Directory(self.database)
        self.gate = Gate(self.database, self.directory, self.clock)

    async def enter(
        self,
        token: str | None,
        kind: CredentialKind = API_KEY,
        address: str = CALLER,
        environment: Environment = PRODUCTION,
        call_class: CallClass | None = None,
    ) -> tuple[Credential, Standing | None]:
        """Pass the whole gate, with what the directory holds now."""
        await self.directory._poll()
        seen = ip_address(address)
        credential = await self.gate.authenticate(token, environment, seen)
        return credential, await self.gate.admit(credential, kind, seen, call_class)

    async def write(self) -> None:
        await self.gate._write()


async def rotated(
    platform: Platform, partner: OnboardedPartner, now: datetime, **options: Any
) -> IssuedToken:
    """Another api_key for the partner's production."""
    async with platform.database.transaction() as tx:
        return await rotate(tx, partner.partner_id, PRODUCTION, API_KEY, OPERATOR, now, **options)


def key_id(token: str) -> str:
    parsed = parse_token(token)
    assert parsed is not None
    return parsed.key_id


async def deadline(platform: Platform, token: str) -> datetime | None:
    """When a stored credential ends."""
    rows = await platform.fetch(
        "SELECT expires_at FROM credentials WHERE key_id = $1", key_id(token)
    )
    found: datetime | None = rows[0]["expires_at"]
    return found


def identity(partner: OnboardedPartner, environment: Environment = PRODUCTION) -> int:
    return issued(partner, environment).partner_environment_id
