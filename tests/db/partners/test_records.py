"""Records in the database: changed whole or not at all, audited, never over another operator's change."""

import asyncio
import json
from ipaddress import ip_network
from typing import Any

import msgspec
import pytest
from tests.support.application import Platform
from tests.support.partners import WEBHOOKS, issued, onboard, owner_of

from proof.core.errors import ConflictError, InvalidInputError, NotFoundError
from proof.partners.audit import Actor
from proof.partners.records.changes import Difference, PartnerChange
from proof.partners.records.sandbox import NEW_SANDBOX
from proof.partners.records.service import (
    edit_partner,
    find_partner,
    list_partners,
    plan_edit,
    set_status,
)
from proof.partners.records.types import PartnerRecord
from proof.partners.types import CredentialKind, Environment, OnboardedPartner

OPERATOR = Actor("op_1", "192.0.2.1", "req_1")
TRON = "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t"
EVERYTHING: dict[str, Any] = {
    "name": "Acme 2",
    "contact_email": "two@acme.example",
    "production": {
        "ips": ["203.0.113.0/24", "2001:db8::/48"],
        "timestamp_ips": ["192.0.2.7/32"],
        "off_ramp": True,
        "own_address": True,
        "currencies": ["USDT", "BTC"],
        "networks": ["TRC20", "BTC"],
        "wallets": [{"currency": "USDT", "network": "TRC20", "address": TRON, "active": False}],
        "amounts": [
            {"currency": "USDT", "network": "TRC20", "minimum": "20", "maximum": "500.5"},
        ],
        "widget_origins": ["https://z.example", "https://a.example"],
        "widget_config": {
            "type": "sell",
            "currencies": ["USDT"],
            "networks": ["TRC20"],
            "fiat_currency": "EUR",
            "fiat_currencies": ["USD", "EUR"],
            "lang": "pt-BR",
            "theme": "dark",
            "redirect_url": "https://shop.example/done?x=1",
        },
        "webhook": "https://hooks.acme.example/x",
        "limits": {"timestamps": 5, "proofs": 0, "status": "unlimited"},
    },
    "sandbox": {
        "ips": ["198.51.100.0/24"],
        "wallets": [],
        "webhook": "https://hooks.acme.example/s",
    },
}


def change(raw: dict[str, Any]) -> PartnerChange:
    return msgspec.convert(raw, PartnerChange)


async def read(platform: Platform, partner: OnboardedPartner) -> PartnerRecord:
    async with platform.database.connection() as connection:
        return await find_partner(connection, WEBHOOKS, partner.partner_id)


async def edit(
    platform: Platform, partner: OnboardedPartner, raw: dict[str, Any], **options: Any
) -> tuple[PartnerRecord, list[Difference]]:
    async with platform.database.transaction() as tx:
        return await edit_partner(
            tx, WEBHOOKS, partner.partner_id, change(raw), OPERATOR, **options
        )


async def audit(platform: Platform, partner: OnboardedPartner) -> list[Any]:
    return await platform.fetch(
        "SELECT * FROM audit_log WHERE partner_id = $1 ORDER BY id", partner.partner_id
    )


async def test_a_new_partner_has_a_working_sandbox_and_an_empty_production(
    platform: Platform,
) -> None:
    partner = await onboard(platform.database, platform.vault)
    record = await read(platform, partner)
    assert (record.name, record.status, record.version) == ("Acme", "active", 1)
    assert record.production.ips == ("203.0.113.0/24",)
    assert (record.production.currencies, record.production.wallets) == ((), ())
    for item in ("currencies", "networks", "wallets"):
        assert getattr(record.sandbox, item) == getattr(NEW_SANDBOX, item)


