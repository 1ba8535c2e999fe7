"""What is stopped is told to whoever watches, and keeps nobody from being served."""

from typing import Any
from uuid import uuid4

import pytest
from tests.db.api.operators import operator
from tests.support.application import Stage
from tests.support.partners import execute

from proof.db.heartbeats import beat, stop_beating
from proof.partners.access.operators import OperatorScope
from proof.timestamps.anchors.health import parts

WORKER = uuid4()
ROUND = """
INSERT INTO rounds (partner_environment_id, environment, blinding, closed_at, sealed_at, leaf_count,
    root, plain_root)
VALUES (1, 'sandbox', sha256('b'), now(), now() - interval '2 minutes', 2, sha256('r'), sha256('p'))
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
