"""One partner does the same thing hundreds of times at once: the outcome is that of one order, and another
partner's calls wait for none of it."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

import pytest
from tests.support.application import Answer, Platform, Stage, staged
from tests.support.partners import issued
from tests.support.ramp import make_transaction

from proof.core.clock import SystemClock
from proof.db import pool
from proof.db.embedded import EmbeddedCluster
from proof.db.shares import Share, Turns, Work
from proof.main.server.compose import SHARES
from proof.partners.access.buckets import Rate
from proof.partners.access.rates import CallClass, set_rate
from proof.partners.audit import Actor
from proof.partners.types import Environment, OnboardedPartner

CHANGES, SIMULATED, OTHERS = 400, 200, 20
# What a caller may be told; each of the last two says when to come again.
DONE, REFUSED, LATER = 200, 409, (429, 503)
_most: Counter[Share] = Counter()


class Counting(Turns):
    """Remembers the most places that each holder ever had at once."""

    def _hold(self, share: Share) -> None:
        super()._hold(share)
        _most[share] = max(_most[share], self._held[share])


@pytest.fixture(scope="module")
def stage(cluster: EmbeddedCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool, "Turns", Counting)
        with staged(cluster, tmp_path_factory.mktemp("keys"), shares=SHARES) as found:
            yield found


async def unhurried(platform: Platform, partner: OnboardedPartner) -> None:
    async with platform.database.transaction() as tx:
        for call_class in (CallClass.SETTINGS, CallClass.SANDBOX):
            for environment in Environment:
                rate = Rate(100_000, 1, 100_000)
                await set_rate(tx, partner.partner_id, environment, call_class, rate, Actor("test"))
    await platform.poll()


async def read_by_another(platform: Platform, partner: OnboardedPartner) -> list[Answer]:
    """Calls that need a connection each, one after the other."""
    token = issued(partner).api_key
    return [await platform.call("GET", "/v1/api-key/setting", token=token) for _ in range(OTHERS)]


def judged(answers: list[Answer], others: list[Answer], attacker: int) -> Counter[int]:
    """How often each status came. The attacker never had more than its share, the others all they asked."""
    counted = Counter(answer.status for answer in answers)
    assert set(counted) <= {DONE, REFUSED, *LATER}
    assert all(int(answer.headers["retry-after"]) for answer in answers if answer.status in LATER)
    assert [other.status for other in others] == [DONE] * OTHERS
    assert 0 < _most[Work.PARTNER, attacker] <= SHARES.each
    return counted


async def test_settings_changed_at_once_are_those_of_one_order(platform: Platform) -> None:
    attacker, victim = await platform.onboard(), await platform.onboard()
    await unhurried(platform, attacker)
    token = issued(attacker).api_key

    async def change(number: int) -> Answer:
        body = {"notification": {"proof": {"target": f"https://n{number}.example/"}}}
        return await platform.call("PATCH", "/v1/api-key/setting", body, token=token)

    reading = asyncio.create_task(read_by_another(platform, victim))
    answers = await asyncio.gather(*map(change, range(CHANGES)))
    others = await reading
    counted = judged(answers, others, issued(attacker).partner_environment_id)
    now = (await platform.call("GET", "/v1/api-key/setting", token=token)).json
    async with platform.database.connection() as connection:
        rows = await connection.fetch(
            "SELECT before, after FROM audit_log"
            " WHERE partner_id = $1 AND action = 'setting.change' ORDER BY id",
            attacker.partner_id,
        )
    steps = [(json.loads(row["before"]), json.loads(row["after"])) for row in rows]
    assert len(steps) == counted[DONE]
    assert all(item[1] == following[0] for item, following in pairwise(steps))
    assert steps[-1][1]["proof"] == now["notification"]["proof"]["target"]


async def test_simulated_at_once_one_outcome_is_played(platform: Platform) -> None:
    networks = ("203.0.113.0/24",)
    attacker = await platform.onboard(sandbox_networks=networks)
    victim = await platform.onboard()
    await unhurried(platform, attacker)
    sandbox = issued(attacker, Environment.SANDBOX)
    transaction = await make_transaction(
        platform.database,
        platform.vault,
        sandbox.partner_environment_id,
        kind="buy",
        amount="25.5",
        at=SystemClock().now(),
    )

    async def simulate(number: int) -> Answer:
        outcome = ("success", "declined", "user_cancels")[number % 3]
        target = f"/sandbox/simulate/{transaction}"
        return await platform.call("POST", target, {"outcome": outcome}, token=sandbox.client_token)

    reading = asyncio.create_task(read_by_another(platform, victim))
    answers = await asyncio.gather(*map(simulate, range(SIMULATED)))
    others = await reading
    counted = judged(answers, others, sandbox.partner_environment_id)
    played = {answer.json["outcome"] for answer in answers if answer.status == DONE}
    assert len(played) == 1
    assert counted[REFUSED]
    async with platform.database.connection() as connection:
        stored = await connection.fetchval(
            "SELECT state->>'outcome' FROM simulated_operations WHERE transaction_id = $1",
            transaction,
        )
    assert {stored} == played
