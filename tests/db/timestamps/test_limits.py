"""A monthly limit holds whatever comes at once, and known hashes cost nothing."""

import asyncio
import secrets

from tests.support.application import Answer, Platform
from tests.support.partners import issued, limit

from proof.partners.types import Environment


async def test_calls_at_once_do_not_exceed_the_limit(platform: Platform) -> None:
    partner = await platform.onboard("Limited")
    token = issued(partner, Environment.PRODUCTION).api_key
    await limit(platform.database, partner, Environment.PRODUCTION, timestamps=5)
    await platform.poll()

    async def stamp(digest: str) -> Answer:
        body = {"sha256": [digest]}
        return await platform.call("POST", "/v1/timestamp", body, token=token)

    digests = [secrets.token_hex(32) for _ in range(40)]
    answers = await asyncio.gather(*map(stamp, digests))
    assert sorted({answer.status for answer in answers}) == [200, 429]
    taken = [d for d, answer in zip(digests, answers, strict=True) if answer.status == 200]
    assert len(taken) == 5
    assert (await stamp(taken[0])).status == 202
    assert (await stamp(secrets.token_hex(32))).status == 429
    owner = issued(partner, Environment.PRODUCTION).partner_environment_id
    rows = await platform.fetch(
        "SELECT count(*) FROM submissions WHERE partner_environment_id = $1", owner
    )
    assert rows[0][0] == 5
