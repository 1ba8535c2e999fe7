"""Proof and tree webhooks through the running server, to a receiver that fails at first."""

import base64
import hashlib
import hmac
import json
import secrets
import time
import urllib.error
import urllib.request
from typing import Any

from standardwebhooks import Webhook
from tests.support.receiver import Received, Receiver, Reply
from tests.support.served import served

from proof.verify import parse_verifier_key, verify_payload

PATIENCE_S = 120.0


def call(method: str, url: str, key: str, body: object = None) -> tuple[int, Any]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"x-api-key": key}, method=method)
    try:
        with urllib.request.urlopen(request) as reply:
            raw = reply.read()
            return reply.status, json.loads(raw) if raw else None
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def arrived(receiver: Receiver, path: str, count: int) -> list[Received]:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        found = [request for request in receiver.requests if request.path == path]
        if len(found) >= count:
            return found
        assert time.monotonic() < deadline, f"{len(found)} of {count} webhooks came to {path}"
        time.sleep(0.05)


def test_proof_and_tree_webhooks() -> None:
    settings = {"PROOF_UNSAFE_OUTBOUND_NETWORKS": "127.0.0.0/8"}
    with served(settings) as server, Receiver() as receiver:
        partner = server.add_partner()["sandbox"]
        base, key = partner["base_url"], partner["api_key"]
        receiver.script(Reply(503), Reply(drop=True), path="/trees")
        notification = {
            "proof": {"target": receiver.url("/proofs")},
            "tree": {"target": receiver.url("/trees"), "currencyIds": [900]},
        }
        status, setting = call(
            "PATCH", f"{base}/v1/api-key/setting", key, {"notification": notification}
        )
        assert (status, setting) == (200, {"notification": notification})
        digest = secrets.token_hex(32)
        assert call("POST", f"{base}/v1/timestamp", key, {"sha256": [digest]})[0] == 200

        first, *_ = arrived(receiver, "/trees", 1)
        tree = json.loads(first.body)
        assert (tree["currency"], tree["submitStatus"]) == ("LOG", 3)
        status, known = call("GET", f"{base}/v1/timestamp/{digest}", key)
        assert known["trees"] == [tree]
        again = arrived(receiver, "/trees", 2)[1]
        assert again.headers["webhook-id"] == first.headers["webhook-id"]
        assert again.body == first.body

        assert call("POST", f"{base}/v1/proof", key, {"currencyId": 900, "sha256": digest}) == (
            202,
            None,
        )
        proof, *_ = arrived(receiver, "/proofs", 1)
        secret = partner["webhook_secret"]
        Webhook(secret).verify(proof.body, proof.headers)
        raw = base64.b64decode(secret.removeprefix("whsec_"))
        assert proof.headers["x-signature"] == hmac.new(raw, proof.body, hashlib.sha256).hexdigest()
        with urllib.request.urlopen(f"{base}/log/key") as reply:
            keys = [parse_verifier_key(line) for line in reply.read().decode().splitlines()]
        assert verify_payload(proof.body, log_keys=keys).tied
        assert json.loads(proof.body) == call("GET", f"{base}/v1/proof/{digest}", key)[1]
