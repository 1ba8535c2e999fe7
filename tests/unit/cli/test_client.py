"""What is told of a server that is not Proof, and what it cannot do to its caller."""

import json
import socket
from pathlib import Path

import pytest
from tests.support.middleman import Answer, Middleman
from tests.support.signer import LOG
from tests.unit.cli.conftest import KEY, Proof

HASH = "a" * 64
STATUS = f"/v1/timestamp/{HASH}"


def said(message: str) -> bytes:
    return json.dumps({"message": message}).encode()


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        (Answer(404, b"<html>"), 1, ("is not Proof's API", "PROOF_URL")),
        (Answer(503, b"", {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}), 4, ("in 1 s",)),
        (Answer(400, said("sha256: bad")), 1, ("400", "sha256: bad")),
        (Answer(200, b"<html>"), 1, ("is not Proof's API",)),
        (Answer(200, b'{"dateCreated":"x","trees":[]}'), 1, ("is not Proof's API",)),
        (Answer(200, b"[" * 200_000), 1, ("is not Proof's API",)),
        (Answer(200, b" " * 5_000_000), 1, ("more than 4194304 bytes",)),
    ],
)
def test_each_strange_answer_has_its_code_and_words(
    proof: Proof, stranger: Middleman, answer: Answer, code: int, words: tuple[str, ...]
) -> None:
    stranger.answers[STATUS] = answer
    done = proof("status", HASH)
    assert done.exit_code == code
    assert all(word in done.stderr for word in words), done.stderr
    assert not done.stdout


def test_a_server_cannot_make_us_print_the_key_or_move_the_cursor(
    proof: Proof, stranger: Middleman
) -> None:
    stranger.answers[STATUS] = Answer(400, said(f"you sent {KEY}\x1b[2J"))
    done = proof("status", HASH)  # looks for the key in all that is printed
    assert "you sent <API key>\\x1b[2J" in done.stderr


def test_a_redirect_is_told_and_not_followed(proof: Proof, stranger: Middleman) -> None:
    stranger.answers[STATUS] = Answer(307, b"", {"location": f"{stranger.url}/elsewhere"})
    done = proof("status", HASH)
    assert done.exit_code == 1
    assert "/elsewhere; give the final URL" in done.stderr
    assert [asked.path for asked in stranger.asked] == [STATUS]


def test_nobody_at_the_url(proof: Proof) -> None:
    with socket.socket() as bound:  # bound, not listening: refused, and nobody else's
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        done = proof("status", HASH, PROOF_URL=url)
    assert done.exit_code == 4
    assert f"no answer from {url}" in done.stderr
    assert "is Proof running there?" in done.stderr


def test_tls_where_there_is_none(proof: Proof, stranger: Middleman) -> None:
    done = proof("status", HASH, PROOF_URL=stranger.url.replace("http:", "https:"))
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


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff", f"{LOG.text}x\n".encode()])
def test_what_is_no_key_of_a_log_is_not_printed(
    proof: Proof, stranger: Middleman, body: bytes
) -> None:
    stranger.answers["/log/key"] = Answer(200, body)
    done = proof("log", "key")
    assert done.exit_code == 1
    assert not done.stdout