async def test_every_field_is_stored_and_read_back(platform: Platform) -> None:
    partner = await onboard(platform.database, platform.vault)
    changed, differing = await edit(platform, partner, EVERYTHING)
    stored = await read(platform, partner)
    assert stored == changed
    assert stored.version == 2
    document = msgspec.to_builtins(stored)
    for environment in ("production", "sandbox"):
        for name, value in EVERYTHING[environment].items():
            assert json.loads(json.dumps(document[environment][name])) == value, name
    assert [item.field for item in differing if item.field.startswith("sandbox.wallets")]
    owner = await owner_of(platform.database, partner)
    assert owner.allowlists[CredentialKind.CLIENT_TOKEN] == tuple(
        map(ip_network, ("203.0.113.0/24", "2001:db8::/48"))
    )
    assert owner.limits.all() == (5, 0, None)


async def test_a_change_is_audited_with_before_and_after(platform: Platform) -> None:
    partner = await onboard(platform.database, platform.vault)
    raw = {"production": {"off_ramp": True, "limits": {"proofs": 3}}}
    await edit(platform, partner, raw)
    row = (await audit(platform, partner))[-1]
    assert (row["actor"], row["address"], row["request_id"], row["action"]) == (
        "op_1", "192.0.2.1", "req_1", "partner.edit",
    )  # fmt: skip
    assert json.loads(row["before"]) == {
        "production.off_ramp": False,
        "production.limits.proofs": "unlimited",
    }
    assert json.loads(row["after"]) == {
        "production.off_ramp": True,
        "production.limits.proofs": 3,
    }


