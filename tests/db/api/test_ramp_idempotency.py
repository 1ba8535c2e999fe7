"""Idempotency keys: the first answer again, for a day, whoever asks how often."""

import asyncio
import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.support.application import Answer, Platform, Stage
from tests.support.sessions import BODY, EMAIL, Shop, open_session, ramp_partner

from proof.db import Database
from proof.partners.audit import Actor
from proof.partners.keys import session_signing
from proof.partners.types import Environment

PRODUCTION, SANDBOX = Environment.PRODUCTION, Environment.SANDBOX


async def sent(
    platform: Platform, shop: Shop, key: str, body: bytes | None = None, **changes: Any
) -> Answer:
    raw = json.dumps({**BODY, **changes}).encode() if body is None else body
    headers = [("idempotency-key", key)]
    return await shop.call(platform, SANDBOX, "POST", "/widget/session", raw, headers=headers)


async def test_the_same_key_and_body_get_the_first_answer_byte_for_byte(platform: Platform) -> None:
    shop = await ramp_partner(platform, own_address=True)
    first = await sent(platform, shop, "key 1", client_ip="192.0.2.1")
    assert (first.status, "idempotency-hit" in first.headers) == (200, False)
    body = {"client_ip": "192.0.2.1", **BODY}
    for spelt in (
        json.dumps(body),
        json.dumps(dict(reversed(body.items())), indent=2),
        json.dumps(body, ensure_ascii=False),
    ):
        again = await sent(platform, shop, "key 1", spelt.encode())
        assert (again.status, again.headers["idempotency-hit"]) == (200, "true")
        assert again.body == first.body
    counts = await platform.fetch(
        "SELECT count(*) FROM ramp_transactions WHERE partner_environment_id ="
        " (SELECT id FROM partner_environments WHERE widget_id = $1)",
        shop.widget_id(SANDBOX),
    )
    assert counts[0]["count"] == 1


async def test_another_body_is_a_mismatch_and_another_partner_or_environment_another_key(
    platform: Platform,
) -> None:
    shop, other = await ramp_partner(platform), await ramp_partner(platform)
    first = await sent(platform, shop, "k")
    changed: list[dict[str, Any]] = [
        {"amount": "25.5"},
        {"client_ip": "192.0.2.1"},
        {"type": "buy"},
    ]
    for changes in changed:
        answer = await sent(platform, shop, "k", **changes)
        assert (answer.status, answer.json["error"], answer.json["code"]) == (
            422,
            "invalid_request",
            "idempotency_mismatch",
        )
    found = {first.json["merchant_transaction_id"]}
    for who, environment, key in (
        (shop, SANDBOX, "K"),
        (shop, PRODUCTION, "k"),
        (other, SANDBOX, "k"),
        (other, PRODUCTION, "k"),
        (shop, SANDBOX, None),
        (shop, SANDBOX, None),
    ):
        answer = await open_session(platform, who, environment, key=key)
        assert (answer.status, "idempotency-hit" in answer.headers) == (200, False)
        found.add(answer.json["merchant_transaction_id"])
    assert len(found) == 7


@pytest.mark.parametrize("key", ["", "x" * 256, "a\r\nSet-Cookie: x", "a\x00", "é", "a\tb", "\x7f"])
async def test_a_malformed_key_is_refused(platform: Platform, key: str) -> None:
    shop = await ramp_partner(platform)
    answer = await sent(platform, shop, key)
    assert (answer.status, answer.json["code"]) == (400, "validation_error")
    assert answer.json["message"].startswith("Idempotency-Key:")


async def test_two_keys_are_refused(platform: Platform) -> None:
    shop = await ramp_partner(platform)
    headers = [("idempotency-key", "a"), ("idempotency-key", "a")]
    answer = await shop.call(
        platform, SANDBOX, "POST", "/widget/session", dict(BODY), headers=headers
    )
    assert (answer.status, answer.json["code"]) == (400, "validation_error")


async def test_duplicates_at_once_open_one_session(platform: Platform) -> None:
    shop = await ramp_partner(platform)
    answers = await asyncio.gather(*(sent(platform, shop, "at once") for _ in range(12)))
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 1
    hits = ["idempotency-hit" in answer.headers for answer in answers]
    assert sorted(hits) == [False] + [True] * 11


