"""Finding a partner's environment before something of it is changed or shown."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from proof.core.errors import NotFoundError
from proof.db import Connection
from proof.partners.types import Environment

# The installation itself, whoever stamps through the calendar, and the owner of the stamps of the ramp's
# records (migrations 0004, 0012 and 0022). They hold no credentials, addresses or webhooks.
SYSTEM_PARTNER, CALENDAR_PARTNER, RECEIPTS_PARTNER = "ptr_system", "ptr_calendar", "ptr_receipts"
PSEUDO_PARTNERS = [SYSTEM_PARTNER, CALENDAR_PARTNER, RECEIPTS_PARTNER]


@dataclass(frozen=True, slots=True)
class Contact:
    """Whom to write to about a partner environment."""

    partner_id: str
    name: str
    environment: Environment
    email: str


async def contact(connection: Connection, partner_environment_id: int) -> Contact:
    """The partner's contact as it is now. Raises NotFoundError when there is no such environment."""
    row: Any = await connection.fetchrow(
        "SELECT p.id, p.name, e.environment, p.contact_email"
        " FROM partner_environments e JOIN partners p ON p.id = e.partner_id WHERE e.id = $1",
        partner_environment_id,
    )
    if row is None:
        raise NotFoundError(f"there is no partner environment {partner_environment_id}")
    partner_id, name, environment, email = row
    return Contact(partner_id, name, Environment(environment), email)


async def environment_id(connection: Connection, partner_id: str, environment: Environment) -> int:
    """The environment's id. Raises NotFoundError when there is no such partner."""
    found: int | None = await connection.fetchval(
        "SELECT id FROM partner_environments"
        " WHERE partner_id = $1 AND environment = $2 AND partner_id <> ALL($3::text[])",
        _asked(partner_id),
        environment,
        PSEUDO_PARTNERS,
    )
    if found is None:
        raise NotFoundError(f"there is no partner {partner_id!r}; `proof partner list` shows all")
    return found


async def environment_names(
    connection: Connection, partner_id: str | None = None, environment: Environment | None = None
) -> dict[int, tuple[str, Environment]]:
    """The partner and the environment behind each id; None leaves a condition out.

    Raises NotFoundError when a partner is named that there is not.
    """
    rows = await connection.fetch(
        "SELECT id, partner_id, environment FROM partner_environments WHERE partner_id <> ALL($3::text[])"
        " AND ($1::text IS NULL OR partner_id = $1) AND ($2::text IS NULL OR environment = $2)",
        None if partner_id is None else _asked(partner_id),
        environment,
        PSEUDO_PARTNERS,
    )
    if partner_id is not None and not rows:
        raise NotFoundError(f"there is no partner {partner_id!r}; `proof partner list` shows all")
    return {row["id"]: (row["partner_id"], Environment(row["environment"])) for row in rows}


async def names_of(
    connection: Connection, partner_environment_ids: Collection[int]
) -> dict[int, tuple[str, Environment]]:
    """The partner and the environment behind each of these ids."""
    rows = await connection.fetch(
        "SELECT id, partner_id, environment FROM partner_environments WHERE id = ANY($1::integer[])",
        list(partner_environment_ids),
    )
    return {row["id"]: (row["partner_id"], Environment(row["environment"])) for row in rows}


async def lock_partner(tx: Connection, partner_id: str) -> None:
    """Let changes to one partner follow one another. Raises NotFoundError when there is none.

    Taken before any other row of the partner's: changes raise the directory's version too, and in another
    order two of them could wait for each other.
    """
    if not await tx.fetchval(
        "SELECT true FROM partners WHERE id = $1 FOR UPDATE", _asked(partner_id)
    ):
        raise NotFoundError(f"there is no partner {partner_id!r}; `proof partner list` shows all")


def _asked(partner_id: str) -> str:
    # PostgreSQL takes no NUL, and no text with lone surrogates can be sent to it.
    if not partner_id.isascii() or not partner_id.isprintable():
        raise NotFoundError(f"there is no partner {partner_id!r}; `proof partner list` shows all")
    return partner_id
