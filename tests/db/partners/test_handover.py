"""One-time links: seen once, within a day, and erased."""

import asyncio
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest
from tests.db.webhooks.scene import until
from tests.support.application import Platform, Stage
from tests.support.partners import WEBHOOKS, issued, onboard, suspend

from proof.partners.access.rotation import rotate
from proof.partners.audit import Actor
from proof.partners.handover.links import (
    IDENTITY,
    LIFE,
    HandoverGoneError,
    HandoverLink,
    erase_expired,
    make_link,
    open_link,
)
from proof.partners.handover.opening import open_sheet, tokens_of
from proof.partners.handover.sheet import credentials, integration_sheet
from proof.partners.keys.webhook_secrets import rotate_webhook_secret
from proof.partners.records.changes import EnvironmentChange, PartnerChange
from proof.partners.records.service import edit_partner, find_partner
from proof.partners.types import CredentialKind, Environment, OnboardedPartner
from proof.ramp.providers.accounts import lacking_provider
from proof.worker.loops import handover_loop

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
VISITOR = Actor("handover link", "192.0.2.9", "req_9")
URLS = {
    Environment.PRODUCTION: "https://proof.example",
    Environment.SANDBOX: "https://proof.example/sandbox",
}


async def link_to(
    platform: Platform, partner: OnboardedPartner, sheet: str, now: datetime = NOW
) -> HandoverLink:
    async with platform.database.transaction() as tx:
        return await make_link(
            tx, platform.vault, partner.partner_id, sheet, "https://p.example", now, Actor("cli")
        )


def token_of(link: HandoverLink) -> str:
    return link.url.partition("#")[2]


async def opened(platform: Platform, token: str, now: datetime = NOW) -> str:
    async with platform.database.transaction() as tx:
        return (await open_link(tx, platform.vault, token, now, VISITOR)).secrets


async def sheet_behind(platform: Platform, link: HandoverLink, now: datetime = NOW) -> str:
    async with platform.database.transaction() as tx:
        return await open_sheet(
            tx, platform.vault, WEBHOOKS, lacking_provider, URLS, token_of(link), now, VISITOR
        )


async def held(platform: Platform, link: HandoverLink) -> bytes | None:
    (row,) = await platform.fetch(
        "SELECT sealed FROM handovers WHERE token_sha256 = $1",
        sha256(token_of(link).encode()).digest(),
    )
    sealed: bytes | None = row["sealed"]
    return sealed


async def test_it_is_seen_once(platform: Platform) -> None:
    partner = await onboard(platform.database, platform.vault)
    link = await link_to(platform, partner, "# the sheet")
    # In the fragment: no browser sends it, so no log holds it.
    assert re.fullmatch(r"https://p\.example/handover#[0-9A-Za-z]{43}", link.url)
    assert link.expires_at == NOW + LIFE == NOW + timedelta(hours=24)
    assert token_of(link) not in repr(link)
    sealed = await held(platform, link)
    assert sealed is not None
    assert b"the sheet" not in sealed
    assert await opened(platform, token_of(link)) == "# the sheet"
    assert await held(platform, link) is None
    with pytest.raises(HandoverGoneError, match="opened already, at 2026-11-21 12:00:00 UTC"):
        await opened(platform, token_of(link))
    rows = await platform.fetch(
        "SELECT * FROM audit_log WHERE partner_id = $1 ORDER BY id", partner.partner_id
    )
    assert [row["action"] for row in rows[1:]] == ["handover.link", "handover.view"]
    assert (rows[2]["actor"], rows[2]["address"]) == ("handover link", "192.0.2.9")
    assert not any(token_of(link) in str(tuple(row)) for row in rows)


async def test_of_many_at_once_one_sees_it(platform: Platform) -> None:
    partner = await onboard(platform.database, platform.vault)
    link = await link_to(platform, partner, "once")
    results = await asyncio.gather(
        *(opened(platform, token_of(link)) for _ in range(8)), return_exceptions=True
    )
    assert results.count("once") == 1
    assert sum(isinstance(result, HandoverGoneError) for result in results) == 7


def test_after_a_day_it_is_over_and_erased(alone: Stage) -> None:
    platform = alone.platform

    async def scene() -> None:
        partner = await onboard(platform.database, platform.vault)
        link = await link_to(platform, partner, "late")
        younger = await link_to(platform, partner, "younger", NOW + SECOND)
        with pytest.raises(HandoverGoneError, match="not valid, or its day is over"):
            await opened(platform, token_of(link), NOW + LIFE)
        assert await held(platform, link) is not None
        async with platform.database.transaction() as tx:
            assert await erase_expired(tx, NOW + LIFE) == 1
        assert await held(platform, link) is None
        assert await opened(platform, token_of(younger), NOW + LIFE) == "younger"

    alone.run(scene())


@dataclass(frozen=True, slots=True)
class Fixed:
    moment: datetime

    def now(self) -> datetime:
        return self.moment


