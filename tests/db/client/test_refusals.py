"""What each refusal of a real Proof tells whoever typed the command."""

import json
from collections.abc import Callable, Sequence

import pytest
from tests.db.client.conftest import Proof, Server
from tests.support.middleman import Answer, Middleman, instead, with_body
from tests.support.partners import issued, limit, revoke, suspend, tamper

from proof.api.errors import error_reply
from proof.api.http import Reply
from proof.core.errors import BusyError, DatabaseUnavailableError, ProofError
from proof.partners.types import Environment, OnboardedPartner

HASH = "a" * 64
STATUS = f"/v1/timestamp/{HASH}"
PRODUCTION, SANDBOX = Environment.PRODUCTION, Environment.SANDBOX


def _revoked(server: Server, partner: OnboardedPartner) -> None:
    server.act(revoke, issued(partner).api_key)


def _suspended(server: Server, partner: OnboardedPartner) -> None:
    server.act(suspend, partner)


def _used_up(server: Server, partner: OnboardedPartner) -> None:
    server.act(limit, partner, PRODUCTION, status=0)


def _nothing(_server: Server, _partner: OnboardedPartner) -> None:
    pass


@pytest.mark.parametrize(
    ("happens", "command", "code", "words"),
    [
        (_revoked, ("status", HASH), 4, ("not valid", "check PROOF_API_KEY")),
        (_suspended, ("status", HASH), 4, ("suspended",)),
        (_nothing, ("status", HASH), 1, (f"{HASH} was not submitted here", "`proof stamp` it first")),
        (_nothing, ("fetch", HASH), 1, (f"{HASH} was not submitted here", "`proof stamp` it first")),
        (_used_up, ("status", HASH), 1, ("limit", "try again in 3600 s")),
    ],
)  # fmt: skip
def test_each_refusal_has_its_code_and_words(
    proof: Proof,
    server: Server,
    partner: OnboardedPartner,
    happens: Callable[[Server, OnboardedPartner], None],
    command: Sequence[str],
    code: int,
    words: Sequence[str],
) -> None:
    happens(server, partner)
    done = proof(*command)
    assert done.exit_code == code
    assert all(word in done.stderr for word in words), done.stderr
    assert not done.stdout


def test_credentials_that_are_not_for_this_are_told(
    proof: Proof, server: Server, partner: OnboardedPartner
) -> None:
    of_sandbox = proof("status", HASH, PROOF_API_KEY=issued(partner, SANDBOX).api_key)
    other_kind = proof("status", HASH, PROOF_API_KEY=issued(partner).client_token)
    far = server.partner(timestamp_networks=("192.0.2.1/32",))
    elsewhere = proof("status", HASH, PROOF_API_KEY=issued(far).api_key)
    assert [done.exit_code for done in (of_sandbox, other_kind, elsewhere)] == [4, 4, 4]
    assert "check PROOF_API_KEY" in of_sandbox.stderr
    assert "api_key" in other_kind.stderr
    assert "127.0.0.1 is not on the allowlist" in elsewhere.stderr


def test_what_is_not_there_yet_says_when(proof: Proof) -> None:
    assert proof("stamp", "--sha256", HASH).exit_code == 0
    done = proof("fetch", HASH, "--no-wait")
    assert done.exit_code == 3
    assert "try again in 1 s" in done.stderr
    assert done.stderr.count("try again") == 1


def test_a_fault_of_ours_is_told_with_its_request_id(proof: Proof, server: Server) -> None:
    server.act(tamper, "ALTER TABLE submissions RENAME TO elsewhere")
    try:
        done = proof("status", HASH)
    finally:
        server.act(tamper, "ALTER TABLE elsewhere RENAME TO submissions")
    assert done.exit_code == 1
    assert "the server failed (500, request id req_" in done.stderr
    assert "tell its operator the request id" in done.stderr


def _wire(reply: Reply) -> Answer:
    headers = {name.decode(): value.decode() for name, value in reply.headers}
    return Answer(reply.status, reply.body, headers)


@pytest.mark.parametrize(
    "error", [DatabaseUnavailableError("gone"), BusyError("your other calls are before this one")]
)
def test_what_passes_is_told_with_when_to_try_again(
    proof: Proof, line: Middleman, error: ProofError
) -> None:
    line.faults[STATUS] = [instead(_wire(error_reply(error, "req_1")))]
    done = proof("status", HASH)
    assert done.exit_code == 4
    assert done.stderr.rstrip().endswith(" s")
    assert done.stderr.count("try again in") == 1


def test_a_proxy_without_a_proof_behind_it_is_told(proof: Proof, line: Middleman) -> None:
    line.faults[STATUS] = [instead(Answer(502, b"<h1>Bad Gateway</h1>"))]
    done = proof("status", HASH)
    assert done.exit_code == 4
    assert "a proxy answers" in done.stderr


def test_the_key_is_sent_in_its_header_alone(
    proof: Proof, line: Middleman, partner: OnboardedPartner
) -> None:
    key = issued(partner).api_key
    proof("status", HASH, PROOF_API_KEY=f" {key}\n")
    (asked,) = line.asked
    assert asked.headers["x-api-key"] == key
    assert "authorization" not in asked.headers
    assert asked.headers["accept-encoding"] == "identity"
    assert key not in asked.path


def test_log_keys_are_printed_as_they_are(proof: Proof, line: Middleman) -> None:
    came: list[bytes] = []

    def heard(body: bytes) -> bytes:
        came.append(body)
        return body

    line.faults["/log/key"] = [with_body(heard)]
    done = proof("log", "key")
    assert [done.stdout.encode()] == came
    assert "channel you trust" in done.stderr
    keys = json.loads(proof("log", "key", "--json").stdout)["keys"]
    assert keys == done.stdout.splitlines() != []
