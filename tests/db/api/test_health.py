"""What is stopped is told to whoever watches, and keeps nobody from being served."""

from typing import Any
from uuid import uuid4

import pytest
from tests.db.api.operators import operator
from tests.support.application import Stage
from tests.support.partners import execute

from proof.db.heartbeats import beat, stop_beating
from proof.partners.access.operators import OperatorScope
from proof.receipts.health import parts

WORKER = uuid4()
ROUND = """
INSERT INTO rounds (partner_environment_id, environment, blinding, closed_at, sealed_at, leaf_count,
    root, plain_root)
VALUES (1, 'sandbox', sha256('b'), now(), now() - interval '2 minutes', 2, sha256('r'), sha256('p'))
"""
UNSTAMPED = """
INSERT INTO ramp_unstamped (transaction_id, sequence, queued_at)
SELECT gen_random_uuid(), 1, now() - make_interval(secs => age_s) FROM unnest($1::integer[]) AS age_s
"""
TREE = (
    "INSERT INTO trees (id, environment, currency_id) VALUES (gen_random_uuid(), 'production', 0)"
)
TROUBLE = "INSERT INTO chain_troubles VALUES ('production', 0, 'the node is away', now())"


def test_each_stopped_part_is_named_with_its_reason(alone: Stage) -> None:
    platform = alone.platform

    async def stopped() -> dict[str, str]:
        found = await parts(platform.database)
        return {part.name: part.reason for part in found if part.reason is not None}

    async def say(failing: dict[str, str]) -> None:
        async with platform.database.transaction() as tx:
            await beat(tx, WORKER, failing)

    async def scene() -> None:
        assert await stopped() == {"workers": "no worker has been alive for 10 s"}
        await say({})
        assert await stopped() == {}
        await say({"signing keys": "the key is not here"})
        assert await stopped() == {"work": "signing keys: the key is not here"}
        await say({})
        await execute(platform.database, ROUND)
        await execute(platform.database, TREE)
        found = await stopped()
        assert list(found) == ["sandbox log"]
        assert "rounds have waited for a checkpoint for 12" in found["sandbox log"]
        await execute(platform.database, TROUBLE)
        assert (await stopped())["production BTC"].endswith("the node is away")
        await execute(
            platform.database, "UPDATE worker_heartbeats SET at = now() - interval '11 seconds'"
        )
        assert (await stopped())["workers"] == "no worker has been alive for 10 s"
        await say({})
        async with platform.database.transaction() as tx:
            await stop_beating(tx, WORKER)
        assert "workers" in await stopped()

    alone.run(scene())


def test_records_that_wait_long_to_be_stamped_are_counted(alone: Stage) -> None:
    platform = alone.platform

    async def told(ages_s: list[int]) -> tuple[Any, dict[str, float]]:
        await execute(platform.database, "DELETE FROM ramp_unstamped")
        await execute(platform.database, UNSTAMPED, ages_s)
        token = (await operator(platform, OperatorScope.READ)).token
        status = await platform.call("GET", "/statusz", token=token)
        reason = {item["part"]: item["reason"] for item in status.json["parts"]}["stamping"]
        text = (await platform.call("GET", "/metrics", token=token)).body.decode()
        lines = (line.split() for line in text.splitlines() if line.startswith("proof_unstamped"))
        return reason, {name: float(value) for name, value in lines}

    async def scene() -> None:
        empty = {"proof_unstamped_records": 0, "proof_unstamped_seconds": 0}
        assert await told([]) == (None, empty)
        reason, gauges = await told([0])
        assert reason is None
        assert gauges["proof_unstamped_records"] == 1
        # As after the database's clock was put back.
        assert (await told([-3600]))[1] == {**empty, "proof_unstamped_records": 1}
        reason, gauges = await told([7200, 0, 60])
        assert str(reason).startswith("3 records wait to be stamped, the oldest for 72")
        assert gauges["proof_unstamped_records"] == 3
        assert 7200 <= gauges["proof_unstamped_seconds"] < 7300
        assert str((await told([60]))[0]).startswith("1 record waits to be stamped, ")

    alone.run(scene())


@pytest.mark.parametrize("stopped", [True, False])
def test_statusz_and_the_gauges_say_it_and_readyz_does_not(alone: Stage, stopped: bool) -> None:
    platform = alone.platform

    async def scene() -> Any:
        token = (await operator(platform, OperatorScope.READ)).token
        if not stopped:
            async with platform.database.transaction() as tx:
                await beat(tx, WORKER, {})
        assert (await platform.call("GET", "/readyz")).status == 200
        status = await platform.call("GET", "/statusz", token=token)
        assert status.status == (503 if stopped else 200)
        assert status.json["ok"] is not stopped
        by_name = {item["part"]: item for item in status.json["parts"]}
        assert by_name["workers"]["ok"] is not stopped
        assert by_name["production log"] == {
            "part": "production log",
            "ok": True,
            "reason": None,
            "note": "without witnesses: only the marks of this machine keep it from a second history",
        }
        metrics = (await platform.call("GET", "/metrics", token=token)).body.decode()
        assert f'proof_part_works{{part="workers"}} {0.0 if stopped else 1.0}' in metrics

    alone.run(scene())
