"""Reading and changing partner records, in the caller's transaction."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from proof.core.errors import ConflictError, InvalidInputError, NotFoundError
from proof.db import Connection
from proof.partners.audit import Actor, SecretInAuditError, record
from proof.partners.records import queries
from proof.partners.records.changes import Difference, PartnerChange, differences, merged
from proof.partners.records.checks import checked, field, very_wide
from proof.partners.records.types import (
    EnvironmentRecord,
    PartnerRecord,
    PartnerSummary,
    WebhookTarget,
)
from proof.partners.types import CredentialKind, Environment

PAGE_MAX = 200
Status = Literal["active", "suspended"]
Edited = tuple[PartnerRecord, list[Difference]]


async def find_partner(
    connection: Connection, webhooks: WebhookTarget, partner_id: str
) -> PartnerRecord:
    """A partner's record. Raises NotFoundError."""
    found, _ = await _read(connection, webhooks, partner_id, lock=False)
    return found


async def list_partners(
    connection: Connection, after: str | None, limit: int
) -> Sequence[PartnerSummary]:
    """Up to `limit` partners in the order they came; `after` is the last partner id of the page before.

    Raises InvalidInputError for a `limit` out of 1 to PAGE_MAX or an `after` that is nobody's.
    """
    if not 1 <= limit <= PAGE_MAX:
        raise InvalidInputError(f"limit: 1 to {PAGE_MAX} are possible, not {limit}")
    if after is not None and await queries.select_partner(connection, after, lock=False) is None:
        raise InvalidInputError(f"after: there is no partner {after!r}")
    return await queries.select_page(connection, after, limit)


async def plan_edit(
    connection: Connection, webhooks: WebhookTarget, partner_id: str, change: PartnerChange
) -> Edited:
    """What `edit_partner` would make of the record, and every difference; nothing is written.

    Raises NotFoundError or InvalidInputError. Webhook URLs are not checked yet.
    """
    before, _ = await _read(connection, webhooks, partner_id, lock=False)
    after = checked(merged(before, change))
    return after, differences(before, after)


async def edit_partner(
    tx: Connection,
    webhooks: WebhookTarget,
    partner_id: str,
    change: PartnerChange,
    actor: Actor,
    *,
    version: int | None = None,
    force: bool = False,
) -> Edited:
    """Change a record; the record afterwards, and every difference. Without any, nothing is written.

    `version` is the one the operator saw. Raises NotFoundError; ConflictError when the record moved on
    since; InvalidInputError for a value that is wrong, or for a very wide network without `force`.
    """
    before, ids = await _read(tx, webhooks, partner_id, lock=True)
    if version is not None and version != before.version:
        raise ConflictError(
            f"version: the record is at version {before.version}, not {version}; read it again"
        )
    after = checked(merged(before, change))
    changes = differences(before, after)
    if not changes:
        return before, []
    wide = require_narrow(before, after, force=force)
    after = msgspec.structs.replace(after, version=before.version + 1)
    await queries.update_partner(tx, after)
    await store_environments(tx, webhooks, ids, before, after)
    await record_changes(tx, actor, "partner.edit", partner_id, changes, wide)
    return after, changes


async def set_status(
    tx: Connection, webhooks: WebhookTarget, partner_id: str, status: Status, actor: Actor
) -> PartnerRecord:
    """Suspend a partner or let it go on; nothing is written when it is so already.

    Every credential of a suspended partner is refused within a second. Raises NotFoundError.
    """
    before, _ = await _read(tx, webhooks, partner_id, lock=True)
    if before.status == status:
        return before
    after = msgspec.structs.replace(before, status=status, version=before.version + 1)
    await queries.update_partner(tx, after)
    action = "partner.suspend" if status == "suspended" else "partner.resume"
    await record(
        tx, actor, action, partner_id, before={"status": before.status}, after={"status": status}
    )
    return after


def require_narrow(before: PartnerRecord, after: PartnerRecord, *, force: bool) -> list[str]:
    """The very wide networks that are new. Raises InvalidInputError for the first without `force`."""
    wide = very_wide(before, after)
    if wide and not force:
        raise InvalidInputError(
            f"{wide[0]} is wider than /8 (IPv4) or /32 (IPv6);"
            " use --force (`force` in the API) if it is meant"
        )
    return wide


async def store_environments(
    tx: Connection,
    webhooks: WebhookTarget,
    ids: dict[Environment, int],
    before: PartnerRecord,
    after: PartnerRecord,
) -> None:
    """Write what differs. Raises InvalidInputError for a webhook URL that is not allowed."""
    for environment, identity in ids.items():
        old, new = before.environment(environment), after.environment(environment)
        if old != new:
            await _store(tx, identity, old, new)
        if old.webhook != new.webhook:
            with field(f"{environment}.webhook"):
                await webhooks.put(tx, identity, new.webhook)


async def _store(
    tx: Connection, identity: int, old: EnvironmentRecord, new: EnvironmentRecord
) -> None:
    await queries.update_environment(tx, identity, new)
    if old.ips != new.ips:
        await queries.replace_networks(tx, identity, CredentialKind.CLIENT_TOKEN, new.ips)
    if old.timestamp_ips != new.timestamp_ips:
        await queries.replace_networks(tx, identity, CredentialKind.API_KEY, new.timestamp_ips)
    if old.widget_origins != new.widget_origins:
        await queries.replace_widget_origins(tx, identity, new.widget_origins)
    if old.wallets != new.wallets:
        await queries.replace_wallets(tx, identity, new.wallets)


async def record_changes(
    tx: Connection,
    actor: Actor,
    action: str,
    partner_id: str,
    changes: Sequence[Difference],
    wide: Sequence[str],
) -> None:
    """Audit what changed, and which very wide networks were forced.

    Raises InvalidInputError when somebody put a credential of ours into a field.
    """
    before = {change.field: change.before for change in changes if change.before is not None}
    after = {change.field: change.after for change in changes if change.after is not None}
    if wide:
        after["forced"] = list(wide)
    try:
        await record(tx, actor, action, partner_id, before=before or None, after=after)
    except SecretInAuditError:
        raise InvalidInputError("a value looks like a credential; a record holds none") from None


async def _read(
    connection: Connection, webhooks: WebhookTarget, partner_id: str, *, lock: bool
) -> tuple[PartnerRecord, dict[Environment, int]]:
    row = await queries.select_partner(connection, partner_id, lock=lock)
    if row is None:
        raise NotFoundError(f"there is no partner {partner_id!r}; `proof partner list` shows all")
    found = await queries.select_environments(connection, partner_id)
    environments = {
        environment: msgspec.structs.replace(part, webhook=await webhooks.get(connection, identity))
        for environment, (identity, part) in found.items()
    }
    partner = PartnerRecord(
        partner_id=row["id"],
        name=row["name"],
        contact_email=row["contact_email"],
        status=row["status"],
        version=row["version"],
        created_at=row["created_at"],
        production=environments[Environment.PRODUCTION],
        sandbox=environments[Environment.SANDBOX],
    )
    return partner, {environment: identity for environment, (identity, _) in found.items()}
