"""Provider accounts: which provider a partner environment uses, and its credentials there, sealed.

An environment has at most one live account. One that was removed opens no more sessions, but what is under
way with it goes on: its callbacks are taken and it is asked.
"""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from proof.core.errors import ConflictError, InvalidInputError, NotFoundError
from proof.core.secrets import Vault
from proof.db import Connection
from proof.partners.audit import Actor, record
from proof.partners.environments import environment_id, lock_partner, names_of
from proof.partners.types import Environment
from proof.ramp.providers.protocols import Account, CredentialField
from proof.ramp.providers.registry import provider_named, providers, simulation

# The associated data of a sealed record of provider_accounts, from the table's columns.
IDENTITY = "provider account {id}"
LONGEST_CREDENTIAL = 4096
_GENERATED_BYTES = 32
_COLUMNS = "id, provider, partner_environment_id, environment, sealed"
_INSERT = f"""
INSERT INTO provider_accounts ({_COLUMNS}, created_at) VALUES ($1, $2, $3, $4, $5, now())
ON CONFLICT (partner_environment_id) WHERE removed_at IS NULL DO NOTHING RETURNING id
"""
_LIVE = f"""
SELECT {_COLUMNS} FROM provider_accounts WHERE partner_environment_id = $1 AND removed_at IS NULL
"""
_LIST = """
SELECT account.id, provider, partner_environment_id, created_at, removed_at,
    (SELECT count(*) FROM provider_callbacks WHERE account_id = account.id AND form = 'raw') AS raw,
    (SELECT count(*) FROM provider_callbacks WHERE account_id = account.id AND form <> 'raw') AS other,
    (SELECT coalesce(sum(count), 0)::bigint FROM unverified_callbacks
     WHERE account_id = account.id) AS unverified
FROM provider_accounts account
WHERE $1::integer[] IS NULL OR partner_environment_id = ANY($1) ORDER BY created_at, account.id
"""


@dataclass(frozen=True, slots=True)
class AccountInfo:
    """An account without its credentials. Callbacks are counted by the form of the body that their
    signature fitted, `unverified` those that none fitted."""

    id: UUID
    provider: str
    partner_id: str
    environment: Environment
    created_at: datetime
    removed_at: datetime | None
    raw: int
    other: int
    unverified: int


async def account_of(
    connection: Connection, vault: Vault, partner_environment_id: int
) -> Account | None:
    """The live account of an environment; None in production without one.

    A sandbox that has none gets one that simulates. Raises SealError.
    """
    row = await connection.fetchrow(_LIVE, partner_environment_id)
    if row is None:
        names = await names_of(connection, [partner_environment_id])
        _, environment = names.get(partner_environment_id, ("", Environment.PRODUCTION))
        if environment is not Environment.SANDBOX:
            return None
        first = simulation()
        made = checked_credentials(first.fields, environment, {})
        await _insert(connection, vault, first.name, partner_environment_id, environment, made)
        row = await connection.fetchrow(_LIVE, partner_environment_id)
    return None if row is None else _account(vault, row)


async def account_ids(connection: Connection, partner_environment_id: int) -> list[UUID]:
    """Those an environment has and had."""
    rows = await connection.fetch(
        "SELECT id FROM provider_accounts WHERE partner_environment_id = $1", partner_environment_id
    )
    return [row["id"] for row in rows]


async def provider_of(connection: Connection, partner_environment_id: int) -> str | None:
    """The name of an environment's provider; None when it has no live account."""
    found: str | None = await connection.fetchval(
        "SELECT provider FROM provider_accounts"
        " WHERE partner_environment_id = $1 AND removed_at IS NULL",
        partner_environment_id,
    )
    return found


async def providers_by_owner(connection: Connection) -> dict[int, str]:
    """The name of the provider of each partner environment that has a live account."""
    rows = await connection.fetch(
        "SELECT partner_environment_id, provider FROM provider_accounts WHERE removed_at IS NULL"
    )
    return {row["partner_environment_id"]: row["provider"] for row in rows}


async def account(connection: Connection, vault: Vault, account_id: UUID) -> Account:
    """The account of that id, removed or not. Raises NotFoundError, SealError."""
    row = await connection.fetchrow(
        f"SELECT {_COLUMNS} FROM provider_accounts WHERE id = $1", account_id
    )
    if row is None:
        raise NotFoundError("there is no such provider account")
    return _account(vault, row)


