"""Who stays outside of every gate: credentials that are none, or none any more, and partners kept out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from tests.support.application import Platform
from tests.support.partners import execute, issued, revoke, suspend

from proof.core.ids import checksum
from proof.partners.access.tokens import new_token, parse_token
from proof.partners.types import Environment, OnboardedPartner

OTHER = {
    Environment.PRODUCTION: Environment.SANDBOX,
    Environment.SANDBOX: Environment.PRODUCTION,
}


@dataclass(frozen=True, slots=True)
class Outsiders:
    """API keys that no call gets further with, whatever it calls: of partners of their own."""

    revoked: str
    expired: str
    listed: str
    suspended: str


Outside = Mapping[Environment, Outsiders]


@pytest.fixture(scope="module")
def outsiders(run: Callable[[Any], Any], platform: Platform) -> Outside:
    return {environment: run(_outsiders(platform, environment)) for environment in Environment}


async def _outsiders(platform: Platform, environment: Environment) -> Outsiders:
    async def key(name: str, **changes: Any) -> str:
        return issued(await platform.onboard(name, **changes), environment).api_key

    revoked, expired = await key("Gone"), await key("Expired")
    await revoke(platform.database, revoked)
    parsed = parse_token(expired)
    assert parsed is not None
    await execute(
        platform.database,
        "UPDATE credentials SET expires_at = now() WHERE key_id = $1",
        parsed.key_id,
    )
    listed = await key("Listed", timestamp_networks=("192.0.2.0/24",))
    away = await platform.onboard("Suspended")
    await suspend(platform.database, away)
    await platform.poll()
    return Outsiders(revoked, expired, listed, issued(away, environment).api_key)


def refused_tokens(
    partner: OnboardedPartner, outsiders: Outside, environment: Environment
) -> dict[str, str]:
    """What no gate takes for a partner's credential, by the reason."""
    right = issued(partner, environment).api_key
    head = right.rpartition("_")[0]
    forged = head[:-1] + ("0" if head[-1] != "0" else "1")
    return {
        "malformed": "secret",
        "mistyped": right[:-1] + ("0" if right[-1] != "0" else "1"),
        "unknown": new_token(environment).text,
        "known key id, guessed secret": f"{forged}_{checksum(forged)}",
        "the other environment's": issued(partner, OTHER[environment]).api_key,
        "relabelled for this environment": issued(partner, OTHER[environment]).api_key.replace(
            "live" if environment is Environment.SANDBOX else "test",
            "test" if environment is Environment.SANDBOX else "live",
        ),
        "revoked": outsiders[environment].revoked,
        "expired": outsiders[environment].expired,
        "two at once": f"{right},{right}",
        "NUL": right + "\x00",
        "very long": right * 100,
        "not ASCII": right + "é",
    }