def test_the_worker_erases_what_is_over(alone: Stage) -> None:
    platform = alone.platform

    async def scene() -> None:
        partner = await onboard(platform.database, platform.vault)
        old = await link_to(platform, partner, "old")
        young = await link_to(platform, partner, "young", NOW + SECOND)
        loop = handover_loop(platform.database, Fixed(NOW + LIFE))
        running = asyncio.create_task(loop.run())

        async def erased() -> bool:
            return await held(platform, old) is None

        await until(erased)
        loop.stop()
        await running
        assert await held(platform, old) is None
        assert await held(platform, young) is not None

    alone.run(scene())


def test_a_new_link_erases_those_that_are_over(alone: Stage) -> None:
    platform = alone.platform

    async def scene() -> None:
        partner = await onboard(platform.database, platform.vault)
        old = await link_to(platform, partner, "old")
        await link_to(platform, partner, "new", NOW + LIFE)
        assert await held(platform, old) is None

    alone.run(scene())


async def test_a_failure_on_the_way_uses_up_nothing(platform: Platform) -> None:
    partner = await onboard(platform.database, platform.vault)
    link = await link_to(platform, partner, "kept")

    async def broken() -> None:
        async with platform.database.transaction() as tx:
            await open_link(tx, platform.vault, token_of(link), NOW, VISITOR)
            raise RuntimeError("the connection broke")

    with pytest.raises(RuntimeError, match="the connection broke"):
        await broken()
    assert await opened(platform, token_of(link)) == "kept"


@pytest.mark.parametrize("token", ["", "x", "0" * 43, "\x00", "ü" * 43])
async def test_an_unknown_token_learns_nothing(platform: Platform, token: str) -> None:
    with pytest.raises(HandoverGoneError, match="not valid, or its day is over"):
        await opened(platform, token)


async def test_it_is_sealed_for_its_own_row(platform: Platform) -> None:
    partner = await onboard(platform.database, platform.vault)
    link = await link_to(platform, partner, "mine")
    digest = sha256(token_of(link).encode()).hexdigest()
    sealed = await held(platform, link)
    assert sealed is not None
    assert platform.vault.open(sealed, IDENTITY.format(token_sha256=digest)) == b"mine"


async def test_the_sheet_shows_what_is_so_when_the_link_is_opened(platform: Platform) -> None:
    partner = await onboard(platform.database, platform.vault)
    link = await link_to(platform, partner, tokens_of(credentials(partner, URLS)))
    production, sandbox = (issued(partner, each) for each in Environment)
    changed = PartnerChange(production=EnvironmentChange(ips=("198.51.100.9",), off_ramp=True))
    how = (Environment.PRODUCTION, CredentialKind.API_KEY, Actor("cli"), NOW)
    async with platform.database.transaction() as tx:
        await edit_partner(tx, WEBHOOKS, partner.partner_id, changed, Actor("cli"))
        replaced = await rotate(tx, partner.partner_id, *how, timedelta(0))
        (secret, *_) = await rotate_webhook_secret(
            tx, platform.vault, partner.partner_id, Environment.SANDBOX, Actor("cli"), NOW
        )
    sheet = await sheet_behind(platform, link, NOW + SECOND)
    assert "`198.51.100.9/32`" in sheet
    assert "203.0.113.0/24" not in sheet.partition("## Sandbox")[0]
    assert "- provider: no account\n" in sheet
    for still in (production.client_token, sandbox.client_token, sandbox.api_key):
        assert still in sheet
    assert "api_key        (ended since this link was made; ask the operator" in sheet
    assert production.api_key not in sheet
    assert replaced.token not in sheet, "whoever replaced it was shown the new one"
    assert production.webhook_secret in sheet
    assert secret.text
    assert secret.text in sheet
    assert sandbox.webhook_secret not in sheet
    assert "Suspended" not in sheet


async def test_the_sheet_of_a_suspended_partner_says_so(platform: Platform) -> None:
    partner = await onboard(platform.database, platform.vault)
    link = await link_to(platform, partner, tokens_of(credentials(partner, URLS)))
    await suspend(platform.database, partner)
    assert "**Suspended:** every call is refused" in await sheet_behind(platform, link)


async def test_the_sheet_holds_secrets_only_when_they_are_given(platform: Platform) -> None:
    partner = await onboard(platform.database, platform.vault, "A|b *c*")
    async with platform.database.connection() as connection:
        record = await find_partner(connection, WEBHOOKS, partner.partner_id)
    plain = integration_sheet(record, URLS)
    full = integration_sheet(record, URLS, credentials(partner, URLS))
    for environment in Environment:
        item = issued(partner, environment)
        for secret in (item.client_token, item.api_key, item.webhook_secret):
            assert secret in full
            assert secret not in plain
        assert item.widget_id in plain
    for said in (
        "# A\\|b \\*c\\*: integration sheet",
        partner.partner_id,
        "`203.0.113.0/24`",
        "USDT, BTC, ETH",
        "curl 'https://proof.example/sandbox/v1/timestamp'",
        "curl 'https://proof.example/sandbox/widget/session'",
        "https://proof.example/docs/integration",
        "- currencies: none is enabled",
    ):
        assert said in plain, said
    assert not re.search(r"proof_(live|test|ops)_|whsec_", plain)
