"""The gate before every route, tried as an attacker: generated from the route list itself."""

from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from tests.db.api.outsiders import OTHER, Outside, Outsiders, refused_tokens
from tests.db.api.table import (
    ANY_KIND,
    IDENTIFYING,
    OPERATIONS,
    PREFIX,
    TABLE,
    WITH_CREDENTIAL,
    Stamped,
    call_class_of,
    customer,
    stamp,
)
from tests.support.application import CALLER, Answer, Platform, staged
from tests.support.partners import issued
from tests.support.rates import stopped_clocks

from proof.db.embedded import EmbeddedCluster
from proof.partners.access.buckets import Rate
from proof.partners.access.rates import CallClass, set_rate
from proof.partners.audit import Actor
from proof.partners.types import Environment

OFF_LIST = "198.51.100.66"
USAGE = ("POST", "/v1/api-key/usage", {"year": 2026})
OPEN = [name for name in OPERATIONS if name not in {*WITH_CREDENTIAL, *ANY_KIND, *IDENTIFYING}]


def test_every_route_has_its_entry_and_every_entry_its_route() -> None:
    assert TABLE.keys() == OPERATIONS.keys()


@pytest.mark.parametrize("environment", Environment)
@pytest.mark.parametrize("name", WITH_CREDENTIAL)
async def test_who_is_let_in(
    platform: Platform, outsiders: Outside, name: str, environment: Environment
) -> None:
    partner = await customer(platform, environment, "Right")
    mine = await stamp(platform, partner, environment, "01" * 32)
    refused = refused_tokens(partner, outsiders, environment)
    before = await platform.counts()

    async def tried(token: str | None, address: str = CALLER, at: Stamped = mine) -> Answer:
        entry = TABLE[name]
        body = entry.body(at) if entry.body else None
        target, method = PREFIX[environment] + entry.target(at), OPERATIONS[name].method
        return await platform.call(method, target, body, token=token, address=address)

    missing = await tried(None)
    assert (missing.status, missing.read) == (401, 0)
    assert missing.headers["www-authenticate"] == "Bearer"
    for reason, token in refused.items():
        answer = await tried(token)
        # One answer for all, and the body is not even read: the caller learns nothing.
        assert (answer.status, answer.message, answer.read) == (
            401,
            "the credential is not valid here",
            0,
        ), reason
    wrong_kind = await tried(issued(partner, environment).client_token)
    assert (wrong_kind.status, wrong_kind.read) == (403, 0)
    assert "needs an api_key; the credential sent is a client_token" in wrong_kind.message
    await _listed_and_suspended(tried, outsiders[environment])
    assert await platform.counts() == before

    answer = await tried(issued(partner, environment).api_key)
    assert answer.status == TABLE[name].status, answer
    await _another_partners(platform, tried, mine, name, environment)


async def _listed_and_suspended(tried: Callable[..., Any], outsiders: Outsiders) -> None:
    answer = await tried(outsiders.listed, OFF_LIST)
    assert (answer.status, answer.read) == (403, 0)
    assert OFF_LIST in answer.message
    answer = await tried(outsiders.suspended)
    assert (answer.status, answer.read) == (403, 0)
    assert "suspended" in answer.message


async def _another_partners(
    platform: Platform,
    tried: Callable[..., Any],
    mine: Stamped,
    name: str,
    environment: Environment,
) -> None:
    stranger = await customer(platform, environment, "Stranger")
    token = issued(stranger, environment).api_key
    theirs = await tried(token)
    assert theirs.status == (404 if TABLE[name].named else TABLE[name].status)
    if TABLE[name].named:
        # What exists for somebody else answers exactly as what exists for nobody.
        nothing = Stamped("00" * 32, "00000000-0000-0000-0000-000000000000")
        nobodys = await tried(token, at=nothing)
        assert nobodys.status == 404
        assert nobodys.message.replace(nothing.sha256, mine.sha256).replace(
            nothing.tree_id, mine.tree_id
        ) == (theirs.message)