async def _under_way(database: Database, shop: Shop, key: str, answer: Callable[[], Any]) -> Any:
    """What `answer` gives while a request with the key holds its lock."""
    (owner,) = (
        environment.partner_environment_id
        for environment in shop.partner.environments
        if environment.environment is SANDBOX
    )
    sha256 = hashlib.sha256(key.encode()).digest()
    lock = hashlib.sha256(b"idempotency %d " % owner + sha256).digest()[:8]
    number = int.from_bytes(lock, "big", signed=True)
    async with database.transaction() as tx:
        await tx.execute("SELECT pg_advisory_xact_lock($1)", number)
        return await answer()


async def test_a_duplicate_of_what_is_still_under_way_is_a_conflict(platform: Platform) -> None:
    shop = await ramp_partner(platform)
    answer = await _under_way(platform.database, shop, "slow", lambda: sent(platform, shop, "slow"))
    assert (answer.status, answer.json["error"], answer.json["code"]) == (
        409,
        "conflict",
        "idempotency_in_progress",
    )
    assert (await sent(platform, shop, "slow")).status == 200


async def test_a_key_is_forgotten_after_a_day(platform: Platform) -> None:
    shop = await ramp_partner(platform)
    first = await sent(platform, shop, "daily")
    await _age(platform, timedelta(hours=23, minutes=59))
    assert (await sent(platform, shop, "daily")).body == first.body
    await _age(platform, timedelta(minutes=2))
    answers = await asyncio.gather(*(sent(platform, shop, "daily") for _ in range(4)))
    assert len({answer.body for answer in answers}) == 1
    assert answers[0].body != first.body
    # Another body is another request by now.
    await _age(platform, timedelta(days=1))
    assert (await sent(platform, shop, "daily", amount="1")).status == 200


async def _age(platform: Platform, by: timedelta) -> None:
    await platform.fetch("UPDATE idempotency_keys SET created_at = created_at - $1::interval", by)


async def test_an_answer_is_given_again_after_the_operator_changed_his_mind(
    platform: Platform,
) -> None:
    shop = await ramp_partner(platform)
    first = await sent(platform, shop, "before")
    async with platform.database.transaction() as tx:
        moment = datetime.now(UTC)
        await session_signing.rotate(tx, platform.vault, SANDBOX, Actor("operator"), moment)
    await platform.fetch(
        "UPDATE partner_environments SET currencies = '{}' WHERE widget_id = $1",
        shop.widget_id(SANDBOX),
    )
    await platform.poll()
    again = await sent(platform, shop, "before")
    assert (again.status, again.body) == (200, first.body)
    refused = await sent(platform, shop, "after")
    assert refused.json["code"] == "currency_not_allowed"


def test_the_session_of_a_withdrawn_signing_key_is_not_given_again(alone: Stage) -> None:
    async def scene() -> None:
        platform = alone.platform
        shop = await ramp_partner(platform)
        await sent(platform, shop, "leaked")
        async with platform.database.transaction() as tx:
            how = (SANDBOX, Actor("operator"), datetime.now(UTC))
            await session_signing.rotate(tx, platform.vault, *how, withdraw=True)
        refused = await sent(platform, shop, "leaked")
        assert (refused.status, refused.json["code"]) == (404, "not_found")
        assert "send another key" in refused.json["message"]

    alone.run(scene())


async def test_a_refused_request_uses_up_no_key(platform: Platform) -> None:
    shop = await ramp_partner(platform)
    assert (await sent(platform, shop, "once", amount="0")).status == 400
    assert "idempotency-hit" not in (await sent(platform, shop, "once")).headers


async def test_nothing_personal_is_kept_with_a_key(platform: Platform) -> None:
    shop = await ramp_partner(platform)
    await sent(platform, shop, EMAIL)
    rows = await platform.fetch(
        "SELECT k::text AS k, s::text AS s, t::text AS t FROM idempotency_keys k"
        " JOIN ramp_sessions s USING (transaction_id) JOIN ramp_transactions t ON t.id = transaction_id"
    )
    everything = "".join(value for row in rows for value in row.values())
    spelt = [EMAIL]
    canonical = json.dumps(dict(BODY), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    spelt += [canonical, hashlib.sha256(canonical.encode()).hexdigest()]
    for text in spelt:
        assert text not in everything
        assert text.encode().hex() not in everything
