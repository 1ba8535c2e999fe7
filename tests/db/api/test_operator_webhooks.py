"""Webhooks in the operator API: looking, sending again, trying out, secrets."""

import json
from base64 import b64decode
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from tests.db.api.operators import PARTNERS, READ, WRITE, operator
from tests.db.api.table import OPERATOR_OPERATIONS, operator_scope
from tests.db.webhooks.scene import (
    FakeClient,
    TurnedClock,
    deliverer,
    endpoint,
    endpoint_id,
    happen,
    relay_all,
)
from tests.support.application import CALLER, Platform
from tests.support.partners import issued

from proof.db import Connection
from proof.partners.types import Environment, OnboardedPartner
from proof.webhooks.signing import signing_keys

NOT_PUBLIC = "whsec_"


async def hooked(platform: Platform, count: int = 0) -> tuple[OnboardedPartner, str]:
    """A partner with an endpoint and events that were delivered; where its webhooks are."""
    partner = await platform.onboard()
    owner = issued(partner).partner_environment_id
    await endpoint(platform.database, "https://one.example/", to=owner)
    await happen(platform.database, count, to=owner)
    await relay_all(platform.database)
    await deliverer(platform.database, FakeClient(), TurnedClock()).run_once()
    return partner, f"{PARTNERS}/{partner.partner_id}/production/webhooks"


def platform_keys(platform: Platform) -> Any:
    async def ring(connection: Connection, owner: int) -> Any:
        return await signing_keys(connection, platform.vault, owner)

    return ring


async def audited(platform: Platform, partner: OnboardedPartner) -> list[tuple[str, str, Any]]:
    rows = await platform.fetch(
        "SELECT actor, address, action, after FROM audit_log"
        " WHERE partner_id = $1 AND action LIKE 'webhook%' ORDER BY id",
        partner.partner_id,
    )
    assert all(row["address"] == CALLER for row in rows)
    return [(row["actor"], row["action"], json.loads(row["after"])) for row in rows]


async def test_endpoints_and_deliveries_are_read(platform: Platform) -> None:
    token = (await operator(platform, READ)).token
    partner, path = await hooked(platform, 3)
    answer = await platform.call("GET", path, token=token)
    (item,) = answer.json["endpoints"]
    assert (item["url"], item["type"], item["breaker"]) == (
        "https://one.example/", "timestamp.proof", "closed",
    )  # fmt: skip
    assert (item["partner_id"], item["environment"]) == (partner.partner_id, "production")
    page = await platform.call("GET", f"{path}/deliveries?limit=2", token=token)
    rest = await platform.call(
        "GET", f"{path}/deliveries?limit=2&before={page.json['next']}", token=token
    )
    found = page.json["deliveries"] + rest.json["deliveries"]
    assert [each["state"] for each in found] == ["delivered"] * 3
    assert len({each["webhook_id"] for each in found}) == 3
    assert rest.json["next"] == 0
    for query, count in (
        ("state=delivered", 3),
        ("state=failed", 0),
        (f"endpoint_id={item['id']}", 3),
        ("since=2100-01-01T00:00:00Z", 0),
        ("since=2026-01-01T00:00:00%2B02:00", 3),
    ):
        some = await platform.call("GET", f"{path}/deliveries?{query}", token=token)
        assert len(some.json["deliveries"]) == count, query
    sandbox = await platform.call("GET", path.replace("production", "sandbox"), token=token)
    assert sandbox.json == {"endpoints": []}


async def test_what_was_sent_is_sent_again(platform: Platform) -> None:
    found = await operator(platform)
    partner, path = await hooked(platform, 2)
    page = await platform.call("GET", f"{path}/deliveries", token=found.token)
    first = page.json["deliveries"][0]
    for body, count in (
        ({"delivery": first["id"]}, 1),
        ({"failed": True}, 0),
        ({"since": "2026-01-01T00:00:00Z", "until": "2100-01-01T00:00:00Z"}, 1),
    ):
        answer = await platform.call("POST", f"{path}/replay", body, token=found.token)
        assert (answer.status, answer.json["replayed"]) == (200, count), body
        (pending,) = answer.json["pending"] or [{"waiting": "worker"}]
        assert pending["waiting"] == "worker"
    client = FakeClient()
    await deliverer(platform.database, client, TurnedClock()).run_once()
    sent = [headers["webhook-id"] for _, _, headers in client.sent]
    assert sorted(sent) == sorted(item["webhook_id"] for item in page.json["deliveries"])
    acts = await audited(platform, partner)
    assert [(actor, action) for actor, action, _ in acts] == [(found.key_id, "webhook.replay")] * 3


async def test_another_partners_objects_are_not_found(platform: Platform) -> None:
    token = (await operator(platform)).token
    theirs, their_path = await hooked(platform, 1)
    _, path = await hooked(platform, 1)
    where = await endpoint_id(platform.database, issued(theirs).partner_environment_id)
    page = await platform.call("GET", f"{their_path}/deliveries", token=token)
    item = page.json["deliveries"][0]["id"]
    tried = await platform.call("POST", f"{path}/replay", {"delivery": item}, token=token)
    assert tried.status == 404
    assert (await platform.call("POST", f"{path}/{where}/test", token=token)).status == 404
    seen = await platform.call("GET", f"{path}/deliveries?endpoint_id={where}", token=token)
    assert seen.json["deliveries"] == []


