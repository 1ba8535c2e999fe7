"""Whose widget an id names."""

from dataclasses import dataclass

from proof.db import Connection
from proof.partners.types import Environment

_FIND = """
SELECT e.id, e.environment, p.name, p.status = 'suspended' AS suspended,
       ARRAY(SELECT origin FROM widget_origins o WHERE o.partner_environment_id = e.id
             ORDER BY position, origin) AS origins
FROM partner_environments e JOIN partners p ON p.id = e.partner_id WHERE e.widget_id = $1
"""


@dataclass(frozen=True, slots=True)
class WidgetOwner:
    """A partner environment as its widget shows it; `origins` are the sites that may frame it."""

    partner_environment_id: int
    environment: Environment
    partner_name: str
    suspended: bool
    origins: tuple[str, ...]


async def widget_ids(connection: Connection) -> frozenset[str]:
    """All of them."""
    rows = await connection.fetch("SELECT widget_id FROM partner_environments")
    return frozenset(row["widget_id"] for row in rows)


async def widget_owner(connection: Connection, widget_id: str) -> WidgetOwner | None:
    """None when no widget has the id."""
    if not widget_id.isascii() or not widget_id.isprintable():
        return None  # no id, and text that PostgreSQL does not take
    row = await connection.fetchrow(_FIND, widget_id)
    if row is None:
        return None
    return WidgetOwner(
        row["id"],
        Environment(row["environment"]),
        row["name"],
        row["suspended"],
        tuple(row["origins"]),
    )
