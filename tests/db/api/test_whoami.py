"""GET /whoami, and what answers tell the holder of a token that ends."""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from tests.support.application import CALLER, Answer, Platform
from tests.support.partners import issued, suspend

from proof.partners.access.allowlists import Place, set_mode
from proof.partners.access.networks import AllowlistMode
from proof.partners.access.rotation import rotate
from proof.partners.access.tokens import parse_token
from proof.partners.audit import Actor
from proof.partners.types import CredentialKind, Environment, OnboardedPartner

PRODUCTION, SANDBOX = Environment.PRODUCTION, Environment.SANDBOX
API_KEY, CLIENT_TOKEN = CredentialKind.API_KEY, CredentialKind.CLIENT_TOKEN
PATHS = {PRODUCTION: "/whoami", SANDBOX: "/sandbox/whoami"}
OFF_LIST = "198.51.100.66"
OPERATOR = Actor("operator")


async def whoami(
    platform: Platform, token: str, address: str = CALLER, environment: Environment = PRODUCTION
) -> dict[str, Any]:
    answer = await platform.call("GET", PATHS[environment], token=token, address=address)
    assert answer.status == 200, answer
    found: dict[str, Any] = answer.json
    return found


@pytest.mark.parametrize("environment", Environment)
@pytest.mark.parametrize("kind", CredentialKind)
@pytest.mark.parametrize(("address", "allowed"), [(CALLER, True), (OFF_LIST, False)])
async def test_a_caller_is_told_who_it_is_and_what_we_see(
    platform: Platform, kind: CredentialKind, environment: Environment, address: str, allowed: bool
) -> None:
    listed = (f"{CALLER}/32",)
    partner = await platform.onboard(
        production_networks=listed, sandbox_networks=listed, timestamp_networks=listed
    )
    token: str = getattr(issued(partner, environment), kind)
    parsed = parse_token(token)
    assert parsed is not None
    assert await whoami(platform, token, address, environment) == {
        "partner_id": partner.partner_id,
        "environment": environment,
        "kind": kind,
        "key_id": parsed.key_id,
        "address": address,
        "allowed": allowed,
        "allowlist_mode": "enforce",
        "suspended": False,
    }


async def test_an_empty_list_allows_any_api_key_and_no_client_token(platform: Platform) -> None:
    item = issued(await platform.onboard(), SANDBOX)
    assert (await whoami(platform, item.api_key, OFF_LIST, SANDBOX))["allowed"] is True
    assert (await whoami(platform, item.client_token, OFF_LIST, SANDBOX))["allowed"] is False


async def test_a_suspended_partner_is_told_so(platform: Platform) -> None:
    partner = await platform.onboard()
    await suspend(platform.database, partner)
    await platform.poll()
    assert (await whoami(platform, issued(partner).api_key))["suspended"] is True


async def test_a_list_that_only_reports_says_so(platform: Platform) -> None:
    partner = await platform.onboard()
    place = Place(partner.partner_id, PRODUCTION, CLIENT_TOKEN)
    async with platform.database.transaction() as tx:
        await set_mode(tx, place, AllowlistMode.REPORT, OPERATOR)
    await platform.poll()
    found = await whoami(platform, issued(partner).client_token, OFF_LIST)
    assert (found["allowed"], found["allowlist_mode"]) == (False, "report")


async def rotated(
    platform: Platform, partner: OnboardedPartner, now: datetime, kind: CredentialKind
) -> str:
    async with platform.database.transaction() as tx:
        new = await rotate(tx, partner.partner_id, PRODUCTION, kind, OPERATOR, now)
    await platform.poll()
    return new.token


def require_ends(answer: Answer, rotated_at: datetime, ends_at: datetime) -> None:
    assert answer.headers["deprecation"] == f"@{int(rotated_at.timestamp())}"
    sunset = parsedate_to_datetime(answer.headers["sunset"])
    assert sunset == ends_at.replace(microsecond=0)


async def test_every_answer_to_an_ending_token_says_when(platform: Platform) -> None:
    partner, now = await platform.onboard(), datetime.now(UTC)
    old = issued(partner)
    new = await rotated(platform, partner, now, API_KEY)
    latest = now + timedelta(days=7)
    usage = {"year": 2026}
    for method, target, body, status in (
        ("POST", "/v1/api-key/usage", usage, 200),
        ("POST", "/v1/api-key/usage", {}, 400),
        ("GET", f"/v1/timestamp/{'0' * 64}", None, 404),
        ("GET", "/whoami", None, 200),
    ):
        answer = await platform.call(method, target, body, token=old.api_key)
        assert answer.status == status
        require_ends(answer, now, latest)
        fresh = await platform.call(method, target, body, token=new)
        assert not {"deprecation", "sunset"} & fresh.headers.keys()
    other_kind = await platform.call("GET", "/whoami", token=old.client_token)
    assert "sunset" not in other_kind.headers


async def test_the_first_use_of_the_new_token_moves_the_date_in_every_answer(
    platform: Platform,
) -> None:
    partner, now = await platform.onboard(), datetime.now(UTC)
    new = await rotated(platform, partner, now, API_KEY)
    call = ("POST", "/v1/api-key/usage", {"year": 2026})
    assert (await platform.call(*call, token=new)).status == 200
    used_by = datetime.now(UTC)
    # Written by the process's own loop, without waiting for its second.
    ends_at = None
    while ends_at is None or ends_at > now + timedelta(days=2):
        answer = await platform.call(*call, token=issued(partner).api_key)
        ends_at = parsedate_to_datetime(answer.headers["sunset"])
        assert datetime.now(UTC) - used_by < timedelta(seconds=120)
    # An HTTP date has whole seconds.
    assert now - timedelta(seconds=1) <= ends_at - timedelta(hours=24) <= used_by


async def test_a_refusal_of_an_ending_token_says_when_too(platform: Platform) -> None:
    partner, now = await platform.onboard(), datetime.now(UTC)
    await rotated(platform, partner, now, CLIENT_TOKEN)
    old = issued(partner).client_token
    answer = await platform.call("POST", "/v1/api-key/usage", {"year": 2026}, token=old)
    assert answer.status == 403
    require_ends(answer, now, now + timedelta(days=7))