async def test_a_test_event_is_sent(platform: Platform) -> None:
    found = await operator(platform)
    partner, path = await hooked(platform)
    where = await endpoint_id(platform.database, issued(partner).partner_environment_id)
    answer = await platform.call("POST", f"{path}/{where}/test", token=found.token)
    await relay_all(platform.database)
    client = FakeClient()
    await deliverer(platform.database, client, TurnedClock()).run_once()
    ((_, _, headers),) = client.sent
    assert answer.json == {"webhook_id": headers["webhook-id"]}
    after = {"environment": "production", "endpoint_id": str(where)}
    assert await audited(platform, partner) == [(found.key_id, "webhook.test", after)]


async def test_an_endpoint_is_changed_as_its_partner_asks(platform: Platform) -> None:
    found = await operator(platform)
    partner, path = await hooked(platform)
    owner = issued(partner).partner_environment_id
    where = await endpoint_id(platform.database, owner)
    client, clock = FakeClient(answers={"one.example": 410}), TurnedClock()
    await happen(platform.database, to=owner)
    await relay_all(platform.database)
    item = deliverer(platform.database, client, clock, keys=platform_keys(platform))
    await item.run_once()
    (seen,) = (await platform.call("GET", path, token=found.token)).json["endpoints"]
    assert (seen["breaker"], seen["public_keys"]) == ("disabled", [])
    body = {"ordering": "subject", "ed25519": True, "enable": True}
    answer = await platform.call("PATCH", f"{path}/{where}", body, token=found.token)
    assert answer.status == 200, answer
    (public,) = answer.json["public_keys"]
    assert (answer.json["breaker"], answer.json["ordering"]) == ("closed", "subject")
    (after,) = (await platform.call("GET", path, token=found.token)).json["endpoints"]
    assert after == answer.json
    body = {"events": ["transaction.receipt"]}
    refused = await platform.call("PATCH", f"{path}/{where}", body, token=found.token)
    assert (refused.status, "only one of transactions" in refused.json["message"]) == (400, True)
    client.answers.clear()
    await happen(platform.database, to=owner)
    await relay_all(platform.database)
    clock.turn(100_000)
    # The signing keys of an endpoint are read anew within a second.
    fresh = deliverer(platform.database, client, clock, keys=platform_keys(platform))
    await fresh.run_once()
    _, sent, headers = client.sent[-1]
    (signature,) = (s for s in headers["webhook-signature"].split() if s.startswith("v1a,"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + sent
    key = Ed25519PublicKey.from_public_bytes(b64decode(public.removeprefix("whpk_")))
    key.verify(b64decode(signature.removeprefix("v1a,")), signed)
    ((_, action, entry),) = await audited(platform, partner)
    assert action == "webhook.change"
    assert entry == {
        "environment": "production",
        "endpoint_id": str(where),
        "ordering": "subject",
        "ed25519": True,
        "events": ["transaction.status"],
        "breaker": "closed",
    }


async def test_secrets_are_rotated_and_revealed(platform: Platform) -> None:
    found = await operator(platform)
    partner, path = await hooked(platform)
    first = issued(partner).webhook_secret
    rotated = await platform.call("POST", f"{path}/secrets", {}, token=found.token)
    assert (rotated.status, rotated.headers["cache-control"]) == (201, "no-store")
    new, old = rotated.json["secrets"]
    assert "secret" not in old
    assert (new["ends_at"], old["ends_at"] is None) == (None, False)
    shown = await platform.call("POST", f"{path}/secrets/reveal", token=found.token)
    assert shown.headers["cache-control"] == "no-store"
    assert [item["secret"] for item in shown.json["secrets"]] == [new["secret"], first]
    at_once = await platform.call("POST", f"{path}/secrets", {"grace_s": 0}, token=found.token)
    listed = await platform.call("GET", f"{path}/secrets", token=found.token)
    assert [item["id"] for item in listed.json["secrets"]] == [at_once.json["secrets"][0]["id"]]
    acts = await audited(platform, partner)
    assert [action for _, action, _ in acts] == [
        "webhook_secret.rotate", "webhook_secret.show", "webhook_secret.rotate",
    ]  # fmt: skip


async def test_no_secret_is_read_with_the_scope_read(platform: Platform) -> None:
    reader = (await operator(platform, READ)).token
    partner, path = await hooked(platform, 1)
    await platform.call("POST", f"{path}/secrets", {}, token=(await operator(platform)).token)
    where = await endpoint_id(platform.database, issued(partner).partner_environment_id)
    answered = 0
    for operation in OPERATOR_OPERATIONS.values():
        target = operation.path.replace("{partner_id}", partner.partner_id)
        target = target.replace("{environment}", Environment.PRODUCTION)
        target = target.replace("{endpoint_id}", str(where)).replace("{kind}", "api_key")
        answer = await platform.call(operation.method, target, {}, token=reader)
        # Nothing works behind this process, which is what /statusz says.
        read = 503 if operation.path == "/statusz" else 200
        assert answer.status == (403 if operator_scope(operation) is WRITE else read), target
        assert NOT_PUBLIC not in answer.body.decode()
        answered += answer.status == 200
    assert answered > 0
