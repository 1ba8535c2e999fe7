"""Changing an allowlist: who is let in afterwards, what is refused, what is on record."""

import json
from collections.abc import Callable
from ipaddress import ip_network
from typing import Any

import pytest
from tests.db.partners.processes import (
    API_KEY,
    CLIENT_TOKEN,
    OPERATOR,
    PRODUCTION,
    SANDBOX,
    Process,
    identity,
)
from tests.db.webhooks.scene import TurnedClock
from tests.support.application import Platform
from tests.support.partners import issued, onboard

from proof.core.errors import InvalidInputError, NotFoundError
from proof.partners.access.allowlists import AllowlistInfo, Place, add, remove, set_mode, show
from proof.partners.access.networks import AllowlistMode
from proof.partners.errors import AddressNotAllowedError
from proof.partners.types import CredentialKind, Environment, OnboardedPartner

ELSEWHERE = "198.51.100.7"
REPORT, ENFORCE = AllowlistMode.REPORT, AllowlistMode.ENFORCE


def place(
    partner: OnboardedPartner,
    kind: CredentialKind = CLIENT_TOKEN,
    environment: Environment = PRODUCTION,
) -> Place:
    return Place(partner.partner_id, environment, kind)


async def changed(
    platform: Platform, change: Callable[..., Any], *args: Any, **options: Any
) -> Any:
    async with platform.database.transaction() as tx:
        return await change(tx, *args, OPERATOR, **options)


async def test_an_added_network_is_let_in_and_a_removed_one_is_not(platform: Platform) -> None:
    partner = await onboard(platform.database, platform.vault)
    process = Process(platform.database, TurnedClock())
    token, wanted = issued(partner).client_token, ip_network("198.51.100.0/24")
    with pytest.raises(AddressNotAllowedError):
        await process.enter(token, CLIENT_TOKEN, ELSEWHERE)
    info: AllowlistInfo = await changed(platform, add, place(partner), wanted)
    assert info.networks == (wanted, ip_network("203.0.113.0/24"))
    await process.enter(token, CLIENT_TOKEN, ELSEWHERE)
    info = await changed(platform, remove, place(partner), wanted)
    assert info.networks == (ip_network("203.0.113.0/24"),)
    with pytest.raises(AddressNotAllowedError):
        await process.enter(token, CLIENT_TOKEN, ELSEWHERE)


async def test_each_environment_and_kind_has_its_own_list(platform: Platform) -> None:
    partner = await onboard(platform.database, platform.vault)
    wanted = ip_network("192.0.2.0/24")
    await changed(platform, add, place(partner, API_KEY, SANDBOX), wanted)
    async with platform.database.connection() as connection:
        for kind in CredentialKind:
            for environment in Environment:
                info = await show(connection, place(partner, kind, environment))
                there = (kind, environment) == (API_KEY, SANDBOX)
                assert (wanted in info.networks) is there
                assert info.mode is ENFORCE


async def test_a_list_that_reports_lets_everybody_in_and_says_whom(platform: Platform) -> None:
    partner = await onboard(platform.database, platform.vault)
    process, token = Process(platform.database, TurnedClock()), issued(partner).client_token
    await changed(platform, set_mode, place(partner), REPORT)
    await process.enter(token, CLIENT_TOKEN, ELSEWHERE)
    await process.enter(token, CLIENT_TOKEN, "203.0.113.9")
    await process.write()
    rows = await platform.fetch(
        "SELECT reason, network, count FROM refusals WHERE partner_environment_id = $1",
        identity(partner),
    )
    assert [tuple(row) for row in rows] == [
        ("ip_would_be_refused", ip_network(f"{ELSEWHERE}/32"), 1)
    ]
    await changed(platform, set_mode, place(partner), ENFORCE)
    with pytest.raises(AddressNotAllowedError):
        await process.enter(token, CLIENT_TOKEN, ELSEWHERE)


@pytest.mark.parametrize("text", ["0.0.0.0/0", "::/0", "10.0.0.0/7", "2000::/3"])
async def test_a_very_wide_network_needs_force_and_is_on_record(
    platform: Platform, text: str
) -> None:
    partner, wide = await onboard(platform.database, platform.vault), ip_network(text)
    with pytest.raises(InvalidInputError, match=r"wider than /8 \(IPv4\) or /32 \(IPv6\)"):
        await changed(platform, add, place(partner), wide)
    await changed(platform, add, place(partner), wide, force=True)
    (entry,) = await platform.fetch(
        "SELECT actor, before, after FROM audit_log WHERE partner_id = $1"
        " AND action = 'allowlist.add'",
        partner.partner_id,
    )
    after = json.loads(entry["after"])
    assert after["forced"] is True
    assert text in after["networks"]
    assert text not in json.loads(entry["before"])["networks"]


async def test_what_changes_nothing_writes_nothing(platform: Platform) -> None:
    partner = await onboard(platform.database, platform.vault)
    known = ip_network("203.0.113.0/24")
    version = "SELECT version FROM partners WHERE id = $1"
    before = await platform.fetch(version, partner.partner_id)
    await changed(platform, add, place(partner), known)
    await changed(platform, set_mode, place(partner), ENFORCE)
    assert await platform.fetch(version, partner.partner_id) == before
    await changed(platform, add, place(partner), ip_network("192.0.2.1"))
    after = await platform.fetch(version, partner.partner_id)
    assert after[0]["version"] == before[0]["version"] + 1


async def test_the_last_production_address_stays(platform: Platform) -> None:
    partner = await onboard(platform.database, platform.vault, sandbox_networks=("192.0.2.1",))
    with pytest.raises(InvalidInputError, match="is the last production address"):
        await changed(platform, remove, place(partner), ip_network("203.0.113.0/24"))
    info = await changed(
        platform, remove, place(partner, CLIENT_TOKEN, SANDBOX), ip_network("192.0.2.1")
    )
    assert info.networks == ()


async def test_what_is_not_there_is_said(platform: Platform) -> None:
    partner = await onboard(platform.database, platform.vault)
    with pytest.raises(NotFoundError, match="is not on that allowlist"):
        await changed(platform, remove, place(partner), ip_network("192.0.2.1"))
    nobody = Place("ptr_nobody", PRODUCTION, API_KEY)
    for change, wanted in ((add, ip_network("192.0.2.1")), (set_mode, REPORT)):
        with pytest.raises(NotFoundError, match="no partner 'ptr_nobody'"):
            await changed(platform, change, nobody, wanted)
