"""A caller that was let in is refused later whatever is refused at first, by every header and path."""

from typing import Any

import pytest
from tests.support.application import CALLER, Platform
from tests.support.partners import issued, revoke, suspend
from tests.support.sessions import BODY, PREFIX, Shop, ramp_partner

from proof.partners.types import Environment

PRODUCTION, SANDBOX = Environment.PRODUCTION, Environment.SANDBOX
ORIGIN = ("origin", "https://shop.example")
SESSION = "/widget/session"

ATTEMPTS: dict[str, tuple[dict[str, Any], int]] = {
    "from a browser": ({"headers": [ORIGIN]}, 403),
    "from a page without an origin": ({"headers": [("origin", "null")]}, 403),
    "from another address": ({"address": "198.51.100.66"}, 403),
    "from the next address": ({"address": "203.0.113.10"}, 403),
    "in the other environment": ({"target": PREFIX[SANDBOX] + SESSION}, 401),
    "with two credentials": ({"headers": [("authorization", "Bearer x")]}, 401),
    "as another kind": ({"target": "/v1/timestamp"}, 403),
}


async def let_in(platform: Platform, shop: Shop, path: str = SESSION, **options: Any) -> None:
    for _ in range(2):
        answer = await shop.call(platform, PRODUCTION, "POST", path, dict(BODY), **options)
        assert answer.status == 200


@pytest.mark.parametrize("attempt", ATTEMPTS)
async def test_what_is_refused_at_first_is_refused_afterwards(
    platform: Platform, attempt: str
) -> None:
    options, status = ATTEMPTS[attempt]
    shop = await ramp_partner(platform)
    await let_in(platform, shop)
    options = dict(options)
    target, token = options.pop("target", SESSION), shop.token(PRODUCTION)
    answer = await platform.call("POST", target, dict(BODY), token=token, **options)
    assert answer.status == status
    await let_in(platform, shop)


async def test_where_browsers_may_call_they_earn_nothing_for_where_they_may_not(
    platform: Platform,
) -> None:
    shop = await ramp_partner(platform)
    for _ in range(2):
        answer = await shop.call(platform, PRODUCTION, "GET", "/events", headers=[ORIGIN])
        assert answer.status == 200
    answer = await shop.call(platform, PRODUCTION, "POST", SESSION, dict(BODY), headers=[ORIGIN])
    assert (answer.status, answer.json["code"]) == (403, "forbidden_origin")


async def test_a_token_that_is_nearly_right_is_nobodys(platform: Platform) -> None:
    shop = await ramp_partner(platform)
    await let_in(platform, shop)
    token = shop.token(PRODUCTION)
    other = issued(shop.partner, SANDBOX).client_token
    for wrong in (token.swapcase(), token[:-1], token + "0", token[:-6] + "000000", other):
        answer = await platform.call("POST", SESSION, dict(BODY), token=wrong)
        assert answer.status == 401


@pytest.mark.parametrize("end", ["revoked", "suspended"])
async def test_an_end_holds_after_the_next_look(platform: Platform, end: str) -> None:
    shop = await ramp_partner(platform)
    await let_in(platform, shop)
    if end == "revoked":
        await revoke(platform.database, shop.token(PRODUCTION))
    else:
        await suspend(platform.database, shop.partner)
    await platform.poll()
    answer = await shop.call(platform, PRODUCTION, "POST", SESSION, dict(BODY), address=CALLER)
    assert answer.status == (401 if end == "revoked" else 403)