async def add_account(
    tx: Connection,
    vault: Vault,
    partner_id: str,
    environment: Environment,
    provider: str,
    credentials: Mapping[str, str],
    actor: Actor,
) -> UUID:
    """Give a partner's environment a provider; the account's id. Audited, without the credentials.

    One that simulates makes room; any other account has to be removed first. `credentials` are checked by
    `checked_credentials`. Raises NotFoundError, ConflictError, InvalidInputError for a provider that there
    is not, and for one that simulates in production, where buyers would pay with play money.
    """
    if provider_named(provider).simulates and environment is not Environment.SANDBOX:
        raise InvalidInputError(
            f"provider: {provider} simulates payments, so only a sandbox has it"
        )
    await lock_partner(tx, partner_id)
    owner = await environment_id(tx, partner_id, environment)
    await tx.execute(
        "UPDATE provider_accounts SET removed_at = now()"
        " WHERE partner_environment_id = $1 AND removed_at IS NULL AND provider = ANY($2::text[])",
        owner,
        [name for name, each in providers().items() if each.simulates],
    )
    account_id = await _insert(tx, vault, provider, owner, environment, credentials)
    if account_id is None:
        raise ConflictError(
            f"{environment} of {partner_id} has a provider account; remove it with `proof provider"
            " remove` first"
        )
    after = {"id": str(account_id), "provider": provider, "environment": environment.value}
    await record(tx, actor, "provider.add", partner_id, after=after)
    return account_id


async def remove_account(
    tx: Connection, partner_id: str, environment: Environment, actor: Actor
) -> UUID:
    """Open no more sessions with an environment's account; its id. Audited. Raises NotFoundError."""
    await lock_partner(tx, partner_id)
    owner = await environment_id(tx, partner_id, environment)
    row = await tx.fetchrow(
        "UPDATE provider_accounts SET removed_at = now()"
        " WHERE partner_environment_id = $1 AND removed_at IS NULL RETURNING id, provider",
        owner,
    )
    if row is None:
        raise NotFoundError(f"{environment} of {partner_id} has no provider account")
    before = {
        "id": str(row["id"]),
        "provider": row["provider"],
        "environment": environment.value,
    }
    await record(tx, actor, "provider.remove", partner_id, before=before)
    removed: UUID = row["id"]
    return removed


async def list_accounts(
    connection: Connection, partner_environment_ids: Sequence[int] | None = None
) -> list[AccountInfo]:
    """Accounts, removed ones too, the oldest first; None for those of everybody."""
    rows = await connection.fetch(_LIST, partner_environment_ids)
    names = await names_of(connection, {row["partner_environment_id"] for row in rows})
    return [
        AccountInfo(
            row["id"],
            row["provider"],
            *names[row["partner_environment_id"]],
            row["created_at"],
            row["removed_at"],
            row["raw"],
            row["other"],
            row["unverified"],
        )
        for row in rows
    ]


def checked_credentials(
    known: Sequence[CredentialField], environment: Environment, given: Mapping[str, str]
) -> dict[str, str]:
    """The values an account of the provider holds, defaults and generated ones filled in.

    Raises InvalidInputError that names what is missing, unknown or over LONGEST_CREDENTIAL characters.
    """
    fields = {field.name: field for field in known}
    if unknown := sorted(given.keys() - fields.keys()):
        raise InvalidInputError(f"{', '.join(unknown)}: the provider knows {', '.join(fields)}")
    found = {}
    for name, field in fields.items():
        value = given.get(name, "").strip() or field.default.get(environment, "")
        if not value and field.generated:
            value = secrets.token_hex(_GENERATED_BYTES)
        if not value or len(value) > LONGEST_CREDENTIAL:
            raise InvalidInputError(
                f"{name}: 1 to {LONGEST_CREDENTIAL} characters are required ({field.about})"
            )
        found[name] = value
    return found


async def _insert(
    connection: Connection,
    vault: Vault,
    provider: str,
    owner: int,
    environment: Environment,
    credentials: Mapping[str, str],
) -> UUID | None:
    """None when the environment has a live account."""
    account_id = uuid4()
    plain = json.dumps(dict(credentials)).encode()
    sealed = vault.seal(plain, IDENTITY.format(id=account_id))
    inserted: UUID | None = await connection.fetchval(
        _INSERT, account_id, provider, owner, environment, sealed
    )
    return inserted


def _account(vault: Vault, row: Any) -> Account:
    plain = vault.open(row["sealed"], IDENTITY.format(id=row["id"]))
    return Account(
        row["id"],
        row["provider"],
        row["partner_environment_id"],
        Environment(row["environment"]),
        json.loads(plain),
    )


async def lacking_provider(
    connection: Connection, partner_id: str
) -> dict[Environment, tuple[str, ...]]:
    """What is missing, in words, for each environment that lacks something.

    A sandbox lacks nothing: it gets one that simulates by itself. Raises NotFoundError.
    """
    owner = await environment_id(connection, partner_id, Environment.PRODUCTION)
    if await provider_of(connection, owner) is not None:
        return {}
    said = "provider: no account; `proof provider add` gives it one"
    return {Environment.PRODUCTION: (said,)}
