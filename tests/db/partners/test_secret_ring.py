"""The ring of webhook secrets: while one takes the place of another, either verifies what is sent."""

import asyncio
import json
from base64 import b64decode
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError
from tests.db.webhooks.scene import (
    FakeClient,
    TurnedClock,
    deliverer,
    endpoint,
    happen,
    relay_all,
)
from tests.support.application import Platform
from tests.support.partners import issued

from proof.core.clock import SystemClock
from proof.core.errors import InvalidInputError, NotFoundError
from proof.db import Connection
from proof.partners.audit import Actor
from proof.partners.keys.webhook_secrets import (
    WebhookSecret,
    list_webhook_secrets,
    rotate_webhook_secret,
    show_webhook_secrets,
    webhook_secret_text,
    webhook_secrets,
)
from proof.partners.types import Environment, OnboardedPartner
from proof.webhooks.signing import x_signature

PRODUCTION, SANDBOX = Environment.PRODUCTION, Environment.SANDBOX
OPERATOR = Actor("cli")


async def rotate(
    platform: Platform, partner: OnboardedPartner, **how: Any
) -> tuple[WebhookSecret, ...]:
    now = SystemClock().now()
    async with platform.database.transaction() as tx:
        return await rotate_webhook_secret(
            tx, platform.vault, partner.partner_id, PRODUCTION, OPERATOR, now, **how
        )


async def live(platform: Platform, partner: OnboardedPartner) -> list[str]:
    async with platform.database.connection() as connection:
        owner = issued(partner).partner_environment_id
        found = await webhook_secrets(connection, platform.vault, owner)
    return [webhook_secret_text(raw) for raw in found]


async def sent(platform: Platform, partner: OnboardedPartner) -> tuple[bytes, dict[str, str]]:
    """What the deliverer sends to the partner now: body and headers."""
    client, owner = FakeClient(), issued(partner).partner_environment_id
    await endpoint(platform.database, "https://one.example/", to=owner)
    await happen(platform.database, to=owner)
    await relay_all(platform.database)

    async def ring(connection: Connection, identity: int) -> Sequence[bytes]:
        return await webhook_secrets(connection, platform.vault, identity)

    await deliverer(platform.database, client, TurnedClock(), secrets=ring).run_once()
    ((_, body, headers),) = client.sent
    return body, headers


async def test_either_secret_verifies_during_a_rotation(platform: Platform) -> None:
    partner = await platform.onboard()
    old = issued(partner).webhook_secret
    new, ending = await rotate(platform, partner)
    body, headers = await sent(platform, partner)
    for secret in (old, new.text):
        assert Webhook(secret).verify(body, headers) == json.loads(body)
    assert len(headers["webhook-signature"].split()) == 2
    raw = b64decode(new.text.removeprefix("whsec_"))
    assert headers["x-signature"] == x_signature(raw, body), "one value: the newest secret's"
    assert ending.ends_at is not None
    assert ending.text == ""


async def test_after_the_grace_only_the_new_secret_signs(platform: Platform) -> None:
    partner = await platform.onboard()
    old = issued(partner).webhook_secret
    (new,) = await rotate(platform, partner, grace=timedelta(0))
    body, headers = await sent(platform, partner)
    Webhook(new.text).verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(old).verify(body, headers)
    assert await live(platform, partner) == [new.text]


async def test_several_rotations_in_one_grace_keep_all_secrets_and_their_ends(
    platform: Platform,
) -> None:
    partner = await platform.onboard()
    first = issued(partner).webhook_secret
    second, old = await rotate(platform, partner, grace=timedelta(hours=1))
    third, *others = await rotate(platform, partner, grace=timedelta(days=7))
    assert await live(platform, partner) == [third.text, second.text, first]
    assert [other.id for other in others] == [second.id, old.id]
    assert others[1].ends_at == old.ends_at, "an end that is set comes no later"
    body, headers = await sent(platform, partner)
    for secret in (first, second.text, third.text):
        Webhook(secret).verify(body, headers)


async def test_two_rotations_at_once_leave_one_that_stays(platform: Platform) -> None:
    partner = await platform.onboard()
    both = await asyncio.gather(rotate(platform, partner), rotate(platform, partner))
    async with platform.database.connection() as connection:
        found = await list_webhook_secrets(connection, partner.partner_id, PRODUCTION)
    assert [secret.ends_at is None for secret in found] == [True, False, False]
    newest = (await live(platform, partner))[:2]
    assert set(newest) == {new.text for new, *_ in both}


async def test_acts_are_recorded_without_secrets(platform: Platform) -> None:
    partner = await platform.onboard()
    new, old = await rotate(platform, partner)
    async with platform.database.transaction() as tx:
        shown = await show_webhook_secrets(
            tx, platform.vault, partner.partner_id, PRODUCTION, OPERATOR
        )
    assert [secret.text for secret in shown] == [new.text, issued(partner).webhook_secret]
    rows = await platform.fetch(
        "SELECT action, after FROM audit_log WHERE partner_id = $1 AND action LIKE 'webhook%'"
        " ORDER BY id",
        partner.partner_id,
    )
    rotated, looked = [(row["action"], json.loads(row["after"])) for row in rows]
    assert rotated[0] == "webhook_secret.rotate"
    assert (rotated[1]["id"], list(rotated[1]["ending"])) == (str(new.id), [str(old.id)])
    assert looked == (
        "webhook_secret.show",
        {"environment": "production", "ids": [str(new.id), str(old.id)]},
    )
    assert "whsec_" not in repr((new, old, shown))


async def test_the_other_environment_keeps_its_own(platform: Platform) -> None:
    partner = await platform.onboard()
    await rotate(platform, partner)
    async with platform.database.transaction() as tx:
        (only,) = await show_webhook_secrets(
            tx, platform.vault, partner.partner_id, SANDBOX, OPERATOR
        )
    assert only.text == issued(partner, SANDBOX).webhook_secret


async def test_what_cannot_be_rotated_changes_nothing(platform: Platform) -> None:
    partner = await platform.onboard()
    for grace in (timedelta(seconds=-1), timedelta(days=7, seconds=1)):
        with pytest.raises(InvalidInputError, match="grace"):
            await rotate(platform, partner, grace=grace)
    assert await live(platform, partner) == [issued(partner).webhook_secret]
    async with platform.database.transaction() as tx:
        for nobody in ("ptr_nobody", "ptr_system"):
            with pytest.raises(NotFoundError):
                await rotate_webhook_secret(
                    tx, platform.vault, nobody, PRODUCTION, OPERATOR, SystemClock().now()
                )
