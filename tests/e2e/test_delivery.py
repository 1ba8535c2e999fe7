"""The worker of a real server is killed while it delivers: every webhook arrives, under one id."""

import json
import os
import secrets
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook
from tests.support.receiver import Receiver, Reply
from tests.support.relay import relay
from tests.support.served import served

# A lease of a minute, and what it takes to start again.
PATIENCE_S = 120.0
SETTINGS = {
    "PROOF_UNSAFE_OUTBOUND_NETWORKS": "127.0.0.0/8",
    "PROOF_WEBHOOK_SCHEDULE_S": "0,1,1,1,1,1",
}


@pytest.mark.timeout(240)
def test_the_worker_is_killed_while_it_delivers() -> None:
    with Receiver() as receiver, served(SETTINGS) as server:
        # Each fifth is refused at first, as the restarted receiver of a partner would.
        receiver.script(*[Reply(503 if n % 5 == 0 else 200, delay_s=0.3) for n in range(150)])
        receiver.script(otherwise=Reply(delay_s=0.3))
        partner = server.add_partner()["production"]
        _call(partner, "PATCH", "/v1/api-key/setting", _target(receiver.url("/")))
        digests = [secrets.token_hex(32) for _ in range(300)]
        _call(partner, "POST", "/v1/timestamp", {"sha256": digests})
        for digest in digests:
            _until(partial(_asked, partner, digest))
        worker = _worker(server.process.pid)
        receiver.wait_for(60)
        os.kill(worker, signal.SIGKILL)
        _until(lambda: set(_arrived(receiver)) == set(digests))
        assert _worker(server.process.pid) != worker
        requests = receiver.requests
        ids = _arrived(receiver)
    assert all(len(one) == 1 for one in ids.values())
    for request in requests[-50:]:
        Webhook(partner["webhook_secret"]).verify(request.body, request.headers)
        assert request.headers["webhook-sequence"] == "1"


def test_an_endpoint_that_is_gone_is_told_to_the_operator_and_the_partner_by_mail() -> None:
    with Receiver() as receiver, relay() as found:
        mail = {
            "PROOF_SMTP_HOST": "127.0.0.1",
            "PROOF_SMTP_PORT": str(found.port),
            "PROOF_SMTP_SECURITY": "none",
            "PROOF_SMTP_SENDER": "Proof <partners@proof.example>",
            "PROOF_OPERATOR_EMAIL": "operator@proof.example",
        }
        with served(SETTINGS | mail) as server:
            receiver.script(otherwise=Reply(410))
            partner = server.add_partner(email="dev@gone.example")["production"]
            _call(partner, "PATCH", "/v1/api-key/setting", _target(receiver.url("/")))
            digest = secrets.token_hex(32)
            _call(partner, "POST", "/v1/timestamp", {"sha256": [digest]})
            _until(partial(_asked, partner, digest))
            _until(lambda: found.text.count("Subject: Webhook endpoint disabled") == 2)
    for address in ("operator@proof.example", "dev@gone.example"):
        assert f"rcpt TO:<{address}>" in found.text
    assert "it answered 410 Gone" in found.text


def _asked(partner: dict[str, Any], digest: str) -> bool:
    body = {"currencyId": 900, "sha256": digest}
    return _call(partner, "POST", "/v1/proof", body) == 202


def _target(url: str) -> dict[str, Any]:
    return {"notification": {"proof": {"target": url}}}


def _call(partner: dict[str, Any], method: str, path: str, body: dict[str, Any]) -> int:
    request = urllib.request.Request(
        partner["base_url"] + path,
        json.dumps(body).encode(),
        {"x-api-key": partner["api_key"], "content-type": "application/json"},
        method=method,
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def _arrived(receiver: Receiver) -> dict[str, set[str]]:
    """The ids that each hash's proof came with."""
    found: dict[str, set[str]] = {}
    for request in receiver.requests:
        digest = json.loads(request.body)["sha256"]
        found.setdefault(digest, set()).add(request.headers["webhook-id"])
    return found


def _worker(supervisor: int) -> int:
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    (worker,) = (
        int(pid)
        for pid in children
        if Path(f"/proc/{pid}/cmdline").read_bytes().endswith(b"worker\0")
    )
    return worker


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)
