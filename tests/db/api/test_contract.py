"""Every answer of the timestamp API, field for field as the contract has it."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import rfc8785
from tests.db.api.table import NOWHERE, PREFIX, customer
from tests.support.application import Answer, Platform, Stage
from tests.support.partners import issued, limit
from tests.support.receiver import Receiver, Reply, documented_headers

from proof import __version__
from proof.partners.types import Environment
from proof.timestamps.submissions.usage import UNLIMITED
from proof.verify import Policy, parse_verifier_key, verify_payload, verify_tlog_proof

Run = Callable[[Any], Any]
PRODUCTION, SANDBOX = Environment.PRODUCTION, Environment.SANDBOX


def digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def now_ms() -> float:
    return datetime.now(UTC).timestamp() * 1000


async def newcomer(platform: Platform, environment: Environment = PRODUCTION) -> str:
    return issued(await platform.onboard(), environment).api_key


async def submitted(platform: Platform, token: str, *hashes: str, prefix: str = "") -> Any:
    return await platform.call(
        "POST", f"{prefix}/v1/timestamp", {"sha256": list(hashes)}, token=token
    )


async def test_submitting_new_mixed_and_known_hashes(platform: Platform) -> None:
    token = await newcomer(platform)
    a, b, c = digest("a"), digest("b"), digest("c")
    started = now_ms()
    first = await submitted(platform, token, b, a)
    assert (first.status, first.headers["content-type"]) == (200, "application/json")
    assert first.json.keys() == {"sha256", "dateCreated", "trees"}
    assert first.json["sha256"] == [b, a]
    assert started - 1000 <= first.json["dateCreated"] <= now_ms() + 1000
    (tree,) = first.json["trees"]
    assert tree == {"treeId": tree["treeId"], "currencyId": 900, "currency": "LOG"}
    await platform.seal()

    mixed = await submitted(platform, token, a, c)
    assert mixed.status == 200
    assert mixed.json.keys() == {"sha256", "dateCreated", "trees", "existing"}
    assert (mixed.json["sha256"], mixed.json["existing"]) == ([c], [a])
    assert mixed.json["trees"][0]["treeId"] != tree["treeId"]

    known = await submitted(platform, token, c, b, c)
    assert known.status == 202
    assert known.json == {
        "sha256": [],
        "dateCreated": first.json["dateCreated"],
        "trees": [tree],
        "existing": [c, b],
    }


async def test_the_state_of_a_hash_and_its_tree_before_and_after(platform: Platform) -> None:
    token, leaf = await newcomer(platform), digest("state")
    receipt = (await submitted(platform, token, leaf)).json
    named = receipt["trees"][0]
    unsubmitted = {**named, "submitStatus": 0}
    path, tree_path = f"/v1/timestamp/{leaf}", f"/v1/tree/{named['treeId']}"
    status = await platform.call("GET", path, token=token)
    assert status.status == 200
    assert status.json == {"dateCreated": receipt["dateCreated"], "trees": [unsubmitted]}
    assert (await platform.call("GET", tree_path, token=token)).json == unsubmitted
    early = await platform.call("GET", f"/v1/proof/{leaf}", token=token)
    assert (early.status, early.headers["retry-after"]) == (425, "1")
    assert "submitStatus 0" in early.message

    started = now_ms()
    await platform.seal()
    verified = (await platform.call("GET", tree_path, token=token)).json
    assert verified.keys() == {*unsubmitted, "timestamp", "rootSha256", "transaction"}
    assert {**verified, **named, "submitStatus": 3} == verified
    assert verified["timestamp"] % 1000 == 0
    assert started - 1 <= verified["timestamp"] <= now_ms() + 1000
    assert len(bytes.fromhex(verified["rootSha256"])) == 32
    assert str(int(verified["transaction"])) == verified["transaction"]
    posted = await platform.call(
        "POST", "/v1/tree/status", {"treeId": named["treeId"]}, token=token
    )
    assert (posted.status, posted.json) == (200, verified)
    after = await platform.call("GET", path, token=token)
    assert after.json == {"dateCreated": receipt["dateCreated"], "trees": [verified]}


async def test_the_webhook_body_is_the_payload_and_verifies(platform: Platform) -> None:
    partner = await customer(platform, PRODUCTION, "Hooked")
    token, leaf = issued(partner).api_key, digest("proof")
    await submitted(platform, token, leaf, digest("beside"), digest("it"))
    request = {"currencyId": 900, "sha256": leaf}
    early = await platform.call("POST", "/v1/proof", request, token=token)
    assert early.status == 425
    await platform.seal()
    accepted = await platform.call("POST", "/v1/proof", request, token=token)
    assert (accepted.status, accepted.body) == (202, b"")
    fetched = await platform.call("GET", f"/v1/proof/{leaf.upper()}", token=token)
    spelled = f"/v1/proof/{leaf}?currencyId=900&format=json"
    assert (await platform.call("GET", spelled, token=token)).body == fetched.body
    (event,) = await platform.fetch("SELECT * FROM outbox WHERE subject = $1", leaf)
    assert event["body"] == fetched.body
    assert event["type"] == "timestamp.proof"
    assert event["partner_environment_id"] == issued(partner).partner_environment_id

    payload = fetched.json
    assert rfc8785.dumps(payload) == fetched.body
    assert payload.keys() == {"sha256", "tree", "branch", "evidence"}
    assert payload["evidence"].keys() == {
        *("type", "origin", "index", "inclusion", "checkpoint", "plainRoot")
    }
    assert payload["sha256"] == leaf
    assert payload["branch"]["sha256"] == payload["tree"]["rootSha256"]
    status = await platform.call("GET", f"/v1/timestamp/{leaf}", token=token)
    assert status.json["trees"] == [payload["tree"]]
    keys = (await platform.call("GET", "/log/key")).body.decode().splitlines()
    established = verify_payload(fetched.body, log_keys=[parse_verifier_key(k) for k in keys])
    assert established.tied
    assert established.timestamp_ms == payload["tree"]["timestamp"]


async def test_a_proof_in_the_log_is_also_a_tlog_proof(platform: Platform) -> None:
    token, leaf = await newcomer(platform), digest("tlog-proof")
    await submitted(platform, token, leaf, *(digest(f"tlog-proof {n}") for n in range(300)))
    path = f"/v1/proof/{leaf}?format=tlog-proof"
    assert (await platform.call("GET", path, token=token)).status == 425
    await platform.seal()
    answer = await platform.call("GET", path, token=token)
    assert (answer.status, answer.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    assert answer.body.startswith(b"c2sp.org/tlog-proof@v1\nextra ")
    keys = (await platform.call("GET", "/log/key")).body.decode().splitlines()
    trusted = Policy.of_keys(map(parse_verifier_key, keys))
    found = verify_tlog_proof(answer.body, trusted)
    payload = (await platform.call("GET", f"/v1/proof/{leaf}", token=token)).json
    assert found.leaf.hex() == leaf
    assert found.root.hex() == payload["tree"]["rootSha256"]
    assert found.inclusion.plain_root.hex() == payload["evidence"]["plainRoot"]
    assert found.timestamp_ms == payload["tree"]["timestamp"]
    refused = await platform.call("GET", f"{path}&currencyId=0", token=token)
    assert refused.status == 400
    unknown = await platform.call("GET", f"/v1/proof/{leaf}?format=xml", token=token)
    assert (unknown.status, "json, ots, tlog-proof" in unknown.message) == (400, True)
    for _ in range(2):
        await platform.call("GET", path, token=token)
    assert (
        await platform.call("GET", f"/v1/proof/{digest('no')}?format=tlog-proof", token=token)
    ).status == 404


async def test_without_a_webhook_a_proof_request_says_so(platform: Platform) -> None:
    token, leaf = await newcomer(platform), digest("nowhere to go")
    await submitted(platform, token, leaf)
    await platform.seal()
    answer = await platform.call(
        "POST", "/v1/proof", {"currencyId": 900, "sha256": leaf}, token=token
    )
    assert answer.status == 400
    assert "notification.proof.target" in answer.message


async def test_settings_change_only_what_is_sent(platform: Platform) -> None:
    token = await newcomer(platform)

    async def patched(body: Any) -> Any:
        answer = await platform.call("PATCH", "/v1/api-key/setting", body, token=token)
        read = await platform.call("GET", "/v1/api-key/setting", token=token)
        assert (read.status, read.json) == (200, answer.json)
        assert answer.status == 200, answer
        return answer.json

    def setting(proof: str, tree: str, *chains: int) -> Any:
        tree_part = {"target": tree, "currencyIds": list(chains)}
        return {"notification": {"proof": {"target": proof}, "tree": tree_part}}

    item, two = "https://one.example/hook", "https://two.example/hook"
    assert await patched({}) == setting("", "")
    assert await patched({"notification": {"proof": {"target": item}}}) == setting(item, "")
    assert await patched({"notification": {"tree": {"target": two}}}) == setting(item, two)
    assert await patched({"notification": {"tree": {}, "proof": {}}}) == setting(item, two)
    chosen = {"notification": {"tree": {"currencyIds": [900, 900]}}}
    assert await patched(chosen) == setting(item, two, 900)
    assert await patched({"notification": {"proof": {"target": ""}}}) == setting("", two, 900)
    none = {"notification": {"tree": {"target": "", "currencyIds": []}}}
    assert await patched(none) == setting("", "")
    assert await patched({"notification": {}}) == setting("", "")


async def test_a_setting_refused_in_part_changes_nothing(platform: Platform) -> None:
    token = await newcomer(platform)
    for tree in ({"target": "http://x.example/"}, {"target": NOWHERE, "currencyIds": [0]}):
        body = {"notification": {"proof": {"target": "https://one.example/"}, "tree": tree}}
        answer = await platform.call("PATCH", "/v1/api-key/setting", body, token=token)
        assert answer.status == 400
    kept = await platform.call("GET", "/v1/api-key/setting", token=token)
    assert kept.json["notification"] == {
        "proof": {"target": ""},
        "tree": {"target": "", "currencyIds": []},
    }


async def test_usage_and_limits(platform: Platform) -> None:
    partner = await customer(platform, PRODUCTION, "Counted")
    token, leaf = issued(partner).api_key, digest("counted")
    today = datetime.now(UTC)

    async def usage(**body: int) -> Any:
        answer = await platform.call("POST", "/v1/api-key/usage", body, token=token)
        assert answer.status == 200
        return answer.json

    unlimited = dict.fromkeys(("limitTimestamps", "limitProofs", "limitStatus"), UNLIMITED)
    assert await usage(year=today.year) == {**unlimited, "reports": []}
    month = {"year": today.year, "month": today.month}
    empty = {**month, "usedTimestamps": 0, "usedProofs": 0, "usedStatus": 0}
    assert await usage(**month) == {**unlimited, "reports": [empty]}

    await submitted(platform, token, leaf, digest("counted too"), leaf)
    await submitted(platform, token, leaf)
    await platform.call("GET", f"/v1/proof/{leaf}", token=token)  # 425: not counted
    await platform.seal()
    for _ in range(2):
        assert (await platform.call("GET", f"/v1/proof/{leaf}", token=token)).status == 200
    request = {"currencyId": 900, "sha256": leaf}
    assert (await platform.call("POST", "/v1/proof", request, token=token)).status == 202
    for _ in range(4):
        await platform.call("GET", f"/v1/timestamp/{leaf}", token=token)
    used = {**month, "usedTimestamps": 2, "usedProofs": 3, "usedStatus": 4}
    assert (await usage(**month))["reports"] == [used]
    assert (await usage(year=today.year))["reports"] == [used]
    assert (await usage(year=1970, month=1))["reports"][0]["usedTimestamps"] == 0

    await limit(platform.database, partner, PRODUCTION, timestamps=3, proofs=3, status=4)
    await platform.poll()
    assert await usage(year=today.year) == {
        "limitTimestamps": 3,
        "limitProofs": 3,
        "limitStatus": 4,
        "reports": [used],
    }
    over = await submitted(platform, token, digest("x"), digest("y"))
    assert (over.status, over.headers["retry-after"]) == (429, "3600")
    assert "limit of 3 timestamps leaves 1" in over.message
    assert (await submitted(platform, token, digest("x"))).status == 200
    assert (await submitted(platform, token, digest("y"))).status == 429
    for method, target, body in [
        ("GET", f"/v1/proof/{leaf}", None),
        ("POST", "/v1/proof", request),
        ("GET", f"/v1/timestamp/{leaf}", None),
    ]:
        answer = await platform.call(method, target, body, token=token)
        assert answer.status == 429, target
        assert "limit" in answer.message
    # Another partner's limits are its own.
    assert (await submitted(platform, await newcomer(platform), digest("x"))).status == 200


async def test_examples_under_way_are_a_share_of_each_environments_own(platform: Platform) -> None:
    """A receiver that hangs holds its partner's two places, and no call of anybody else's."""

    hanging, other = await newcomer(platform), await newcomer(platform)
    with Receiver() as receiver:
        receiver.script(otherwise=Reply(delay_s=600), path="/hangs")

        async def example(token: str, path: str) -> Answer:
            body = {"target": receiver.url(path)}
            return await platform.call("POST", "/v1/webhook/proof/example", body, token=token)

        under_way = [asyncio.create_task(example(hanging, "/hangs")) for _ in range(2)]
        await asyncio.to_thread(receiver.wait_for, 2)
        refused = await example(hanging, "/")
        assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        assert refused.json == {"message": "2 such calls are under way; wait until one has ended"}
        assert (await example(other, "/")).headers["x-webhook-outcome"] == "answered 200"
        for task in under_way:
            task.cancel()
        await asyncio.wait(under_way)


async def test_an_example_is_returned_posted_and_verifiable(platform: Platform) -> None:
    token = await newcomer(platform)
    with Receiver() as receiver:
        for kind in ("proof", "tree"):
            body = {"target": receiver.url(f"/{kind}")}
            answer = await platform.call("POST", f"/v1/webhook/{kind}/example", body, token=token)
            assert (answer.status, answer.headers["x-webhook-outcome"]) == (200, "answered 200")
            received = receiver.requests[-1]
            assert (received.path, received.body) == (f"/{kind}", answer.body)
            assert documented_headers() <= received.headers.keys()
            assert received.headers["webhook-sequence"] == "1"
            assert received.headers["user-agent"] == f"Proof/{__version__}"
            assert rfc8785.dumps(answer.json) == answer.body
            if kind == "proof":
                assert verify_payload(answer.body).leaf.hex() == answer.json["sha256"]
            else:
                assert answer.json["submitStatus"] == 3
    unreachable = await platform.call(
        "POST", "/v1/webhook/tree/example", {"target": NOWHERE}, token=token
    )
    assert unreachable.status == 200
    assert unreachable.headers["x-webhook-outcome"] == "not delivered: connect"


def test_nothing_crosses_between_the_environments(run: Run, alone: Stage) -> None:
    platform = alone.platform

    async def scene() -> None:
        partner, leaf = await platform.onboard(), digest("one hash, two environments")
        tokens = {item: issued(partner, item).api_key for item in Environment}
        for environment in Environment:
            answer = await submitted(
                platform, tokens[environment], leaf, prefix=PREFIX[environment]
            )
            assert answer.status == 200, "known in one environment is new in the other"
        await platform.seal()
        proofs, keys, checkpoints = [], [], []
        for environment, token in tokens.items():
            prefix = PREFIX[environment]
            proofs.append(await platform.call("GET", f"{prefix}/v1/proof/{leaf}", token=token))
            keys.append((await platform.call("GET", f"{prefix}/log/key")).body.decode())
            checkpoints.append((await platform.call("GET", f"{prefix}/log/checkpoint")).body)
        assert [proof.status for proof in proofs] == [200, 200]
        assert len(set(keys)) == len(set(checkpoints)) == 2
        for at, proof in enumerate(proofs):
            own, other = (
                [parse_verifier_key(line) for line in keys[which].splitlines()]
                for which in (at, 1 - at)
            )
            assert verify_payload(proof.body, log_keys=own).tied
            assert not verify_payload(proof.body, log_keys=other).tied
            tree = json.loads(proof.body)["tree"]["treeId"]
            crossed = list(Environment)[1 - at]
            answer = await platform.call(
                "GET", f"{PREFIX[crossed]}/v1/tree/{tree}", token=tokens[crossed]
            )
            assert answer.status == 404

    alone.run(scene())
