"""Changing who may call from where. Every process knows within a second."""

from typing import NamedTuple

from proof.core.errors import InvalidInputError, NotFoundError
from proof.db import Connection
from proof.partners.access.networks import AllowlistMode, is_very_wide
from proof.partners.audit import Actor, record
from proof.partners.environments import environment_id, lock_partner
from proof.partners.types import CredentialKind, Environment, Network


class Place(NamedTuple):
    """Which allowlist."""

    partner_id: str
    environment: Environment
    kind: CredentialKind


class AllowlistInfo(NamedTuple):
    """An allowlist as it is."""

    place: Place
    mode: AllowlistMode
    networks: tuple[Network, ...]


async def show(connection: Connection, place: Place) -> AllowlistInfo:
    """One allowlist. Raises NotFoundError when there is no such partner."""
    identity = await environment_id(connection, place.partner_id, place.environment)
    mode = await connection.fetchval(
        "SELECT mode FROM allowlist_modes WHERE partner_environment_id = $1 AND kind = $2",
        identity,
        place.kind,
    )
    rows = await connection.fetch(
        "SELECT network FROM allowlist WHERE partner_environment_id = $1 AND kind = $2"
        " ORDER BY family(network), network",
        identity,
        place.kind,
    )
    networks = tuple(row["network"] for row in rows)
    return AllowlistInfo(place, AllowlistMode(mode or AllowlistMode.ENFORCE), networks)


async def add(
    tx: Connection, place: Place, network: Network, actor: Actor, *, force: bool = False
) -> AllowlistInfo:
    """Put a network on the list; the list afterwards. One that is there already changes nothing.

    Raises NotFoundError, or InvalidInputError for a very wide network without `force`.
    """
    wide = is_very_wide(network)
    if wide and not force:
        raise InvalidInputError(
            f"{network} is wider than /8 (IPv4) or /32 (IPv6); use --force if it is meant"
        )
    before = await _locked(tx, place)
    if network in before.networks:
        return before
    identity = await environment_id(tx, place.partner_id, place.environment)
    await tx.execute(
        "INSERT INTO allowlist (partner_environment_id, kind, network) VALUES ($1, $2, $3)",
        identity,
        place.kind,
        network,
    )
    return await _recorded(tx, before, actor, "allowlist.add", forced=wide)


async def remove(tx: Connection, place: Place, network: Network, actor: Actor) -> AllowlistInfo:
    """Take a network off the list; the list afterwards.

    Raises NotFoundError when it is not on it, and InvalidInputError for the last one of the production
    `client_token`, which a partner must have.
    """
    before = await _locked(tx, place)
    if network not in before.networks:
        raise NotFoundError(f"{network} is not on that allowlist")
    needed = (place.environment, place.kind) == (
        Environment.PRODUCTION,
        CredentialKind.CLIENT_TOKEN,
    )
    if needed and len(before.networks) == 1:
        raise InvalidInputError(
            f"{network} is the last production address; add another first, or suspend the partner"
        )
    identity = await environment_id(tx, place.partner_id, place.environment)
    await tx.execute(
        "DELETE FROM allowlist WHERE partner_environment_id = $1 AND kind = $2 AND network = $3",
        identity,
        place.kind,
        network,
    )
    return await _recorded(tx, before, actor, "allowlist.remove")


async def set_mode(
    tx: Connection, place: Place, mode: AllowlistMode, actor: Actor
) -> AllowlistInfo:
    """Enforce a list, or only report whom it would refuse. Raises NotFoundError."""
    before = await _locked(tx, place)
    if before.mode is mode:
        return before
    identity = await environment_id(tx, place.partner_id, place.environment)
    await tx.execute(
        "INSERT INTO allowlist_modes (partner_environment_id, kind, mode) VALUES ($1, $2, $3)"
        " ON CONFLICT (partner_environment_id, kind) DO UPDATE SET mode = excluded.mode",
        identity,
        place.kind,
        mode,
    )
    return await _recorded(tx, before, actor, "allowlist.mode")


async def _locked(tx: Connection, place: Place) -> AllowlistInfo:
    await lock_partner(tx, place.partner_id)
    return await show(tx, place)


async def _recorded(
    tx: Connection, before: AllowlistInfo, actor: Actor, action: str, *, forced: bool = False
) -> AllowlistInfo:
    partner_id, environment, kind = before.place
    # The list is part of the partner's record, so its change raises the record's version: an edit that was
    # begun before it is refused.
    await tx.execute("UPDATE partners SET version = version + 1 WHERE id = $1", partner_id)
    after = await show(tx, before.place)
    where = {"environment": str(environment), "kind": str(kind)}
    await record(
        tx,
        actor,
        action,
        partner_id,
        before=where | _written(before),
        after=where | _written(after) | ({"forced": True} if forced else {}),
    )
    return after


def _written(info: AllowlistInfo) -> dict[str, object]:
    return {"mode": str(info.mode), "networks": [str(network) for network in info.networks]}
