"""Provider accounts: one live for each environment, sealed, and on demand in a sandbox."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest
from tests.db.ramp.providers.conftest import Scene
from tests.support.partners import issued

from proof.core.errors import ConflictError, InvalidInputError, NotFoundError
from proof.partners.audit import Actor, AuditQuery, newest_entries
from proof.partners.types import Environment
from proof.ramp.providers.accounts import (
    account,
    account_of,
    add_account,
    checked_credentials,
    list_accounts,
    remove_account,
)
from proof.ramp.providers.protocols import Account
from proof.ramp.providers.registry import provider_named

PRODUCTION, SANDBOX = Environment.PRODUCTION, Environment.SANDBOX
GIVEN = {
    "widget_id": "wid",
    "widget_secret": "a widget secret",
    "sign_key": "a sign key",
    "sdk_partner_token": "a partner token",
}


def of(scene: Scene, environment: Environment) -> Account | None:
    at = scene.stage.platform
    owner = issued(scene.partner, environment).partner_environment_id

    async def read() -> Account | None:
        async with at.database.connection() as connection:
            return await account_of(connection, at.vault, owner)

    found: Account | None = scene.run(read())
    return found


def add(scene: Scene, environment: Environment, partner_id: str | None = None) -> UUID:
    at = scene.stage.platform
    credentials = checked_credentials(provider_named("mercuryo").fields, environment, GIVEN)
    partner = partner_id or scene.partner.partner_id

    async def write() -> UUID:
        async with at.database.transaction() as tx:
            return await add_account(
                tx, at.vault, partner, environment, "mercuryo", credentials, Actor("cli")
            )

    added: UUID = scene.run(write())
    return added


def remove(scene: Scene, environment: Environment) -> UUID:
    async def write() -> UUID:
        async with scene.stage.platform.database.transaction() as tx:
            return await remove_account(tx, scene.partner.partner_id, environment, Actor("cli"))

    removed: UUID = scene.run(write())
    return removed


def test_production_has_no_account_until_one_is_added(scene: Scene) -> None:
    assert of(scene, PRODUCTION) is None
    added = add(scene, PRODUCTION)
    found = of(scene, PRODUCTION)
    assert found is not None
    assert (found.id, found.provider, found.environment) == (added, "mercuryo", PRODUCTION)
    assert found.credentials["api_url"] == "https://api.mercuryo.io/v1.6"
    assert {**found.credentials, **GIVEN} == found.credentials


def test_a_sandbox_gets_the_simulator_once_whoever_asks_at_once(scene: Scene) -> None:
    at = scene.stage.platform

    async def read() -> Any:
        async with at.database.connection() as connection:
            return await account_of(connection, at.vault, scene.sandbox)

    async def all_at_once() -> list[Any]:
        return await asyncio.gather(*(read() for _ in range(8)))

    found = scene.run(all_at_once())
    assert len({item.id for item in found}) == 1
    assert found[0].provider == "sandbox"
    assert len(found[0].credentials["sign_key"]) == 64


def test_the_simulator_makes_room_and_no_other_does(scene: Scene) -> None:
    simulator = of(scene, SANDBOX)
    assert simulator is not None
    add(scene, SANDBOX)
    with pytest.raises(ConflictError):
        add(scene, SANDBOX)
    at = scene.stage.platform

    async def old() -> Account:
        async with at.database.connection() as connection:
            return await account(connection, at.vault, simulator.id)

    assert scene.run(old()) == simulator
    assert remove(scene, SANDBOX) != simulator.id
    with pytest.raises(NotFoundError):
        remove(scene, SANDBOX)


def test_credentials_are_sealed_and_in_no_entry_or_representation(scene: Scene) -> None:
    added = add(scene, PRODUCTION)
    at = scene.stage.platform
    row = scene.run(at.fetch("SELECT * FROM provider_accounts WHERE id = $1", added))[0]
    assert all(secret.encode() not in row["sealed"] for secret in GIVEN.values())

    async def entries() -> Any:
        async with at.database.connection() as connection:
            return await newest_entries(connection, 5, AuditQuery(scene.partner.partner_id))

    remove(scene, PRODUCTION)
    newest = scene.run(entries())[:2]
    assert [item.action for item in newest] == ["provider.remove", "provider.add"]
    assert newest[1].after["id"] == str(added)
    assert not [secret for secret in GIVEN.values() if secret in str(newest)]
    assert not [secret for secret in GIVEN.values() if secret in repr(of(scene, SANDBOX))]


def test_accounts_are_listed_with_those_removed(scene: Scene) -> None:
    first = add(scene, PRODUCTION)
    remove(scene, PRODUCTION)
    second = add(scene, PRODUCTION)
    owner = issued(scene.partner, PRODUCTION).partner_environment_id

    async def listed() -> Any:
        async with scene.stage.platform.database.connection() as connection:
            return await list_accounts(connection, [owner])

    found = scene.run(listed())
    assert [(item.id, item.removed_at is None) for item in found] == [
        (first, False),
        (second, True),
    ]
    assert {(item.partner_id, item.unverified) for item in found} == {(scene.partner.partner_id, 0)}


def test_an_account_or_partner_that_there_is_not(scene: Scene) -> None:
    at = scene.stage.platform

    async def read() -> Account:
        async with at.database.connection() as connection:
            return await account(connection, at.vault, uuid4())

    with pytest.raises(NotFoundError):
        scene.run(read())
    with pytest.raises(NotFoundError):
        add(scene, PRODUCTION, "ptr_nobody")
    with pytest.raises(InvalidInputError, match="sandbox, mercuryo"):
        provider_named("nonsense")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"sign_key": ""}, "sign_key"),
        ({"sign_key": " \n"}, "sign_key"),
        ({"widget_id": "x" * 4097}, "widget_id"),
        ({"token": "x"}, "token"),
    ],
)
def test_credentials_that_lack_something_are_refused_by_name(
    change: dict[str, str], named: str
) -> None:
    with pytest.raises(InvalidInputError, match=rf"^{named}: ") as raised:
        checked_credentials(provider_named("mercuryo").fields, PRODUCTION, GIVEN | change)
    assert "secret" not in raised.value.message.replace("widget_secret", "")


def test_the_longest_credential_is_taken() -> None:
    given = GIVEN | {"widget_id": "x" * 4096}
    taken = checked_credentials(provider_named("mercuryo").fields, PRODUCTION, given)
    assert taken["widget_id"] == given["widget_id"]


def test_production_never_has_the_simulator(scene: Scene) -> None:
    at = scene.stage.platform
    how = (scene.partner.partner_id, PRODUCTION, "sandbox", {"sign_key": "k"}, Actor("cli"))

    async def write() -> UUID:
        async with at.database.transaction() as tx:
            return await add_account(tx, at.vault, *how)

    with pytest.raises(InvalidInputError, match="sandbox"):
        scene.run(write())
    assert of(scene, PRODUCTION) is None
