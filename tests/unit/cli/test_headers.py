"""proof headers sync: from a node and from a file, resumed, moved to a better chain, and refused."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from tests.support import anchored
from tests.support.fake_node import FakeNode, fake_node
from typer.testing import CliRunner, Result

from proof.cli.proofs import header_sync, headers
from proof.verify import load_headers

CHAIN = anchored.chain(60)
FORK = [*CHAIN[:40]]
while len(FORK) < 63:
    FORK.append(
        anchored.mine(anchored.double_sha256(FORK[-1]), bytes(32), 1296688602 + 601 * len(FORK))
    )
HEADERS = Path("chain.headers")


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeNode]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(header_sync, "MAX_BATCH", 7)
    Path("cookie").write_text("user:s3cret")
    with fake_node(CHAIN[:50]) as fake:
        yield fake


def run(*arguments: object) -> Result:
    app = typer.Typer()
    headers.register(app)
    result = CliRunner().invoke(app, ["headers", "sync", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert "user:s3cret" not in result.output
    return result


def sync(node: FakeNode, *options: object) -> Result:
    return run(
        HEADERS,
        *("--bitcoin-node", node.url, "--bitcoin-credentials", "cookie", "--network", "regtest"),
        *options,
    )


def held() -> list[bytes]:
    found = load_headers(HEADERS.read_bytes())
    return [bytes(found.at(height) or b"") for height in range(found.start, found.end)]


def test_from_nothing_and_on(node: FakeNode) -> None:
    result = sync(node, "--json")
    assert result.exit_code == 0, result.output
    facts: dict[str, Any] = json.loads(result.stdout)
    assert (facts["start"], facts["end"], facts["added"]) == (0, 50, 50)
    assert held() == CHAIN[:50]
    node.headers = list(CHAIN)
    result = sync(node)
    assert "regtest headers 0 to 59, 10 added, 0 replaced" in result.stdout
    assert held() == CHAIN
    assert json.loads(sync(node, "--json").stdout)["added"] == 0


def test_a_stopped_run_is_resumed(node: FakeNode) -> None:
    """What came before the failure stays; a header cut by a crash is written again."""
    node.fail_from = 30
    assert sync(node).exit_code == 2
    assert held() == CHAIN[:28]
    HEADERS.write_bytes(HEADERS.read_bytes() + CHAIN[28][:33])
    node.fail_from, node.calls = None, 0
    assert json.loads(sync(node, "--json").stdout)["added"] == 22
    assert held() == CHAIN[:50]
    assert node.calls < 80


def test_a_better_chain_replaces_ours(node: FakeNode) -> None:
    node.headers = list(CHAIN)
    assert sync(node).exit_code == 0
    node.headers = list(FORK)
    facts = json.loads(sync(node, "--json").stdout)
    assert (facts["end"], facts["keptOurs"]) == (63, False)
    assert facts["replaced"] >= 20
    assert held() == FORK


@pytest.mark.parametrize("length", [45, 60])
def test_a_chain_without_more_work_does_not(node: FakeNode, length: int) -> None:
    node.headers = list(CHAIN)
    assert sync(node).exit_code == 0
    node.headers = FORK[:length]
    assert json.loads(sync(node, "--json").stdout)["keptOurs"] is True
    assert held() == CHAIN


def test_a_source_that_is_behind_changes_nothing(node: FakeNode) -> None:
    node.headers = list(CHAIN)
    assert sync(node).exit_code == 0
    node.headers = CHAIN[:20]
    facts = json.loads(sync(node, "--json").stdout)
    assert (facts["added"], facts["replaced"], facts["keptOurs"]) == (0, 0, False)
    assert held() == CHAIN


def test_from_the_middle(node: FakeNode) -> None:
    assert sync(node, "--start", 20).exit_code == 0
    assert held() == CHAIN[20:50]


def test_from_a_file_somebody_gave(node: FakeNode) -> None:
    Path("given").write_bytes(anchored.header_file(CHAIN))
    Path("bare").write_bytes(b"".join(FORK))
    for given, expected in (("given", CHAIN), ("bare", FORK)):
        result = run(HEADERS, "--from", given, "--network", "regtest")
        assert result.exit_code == 0, result.output
        assert held() == expected
    assert node.calls == 0


def test_what_is_wrong_is_refused_and_not_kept(node: FakeNode) -> None:
    bad = [*CHAIN[:30], anchored.mine(bytes(32), bytes(32), 1), *CHAIN[31:]]
    Path("bad").write_bytes(anchored.header_file(bad))
    result = run(HEADERS, "--from", "bad", "--network", "regtest")
    assert result.exit_code == 1
    assert "does not name the one before it" in result.stderr
    assert held() == CHAIN[: len(held())]
    node.headers = bad
    assert sync(node).exit_code == 1
    assert held() == CHAIN[: len(held())]


def test_a_damaged_file_of_ours_is_refused(node: FakeNode) -> None:
    assert sync(node).exit_code == 0
    raw = bytearray(HEADERS.read_bytes())
    raw[1000] ^= 1
    HEADERS.write_bytes(raw)
    result = sync(node)
    assert result.exit_code == 1
    assert HEADERS.read_bytes() == raw


USAGE: dict[str, tuple[list[str], str]] = {
    "no source": ([], "--bitcoin-node URL or --from FILE"),
    "two sources": (["--from", "x", "--bitcoin-node", "http://h"], "--bitcoin-node URL or"),
    "unknown network": (["--from", "x", "--network", "liquid"], "there is no network"),
    "no such file": (["--from", "nowhere"], "cannot read nowhere"),
    "credentials in the URL": (["--bitcoin-node", "http://u:p@h:1"], "--bitcoin-credentials"),
    "no URL": (["--bitcoin-node", "localhost"], "write http://HOST:PORT"),
    "main from the middle of a period": (["--from", "main", "--start", "5"], "multiple of 2016"),
    "no credentials file": (
        ["--bitcoin-node", "http://127.0.0.1:1", "--bitcoin-credentials", "none"],
        "cannot read none",
    ),
    "credentials of no form": (
        ["--bitcoin-node", "http://127.0.0.1:1", "--bitcoin-credentials", "chainless"],
        "does not hold user:password",
    ),
}


@pytest.mark.parametrize("fault", USAGE)
def test_wrong_usage(node: FakeNode, fault: str) -> None:
    Path("chainless").write_text("nothing")
    Path("main").write_bytes(b"proof-headers/1 main 0\n")
    arguments, expected = USAGE[fault]
    result = run(HEADERS, *arguments)
    assert result.exit_code in (1, 2)
    assert expected in result.stderr
    assert not HEADERS.exists()


def test_another_network(node: FakeNode) -> None:
    node.chain = "signet"
    result = sync(node)
    assert result.exit_code == 2
    assert "the source is of signet, not regtest" in result.stderr
    node.chain = "\x1b]0;main\x07\x9b2J" + "x" * 100_000
    result = sync(node)
    assert "the source is of \\x1b]0;main\\x07\\x9b2Jx" in result.stderr
    assert result.stderr.replace("\n", "").isprintable()
    assert len(result.stderr) < 1_000


ANSWERS: dict[str, bytes] = {
    "no JSON": b"hello",
    "no batch": b"{}",
    "null": b"null",
    "numbers": b"[1, 2]",
    "number": b"5",
    "truth": b"true",
    "id of no kind": b'[{"id": [], "result": 1, "error": null}]',
    "endless": b"[" + b" " * (5 << 20),
    "nested": b"[" * 100_000,
}


@pytest.mark.parametrize("fault", ANSWERS)
def test_what_answers_is_no_node(node: FakeNode, fault: str) -> None:
    node.raw_answer = ANSWERS[fault]
    result = sync(node)
    assert result.exit_code == 4
    assert "is no bitcoind" in result.stderr


def test_nothing_answers_or_it_does_not_let_us_in(node: FakeNode) -> None:
    result = run(HEADERS, "--bitcoin-node", "http://127.0.0.1:1")
    assert result.exit_code == 4
    assert "is bitcoind running there" in result.stderr
    result = run(HEADERS, "--bitcoin-node", node.url)
    assert result.exit_code == 4
    assert "does not accept the credentials" in result.stderr
