"""The worker of a real server is killed while it delivers: every webhook arrives, under one id."""

import json
import os
import secrets
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook
from tests.support.receiver import Receiver, Reply
from tests.support.relay import Relay, relay
from tests.support.served import Server, served

# A lease of a minute, and what it takes to start again.
PATIENCE_S = 180.0
# Shorter than an attempt may take, and long enough that the worker is not done when it is killed.
HELD_S = 5.0
SETTINGS = {
    "PROOF_UNSAFE_OUTBOUND_NETWORKS": "127.0.0.0/8",
    "PROOF_WEBHOOK_SCHEDULE_S": "0,1,1,1,1,1",
}


@pytest.fixture(scope="module")
def mail() -> Iterator[Relay]:
    with relay() as found:
        yield found


@pytest.fixture(scope="module")
def server(mail: Relay) -> Iterator[Server]:
    relayed = {
        "PROOF_SMTP_HOST": "127.0.0.1",
        "PROOF_SMTP_PORT": str(mail.port),
        "PROOF_SMTP_SECURITY": "none",
        "PROOF_SMTP_SENDER": "Proof <partners@proof.example>",
        "PROOF_OPERATOR_EMAIL": "operator@proof.example",
    }
    with served(SETTINGS | relayed) as found:
        yield found


@pytest.mark.timeout(600)
def test_the_worker_is_killed_while_it_delivers(server: Server) -> None:
    with Receiver() as receiver:
        # Each fifth is refused at first, as the restarted receiver of a partner would.
        receiver.script(*[Reply(503 if n % 5 == 0 else 200, delay_s=0.3) for n in range(60)])
        receiver.script(otherwise=Reply(delay_s=HELD_S))
        partner = server.add_partner()["production"]
        _call(partner, "PATCH", "/v1/api-key/setting", _target(receiver.url("/")))
        digests = [secrets.token_hex(32) for _ in range(300)]
        _call(partner, "POST", "/v1/timestamp", {"sha256": digests})
        for digest in digests:
            _until(partial(_asked, partner, digest))
        (worker,) = _workers(server.process.pid)
        receiver.wait_for(61)
        os.kill(worker, signal.SIGKILL)
        assert set(_arrived(receiver)) < set(digests), "it was killed before it was done"
        receiver.script(otherwise=Reply())
        _until(lambda: set(_arrived(receiver)) == set(digests))
        _until(lambda: _workers(server.process.pid) not in ([], [worker]))
        requests = receiver.requests
        ids = _arrived(receiver)
    assert all(len(identifier) == 1 for identifier in ids.values())
    for request in requests[-50:]:
        Webhook(partner["webhook_secret"]).verify(request.body, request.headers)
        assert request.headers["webhook-sequence"] == "1"


def test_an_endpoint_that_is_gone_is_told_to_the_operator_and_the_partner_by_mail(
    server: Server, mail: Relay
) -> None:
    with Receiver() as receiver:
        receiver.script(otherwise=Reply(410))
        partner = server.add_partner(email="dev@gone.example")["production"]
        _call(partner, "PATCH", "/v1/api-key/setting", _target(receiver.url("/")))
        digest = secrets.token_hex(32)
        _call(partner, "POST", "/v1/timestamp", {"sha256": [digest]})
        _until(partial(_asked, partner, digest))
        told = [f"rcpt TO:<{item}>" for item in ("operator@proof.example", "dev@gone.example")]
        _until(lambda: all(item in mail.text for item in told))
        _until(lambda: mail.text.count("Subject: Webhook endpoint disabled") >= 2)
    assert "it answered 410 Gone" in mail.text


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
        with urllib.request.urlopen(request, timeout=60) as answer:
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


def _workers(supervisor: int) -> list[int]:
    """Its worker; none while one that died is not started again."""
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    return [int(pid) for pid in children if _command(pid).endswith(b"worker\0")]


def _command(pid: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)
