"""A sandbox purchase from session to end, with callbacks over real HTTP, in a real `proof serve`."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.served import Server, served

from proof.verify import VerifierKey, parse_verifier_key
from proof.verify.receipts.receipt import EstablishedReceipt, verify_receipt

_GIVE_UP_S = 120.0
_SESSION = {
    "partner_user_id": "user-1",
    "user_email": "user@acme.example",
    "currency": "USDT",
    "network": "TRC20",
    "amount": "25.5",
}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with served({"PROOF_UNSAFE_OUTBOUND_NETWORKS": "127.0.0.0/8"}) as running:
        yield running


def call(server: Server, token: str, method: str, path: str, body: Any = None) -> Any:
    return json.loads(answered(server, token, method, path, body))


def answered(server: Server, token: str, method: str, path: str, body: Any = None) -> bytes:
    request = urllib.request.Request(
        server.url + "/sandbox" + path,
        None if body is None else json.dumps(body).encode(),
        {"authorization": f"Bearer {token}", "content-type": "application/json"},
        method=method,
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        raw: bytes = answer.read()
    return raw


def become(server: Server, token: str, path: str, wanted: str) -> Any:
    """What is answered there, once it has that status."""
    deadline = time.monotonic() + _GIVE_UP_S
    while True:
        found = call(server, token, "GET", path)
        if found["status"] == wanted or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


def proved(server: Server, token: str, path: str) -> EstablishedReceipt:
    """A receipt by the served keys, once nothing remains; the server's worker stamps records by itself."""
    receipt_keys, log_keys = keys(server, "/receipts/key"), keys(server, "/log/key")
    deadline = time.monotonic() + _GIVE_UP_S
    while True:
        raw = answered(server, token, "GET", path)
        found = verify_receipt(raw, receipt_keys=receipt_keys, log_keys=log_keys)
        if found.tied:
            return found
        assert time.monotonic() < deadline, (found.remaining, server.log())
        time.sleep(0.1)


def keys(server: Server, path: str) -> list[VerifierKey]:
    with urllib.request.urlopen(f"{server.url}/sandbox{path}", timeout=60) as answer:
        return [parse_verifier_key(line) for line in answer.read().decode().splitlines()]


def heard(server: Server, wanted: int) -> list[tuple[str, int, int]]:
    """Of each account its provider, and how many callbacks were verified and not."""
    deadline = time.monotonic() + _GIVE_UP_S
    while True:
        accounts = json.loads(server.run("provider", "list", "--json").stdout)
        found = [
            (account["provider"], account["raw"], account["unverified"]) for account in accounts
        ]
        if sum(raw for _, raw, _ in found) >= wanted or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


def ask_for_receipts(server: Server, partner_id: str) -> None:
    """A webhook that nobody hears; its events are read at /events."""
    where = ("--environment", "sandbox", "--webhook", "https://127.0.0.1:8443/")
    assert server.run("partner", "edit", partner_id, *where).returncode == 0, server.log()
    of_sandbox = ("--partner", partner_id, "--env", "sandbox", "--json")
    (endpoint,) = json.loads(server.run("webhook", "endpoints", *of_sandbox).stdout)
    change = ("webhook", "change", partner_id, "--env", "sandbox", "--endpoint", endpoint["id"])
    events = "transaction.status,transaction.receipt"
    assert server.run(*change, "--events", events).returncode == 0


def matured(server: Server, token: str, records: int) -> Any:
    """What is told once the log proves that many records; the server's worker tells by itself."""
    deadline = time.monotonic() + _GIVE_UP_S
    while True:
        events = call(server, token, "GET", "/events")["events"]
        for event in events:
            body = event["body"]
            if event["type"] == "transaction.receipt" and body["records"] == str(records):
                return body
        assert time.monotonic() < deadline, (events, server.log())
        time.sleep(0.1)


def test_a_purchase_is_simulated_to_its_end_over_http(server: Server) -> None:
    partner = server.add_partner(sandbox_ip="127.0.0.1")
    token = partner["sandbox"]["client_token"]
    ask_for_receipts(server, partner["partner_id"])
    name = call(server, token, "POST", "/widget/session", _SESSION)["merchant_transaction_id"]
    call(server, token, "POST", f"/simulate/{name}", {"outcome": "success"})
    call(server, token, "POST", "/clock/advance", {"seconds": 60})
    found = become(server, token, f"/widget/transactions/{name}", "completed")
    assert found["status"] == "completed", server.log()
    assert (found["fiat_currency"], found["crypto_amount"]) == ("EUR", "25.5")
    # Polling may have been quicker; the signed callbacks come all the same, also that of the identity.
    kyc = become(server, token, "/widget/users/user-1/kyc-status", "verified")
    assert kyc["status"] == "verified"
    assert heard(server, 3) == [("sandbox", 3, 0)]
    told = proved(server, token, f"/widget/transactions/{name}/receipt")
    kinds = [(dated.record.kind, dated.record.text("status")) for dated in told.records]
    assert kinds[0] == ("session.opened", "")
    changes = [kind for kind in kinds if kind[0] == "transaction.status"]
    assert changes == [("transaction.status", "processing"), ("transaction.status", "completed")]
    newest = matured(server, token, len(told.records))
    assert newest["record_sha256"] == told.records[-1].record.sha256.hex()
    assert newest["receipt_url"].endswith(f"/sandbox/widget/transactions/{name}/receipt")


def test_production_has_no_simulator(server: Server) -> None:
    request = urllib.request.Request(f"{server.url}/clock/advance", b'{"seconds":1}', method="POST")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=60)
    assert refused.value.code == 404
    refused.value.close()
