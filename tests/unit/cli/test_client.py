"""What each refusal tells, and what a server cannot do to its caller."""

import json
import socket
from pathlib import Path

import pytest
from tests.support.signer import LOG, WITNESS
from tests.unit.cli.conftest import KEY, Proof
from tests.unit.cli.fake_api import Answer, FakeApi

HASH = "a" * 64
STATUS = f"/v1/timestamp/{HASH}"


def said(message: str) -> bytes:
    return json.dumps({"message": message}).encode()


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        (Answer(401, said("not valid")), 4, ("not valid", "check PROOF_API_KEY")),
        (Answer(403, said("192.0.2.9 is not on the allowlist")), 4, ("192.0.2.9",)),
        (
            Answer(404, said("sha256: was not submitted here; POST /v1/timestamp first")),
            1,
            (f"{HASH} was not submitted here", "`proof stamp` it first"),
        ),
        (Answer(404, b"<html>"), 1, ("is not Proof's API", "PROOF_URL")),
        (Answer(425, said("later"), {"retry-after": "7"}), 3, ("later", "in 7 s")),
        (Answer(429, said("limit"), {"retry-after": "3600"}), 1, ("limit", "in 3600 s")),
        (Answer(500, said("oops"), {"x-request-id": "req_1"}), 1, ("oops", "req_1")),
        (Answer(502, b"<html>"), 4, ("a proxy answers",)),
        (Answer(503, said("starting")), 4, ("starting", "in 1 s")),
        (Answer(503, b"", {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}), 4, ("in 1 s",)),
        (Answer(400, said("sha256: bad")), 1, ("400", "sha256: bad")),
        (Answer(200, b"<html>"), 1, ("is not Proof's API",)),
        (Answer(200, b'{"dateCreated":"x","trees":[]}'), 1, ("is not Proof's API",)),
        (Answer(200, b"[" * 200_000), 1, ("is not Proof's API",)),
        (Answer(200, b" " * 5_000_000), 1, ("more than 4194304 bytes",)),
    ],
)
def test_each_refusal_has_its_code_and_words(
    proof: Proof, api: FakeApi, answer: Answer, code: int, words: tuple[str, ...]
) -> None:
    api.script(STATUS, answer)
    done = proof("status", HASH)
    assert done.exit_code == code
    assert all(word in done.stderr for word in words), done.stderr
    assert not done.stdout


def test_when_to_try_again_is_said_once(proof: Proof, api: FakeApi) -> None:
    api.script(STATUS, Answer(429, said("too fast; try again in 30 s"), {"retry-after": "30"}))
    assert proof("status", HASH).stderr == "proof: too fast; try again in 30 s\n"


def test_a_server_cannot_make_us_print_the_key_or_move_the_cursor(
    proof: Proof, api: FakeApi
) -> None:
    api.script(STATUS, Answer(400, said(f"you sent {KEY}\x1b[2J")))
    done = proof("status", HASH)  # looks for the key in all that is printed
    assert "you sent <API key>\\x1b[2J" in done.stderr


def test_a_redirect_is_told_and_not_followed(proof: Proof, api: FakeApi) -> None:
    api.script(STATUS, Answer(307, b"", {"location": f"{api.url}/elsewhere"}))
    done = proof("status", HASH)
    assert done.exit_code == 1
    assert "/elsewhere; give the final URL" in done.stderr
    assert [asked.path for asked in api.asked] == [STATUS]


def test_the_key_is_sent_in_its_header_alone(proof: Proof, api: FakeApi) -> None:
    proof("status", HASH, PROOF_API_KEY=f" {KEY}\n")
    (asked,) = api.asked
    assert asked.headers["x-api-key"] == KEY
    assert "authorization" not in asked.headers
    assert asked.headers["accept-encoding"] == "identity"
    assert KEY not in asked.path


def test_nobody_at_the_url(proof: Proof) -> None:
    with socket.socket() as bound:  # bound, not listening: refused, and nobody else's
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        done = proof("status", HASH, PROOF_URL=url)
    assert done.exit_code == 4
    assert f"no answer from {url}" in done.stderr
    assert "is Proof running there?" in done.stderr


def test_tls_where_there_is_none(proof: Proof, api: FakeApi) -> None:
    done = proof("status", HASH, PROOF_URL=api.url.replace("http:", "https:"))
    assert done.exit_code == 4
    assert "no answer from https:" in done.stderr


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:8420",
        "ftp://a",
        "http://",
        "http://a:b",
        "http://u:p@a",
        "http://a?b",
        "http://[",
    ],
)
def test_what_is_no_base_url_is_wrong_usage(proof: Proof, url: str) -> None:
    assert proof("status", HASH, "--url", url).exit_code == 2


@pytest.mark.parametrize("key", ["two words", "ünicode", "line\nbreak"])
def test_what_is_no_key_is_wrong_usage_and_not_repeated(proof: Proof, key: str) -> None:
    done = proof("status", HASH, PROOF_API_KEY=key)
    assert done.exit_code == 2
    assert key not in done.output


def test_without_settings_the_variables_are_named(proof: Proof) -> None:
    done = proof("status", HASH, PROOF_URL="", PROOF_API_KEY="")
    assert done.exit_code == 2
    assert "PROOF_URL" in done.stderr


@pytest.mark.parametrize("arguments", [("status",), ("fetch",)])
def test_a_subject_that_cannot_be_read_is_wrong_usage(
    proof: Proof, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    (tmp_path / "folder").mkdir()
    assert "No such file" in proof(*arguments, "gone").stderr
    done = proof(*arguments, "folder")
    assert done.exit_code == 2
    assert "is a folder" in done.stderr


def test_log_keys_are_printed_as_they_are(proof: Proof, api: FakeApi) -> None:
    api.script("/log/key", Answer(200, f"{LOG.text}\n{WITNESS.text}\n".encode()))
    done = proof("log", "key")
    assert done.stdout == f"{LOG.text}\n{WITNESS.text}\n"
    assert "channel you trust" in done.stderr
    assert json.loads(proof("log", "key", "--json").stdout) == {"keys": [LOG.text, WITNESS.text]}


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff", f"{LOG.text}x\n".encode()])
def test_what_is_no_key_of_a_log_is_not_printed(proof: Proof, api: FakeApi, body: bytes) -> None:
    api.script("/log/key", Answer(200, body))
    done = proof("log", "key")
    assert done.exit_code == 1
    assert not done.stdout
