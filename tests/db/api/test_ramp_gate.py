"""The gate before every route of the ramp, tried as an attacker: generated from the route list itself."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.db.api.ramp_table import GATED, NOBODY, RAMP_TABLE, Made
from tests.db.api.table import call_class_of
from tests.support.application import CALLER, Answer, Platform
from tests.support.partners import issued, revoke, suspend
from tests.support.rates import stopped_clocks
from tests.support.sessions import PREFIX, Shop, open_session, ramp_partner

from proof.partners.access.buckets import Rate
from proof.partners.access.rates import CallClass, set_rate
from proof.partners.access.tokens import new_token
from proof.partners.audit import Actor
from proof.partners.types import Environment

Tried = Callable[..., Awaitable[Answer]]

OFF_LIST = "198.51.100.66"
PRODUCTION, SANDBOX = Environment.PRODUCTION, Environment.SANDBOX
OTHER = {PRODUCTION: SANDBOX, SANDBOX: PRODUCTION}
CASES = [
    (name, environment)
    for name, operation in GATED.items()
    for environment in Environment
    if environment in operation.family.environments
]
UNKNOWN = [
    "/widget",
    "/widget/",
    "/widget/nothing",
    "/widget/session/x",
    "/widget/users/x",
    "/ws/x",
]
BROWSER = (("origin", "https://shop.example"),)


def refused(answer: Answer, status: int, error: str, code: str) -> str:
    """Checks a refusal whose body was not read; its message."""
    assert (answer.status, answer.json["error"], answer.json["code"]) == (status, error, code)
    assert list(answer.json) == ["error", "code", "message"]
    assert answer.headers["x-request-id"].startswith("req_")
    assert answer.read == 0
    return str(answer.json["message"])


def test_every_route_of_the_ramp_has_its_entry() -> None:
    assert RAMP_TABLE.keys() == GATED.keys()


@pytest.mark.parametrize(("name", "environment"), CASES)
async def test_who_is_let_in_and_in_which_order(
    platform: Platform, name: str, environment: Environment
) -> None:
    shop = await ramp_partner(platform)
    opened = await open_session(platform, shop, environment)
    made = Made(opened.json["merchant_transaction_id"])
    entry, method = RAMP_TABLE[name], GATED[name].method

    async def tried(
        token: str | None, address: str = CALLER, at: Made = made, **options: Any
    ) -> Answer:
        body = entry.body(at) if entry.body else None
        target = PREFIX[environment] + entry.target(at)
        return await platform.call(method, target, body, token=token, address=address, **options)

    await _strangers(platform, tried, shop, environment)
    right = shop.token(environment)
    # Each step is tried with all that come after it failing too: the first of them answers.
    await _steps(platform, tried, shop, environment)
    assert (await tried(right)).status == entry.status
    if entry.named:
        other = (await ramp_partner(platform)).token(environment)
        theirs = await tried(other)
        nobodys = await tried(other, at=Made(NOBODY, "nobody"))
        assert (theirs.status, nobodys.status) == (404, 404)
        assert theirs.json["code"] == "not_found"
        text = theirs.json["message"].replace(made.transaction_id, NOBODY)
        assert text == nobodys.json["message"]


async def _strangers(
    platform: Platform, tried: Tried, shop: Shop, environment: Environment
) -> None:
    missing = await tried(None, OFF_LIST, headers=BROWSER)
    refused(missing, 401, "unauthorised", "missing_token")
    assert missing.headers["www-authenticate"] == "Bearer"
    gone = await ramp_partner(platform)
    await revoke(platform.database, gone.token(environment))
    await platform.poll()
    for token in (
        "secret",
        new_token(environment).text,
        shop.token(OTHER[environment]),
        gone.token(environment),
    ):
        answer = await tried(token, OFF_LIST, headers=BROWSER)
        said = refused(answer, 401, "unauthorised", "invalid_token")
        assert said == "the credential is not valid here"


async def _steps(platform: Platform, tried: Tried, shop: Shop, environment: Environment) -> None:
    right, key = shop.token(environment), issued(shop.partner, environment).api_key
    away = await ramp_partner(platform)
    await suspend(platform.database, away.partner)
    await platform.poll()
    for token, code in ((key, "scope_missing"), (away.token(environment), "partner_suspended")):
        answer = await tried(token, OFF_LIST, headers=BROWSER)
        refused(answer, 403, "forbidden", code)
    for origin in ("https://shop.example", "https://proof.example", "null", ""):
        answer = await tried(right, OFF_LIST, headers=(("origin", origin),))
        refused(answer, 403, "forbidden", "forbidden_origin")
    assert OFF_LIST in refused(await tried(right, OFF_LIST), 403, "forbidden", "ip_not_allowed")


@pytest.mark.parametrize(("name", "environment"), CASES)
async def test_every_route_is_limited_by_its_class(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, name: str, environment: Environment
) -> None:
    stopped_clocks(monkeypatch)
    call_class = call_class_of(GATED[name])

    shop = await ramp_partner(platform)
    opened = await open_session(platform, shop, environment)
    made = Made(opened.json["merchant_transaction_id"])
    async with platform.database.transaction() as tx:
        await set_rate(
            tx,
            shop.partner.partner_id,
            environment,
            call_class,
            Rate(1, 3600, 1),
            Actor("operator"),
        )
    await platform.poll()
    entry = RAMP_TABLE[name]
    body = entry.body(made) if entry.body else None
    call = (GATED[name].method, entry.target(made), body)
    once = await shop.call(platform, environment, *call)
    assert (once.status, once.headers["ratelimit"]) == (
        entry.status,
        f'"{call_class}";r=0;t=3600',
    )
    twice = await shop.call(platform, environment, *call)
    refused(twice, 429, "rate_limited", "rate_limited")
    assert twice.headers["retry-after"] == "3600"
    elsewhere = await shop.call(platform, environment, *call, address=OFF_LIST)
    refused(elsewhere, 403, "forbidden", "ip_not_allowed")


@pytest.mark.parametrize("environment", Environment)
async def test_unknown_paths_and_methods_are_behind_the_gate(
    platform: Platform, environment: Environment
) -> None:
    shop = await ramp_partner(platform)
    for path in UNKNOWN:
        for method in ("GET", "POST", "DELETE"):
            stranger = await platform.call(method, PREFIX[environment] + path)
            refused(stranger, 401, "unauthorised", "missing_token")
            partner = await shop.call(platform, environment, method, path)
            refused(partner, 404, "not_found", "not_found")
            elsewhere = await shop.call(platform, environment, method, path, address=OFF_LIST)
            refused(elsewhere, 403, "forbidden", "ip_not_allowed")
    stranger = await platform.call("DELETE", PREFIX[environment] + "/widget/session")
    refused(stranger, 401, "unauthorised", "missing_token")
    wrong = await shop.call(platform, environment, "DELETE", "/widget/session")
    refused(wrong, 405, "invalid_request", "method_not_allowed")
    assert wrong.headers["allow"] == "POST"


async def test_the_token_may_come_in_either_header_and_one_rate_is_not_anothers(
    platform: Platform,
) -> None:
    shop = await ramp_partner(platform)
    bearer = [("authorization", f"Bearer {shop.token(SANDBOX)}")]
    path = f"{PREFIX[SANDBOX]}/widget/users/nobody/kyc-status"
    answer = await platform.call("GET", path, headers=bearer)
    assert (answer.status, answer.json["code"]) == (404, "not_found")
    assert call_class_of(GATED["POST /widget/session"]) is CallClass.SESSION