async def test_nothing_to_change_writes_nothing(platform: Platform) -> None:
    partner = await onboard(platform.database, platform.vault)
    await edit(platform, partner, EVERYTHING)
    before = await audit(platform, partner)
    record, differing = await edit(platform, partner, EVERYTHING)
    assert (differing, record.version) == ([], 2)
    assert await audit(platform, partner) == before


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a value": ({"production": {"currencies": ["?"]}}, r"^production.currencies\[0\]"),
    "a webhook": (
        {"name": "X", "sandbox": {"webhook": "http://a.example"}},
        "^sandbox.webhook: the target URL",
    ),
    "a wide network": ({"name": "X", "production": {"ips": ["0.0.0.0/0"]}}, "^production.ips: 0.0"),
    "a credential": (
        {"production": {"widget_config": {"redirect_url": "https://a.example/proof_live_x"}}},
        "looks like a credential",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_what_is_refused_leaves_all_as_it_was(platform: Platform, case: str) -> None:
    raw, said = REFUSED[case]

    partner = await onboard(platform.database, platform.vault)
    before, entries = await read(platform, partner), await audit(platform, partner)
    with pytest.raises(InvalidInputError, match=said):
        await edit(platform, partner, raw)
    assert await read(platform, partner) == before
    assert await audit(platform, partner) == entries


async def test_a_wide_network_that_was_forced_is_noted(platform: Platform) -> None:
    partner = await onboard(platform.database, platform.vault)
    await edit(platform, partner, {"production": {"ips": ["0.0.0.0/0", "::/0"]}}, force=True)
    after = json.loads((await audit(platform, partner))[-1]["after"])
    assert after["forced"] == ["production.ips: 0.0.0.0/0", "production.ips: ::/0"]
    # It is there now; another change needs no force for it.
    await edit(platform, partner, {"name": "Still open"})


async def test_two_operators_cannot_overwrite_each_other(platform: Platform) -> None:
    partner = await onboard(platform.database, platform.vault)
    names = [f"Name {number}" for number in range(5)]
    results = await asyncio.gather(
        *(edit(platform, partner, {"name": name}, version=1) for name in names),
        return_exceptions=True,
    )
    lost = [result for result in results if isinstance(result, ConflictError)]
    (won,) = [result for result in results if isinstance(result, tuple)]
    assert len(lost) == 4
    assert "at version 2, not 1" in lost[0].message
    assert (await read(platform, partner)).name == won[0].name
    assert len(await audit(platform, partner)) == 2


async def test_changes_without_a_version_follow_one_another(platform: Platform) -> None:
    partner = await onboard(platform.database, platform.vault)
    changes = [{"production": {"limits": {kind: 1}}} for kind in ("timestamps", "proofs", "status")]
    await asyncio.gather(*(edit(platform, partner, raw) for raw in changes))
    record = await read(platform, partner)
    assert record.version == 4
    assert msgspec.to_builtins(record.production.limits) == {
        "timestamps": 1, "proofs": 1, "status": 1,
    }  # fmt: skip


async def test_a_plan_says_what_the_edit_then_does_and_writes_nothing(platform: Platform) -> None:
    partner = await onboard(platform.database, platform.vault)
    before = await read(platform, partner)
    async with platform.database.connection() as connection:
        planned, differing = await plan_edit(
            connection, WEBHOOKS, partner.partner_id, change(EVERYTHING)
        )
    assert await read(platform, partner) == before
    after, done = await edit(platform, partner, EVERYTHING, version=planned.version)
    assert done == differing
    assert after == msgspec.structs.replace(planned, version=2)


async def test_a_suspended_partner_is_refused_and_let_in_again(platform: Platform) -> None:
    partner = await platform.onboard()
    call = ("POST", "/v1/api-key/usage", {"year": 2026})
    token = issued(partner).api_key

    async def set_to(status: Any) -> PartnerRecord:
        async with platform.database.transaction() as tx:
            done = await set_status(tx, WEBHOOKS, partner.partner_id, status, OPERATOR)
        await platform.poll()
        return done

    assert (await set_to("suspended")).version == 2
    assert (await platform.call(*call, token=token)).status == 403
    assert (await set_to("suspended")).version == 2, "it is so already"
    assert (await set_to("active")).status == "active"
    assert (await platform.call(*call, token=token)).status == 200
    actions = [row["action"] for row in await audit(platform, partner)]
    assert actions == ["partner.add", "partner.suspend", "partner.resume"]


@pytest.mark.parametrize("partner_id", ["", "ptr_none", "ptr_system", "\x00", "ü", "x" * 5000])
async def test_who_is_not_there_is_not_found(platform: Platform, partner_id: str) -> None:
    async with platform.database.transaction() as tx:
        with pytest.raises(NotFoundError):
            await find_partner(tx, WEBHOOKS, partner_id)
        with pytest.raises(NotFoundError):
            await edit_partner(tx, WEBHOOKS, partner_id, change({"name": "X"}), OPERATOR)
        with pytest.raises(NotFoundError):
            await set_status(tx, WEBHOOKS, partner_id, "suspended", OPERATOR)
        with pytest.raises(InvalidInputError, match=r"^after: "):
            await list_partners(tx, partner_id, 10)


async def test_pages_hold_everybody_once_in_their_order(platform: Platform) -> None:
    added = [
        (await onboard(platform.database, platform.vault, f"P{number}")).partner_id
        for number in range(7)
    ]
    seen: list[str] = []
    async with platform.database.connection() as connection:
        while page := await list_partners(connection, seen[-1] if seen else None, 3):
            assert len(page) <= 3
            seen += [item.partner_id for item in page]
        for limit in (0, -1, 201):
            with pytest.raises(InvalidInputError, match=r"^limit: "):
                await list_partners(connection, None, limit)
    assert seen[-7:] == added
    assert len(set(seen)) == len(seen)
    assert "ptr_system" not in seen


async def test_a_partner_can_begin_with_a_whole_record(platform: Platform) -> None:
    partner = await onboard(
        platform.database, platform.vault, off_ramp=True, widget_origins=("https://a.example",)
    )
    record = await read(platform, partner)
    for environment in Environment:
        part = record.environment(environment)
        assert (part.off_ramp, part.widget_origins) == (True, ("https://a.example",))
        assert part.widget_id == issued(partner, environment).widget_id