@pytest.mark.parametrize("name", WITH_CREDENTIAL)
async def test_every_route_is_limited_by_its_class(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    stopped_clocks(monkeypatch)
    call_class = call_class_of(OPERATIONS[name])

    partner = await customer(platform, Environment.PRODUCTION, "Fast")
    mine = await stamp(platform, partner, Environment.PRODUCTION, "01" * 32)
    if call_class is CallClass.SETTINGS:
        # What came first has used the default rate's bucket, which the new rate goes on with.
        partner = await platform.onboard("Unused")
    async with platform.database.transaction() as tx:
        rate = Rate(1, 3600, 1)
        await set_rate(
            tx, partner.partner_id, Environment.PRODUCTION, call_class, rate, Actor("operator")
        )
    await platform.poll()
    entry, method = TABLE[name], OPERATIONS[name].method
    target, body = entry.target(mine), entry.body(mine) if entry.body else None
    token = issued(partner).api_key
    policy = f'"{call_class}";q=1;w=3600'
    once = await platform.call(method, target, body, token=token)
    assert once.status == entry.status
    assert once.headers["ratelimit"] == f'"{call_class}";r=0;t=3600'
    assert once.headers["ratelimit-policy"] == policy
    twice = await platform.call(method, target, body, token=token)
    assert (twice.status, twice.read) == (429, 0)
    assert twice.headers["retry-after"] == "3600"
    assert twice.headers["ratelimit"] == f'"{call_class}";r=0;t=3600'
    assert twice.headers["ratelimit-policy"] == policy
    # The address is judged before the rate.
    elsewhere = await platform.call(method, target, body, token=issued(partner).client_token)
    assert elsewhere.status == 403


@pytest.mark.parametrize("environment", Environment)
@pytest.mark.parametrize("name", IDENTIFYING)
async def test_who_is_identified(
    platform: Platform, outsiders: Outside, name: str, environment: Environment
) -> None:
    partner = await platform.onboard("Right")
    target = PREFIX[environment] + TABLE[name].target(Stamped("", ""))
    refused = refused_tokens(partner, outsiders, environment)
    for reason, token in {"missing": None, **refused}.items():
        answer = await platform.call("GET", target, token=token)
        assert (answer.status, answer.read) == (401, 0), reason
    for token in (
        issued(partner, environment).api_key,
        issued(partner, environment).client_token,
    ):
        for address in (CALLER, OFF_LIST):
            answer = await platform.call("GET", target, token=token, address=address)
            assert answer.status == 200


@pytest.mark.parametrize("name", OPEN)
async def test_open_routes_look_at_no_credential(platform: Platform, name: str) -> None:
    for environment in Environment:
        partner = await customer(platform, environment, "Right")
        mine = await stamp(platform, partner, environment, "01" * 32)
        exists = environment in OPERATIONS[name].family.environments
        entry, method = TABLE[name], name.split(maxsplit=1)[0]
        target = PREFIX[environment] + entry.target(mine)
        body = entry.body(mine) if entry.body else None
        for token in (None, "secret", issued(partner, OTHER[environment]).api_key):
            answer = await platform.call(method, target, body, token=token, address=OFF_LIST)
            assert answer.status == (entry.status if exists else 404), (environment, answer)


async def test_a_bearer_token_is_as_good_and_two_different_ones_are_refused(
    platform: Platform,
) -> None:
    partner = await platform.onboard()
    item = issued(partner)
    bearer = [("authorization", f"Bearer {item.api_key}")]
    assert (await platform.call(*USAGE, headers=bearer)).status == 200
    assert (await platform.call(*USAGE, headers=bearer, token=item.api_key)).status == 200
    answer = await platform.call(*USAGE, headers=bearer, token=item.client_token)
    assert answer.status == 401


async def test_without_a_proxy_the_forwarded_address_is_the_callers_own_word(
    platform: Platform,
) -> None:
    token = issued(await platform.onboard(timestamp_networks=("192.0.2.0/24",))).api_key
    forged = [("x-forwarded-for", "192.0.2.1")]
    answer = await platform.call(*USAGE, token=token, address=OFF_LIST, headers=forged)
    assert answer.status == 403
    assert OFF_LIST in answer.message
    mapped = await platform.call(*USAGE, token=token, address="::ffff:192.0.2.1")
    assert mapped.status == 200


def test_behind_a_trusted_proxy_the_forwarded_address_is_judged(
    cluster: EmbeddedCluster, tmp_path: Path
) -> None:
    with staged(cluster, tmp_path, proxies=(ip_network("10.0.0.0/8"),)) as stage:

        async def scene() -> None:
            partner = await stage.platform.onboard(timestamp_networks=("192.0.2.0/24",))
            token = issued(partner).api_key
            for peer, entries, status in [
                ("10.0.0.1", ["192.0.2.1"], 200),
                ("10.0.0.1", [f"192.0.2.1, {OFF_LIST}"], 403),
                ("10.0.0.1", ["192.0.2.1", OFF_LIST], 403),
                ("10.0.0.1", [OFF_LIST, "192.0.2.1, 10.0.0.2"], 200),
                (OFF_LIST, ["192.0.2.1"], 403),
            ]:
                headers = [("x-forwarded-for", entry) for entry in entries]
                answer = await stage.platform.call(
                    *USAGE, token=token, address=peer, headers=headers
                )
                assert answer.status == status, (peer, entries)
                assert status == 200 or OFF_LIST in answer.message

        stage.run(scene())
