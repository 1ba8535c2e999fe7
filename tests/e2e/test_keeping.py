"""The audit log, the signing keys and the secrets at rest of a running Proof, as its operator sees them."""

import json
import os
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from tests.support.served import Server, served

from proof.core.canonical import canonical_json

KEY, NEXT = os.urandom(32).hex(), os.urandom(32).hex()
_GIVE_UP_S = 120.0


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """The last test moves it to another key."""
    with served({"PROOF_KEY_ENCRYPTION_KEY": KEY}) as found:
        found.partner = found.add_partner()  # type: ignore[attr-defined]
        yield found


def succeeded(server: Server, *arguments: str) -> str:
    done = server.run(*arguments)
    assert done.returncode == 0, done.stderr + done.stdout
    assert KEY not in done.stdout + done.stderr
    return done.stdout


def polled(server: Server, *arguments: str) -> str:
    """The output of a command, once it succeeds."""
    deadline = time.monotonic() + _GIVE_UP_S
    while True:
        done = server.run(*arguments)
        if done.returncode == 0:
            return done.stdout
        assert time.monotonic() < deadline, done.stderr
        time.sleep(0.2)


def chained(server: Server, count: int) -> list[dict[str, Any]]:
    """The export, once it has that many lines."""
    deadline = time.monotonic() + _GIVE_UP_S
    while True:
        lines = [json.loads(line) for line in succeeded(server, "audit", "export").splitlines()]
        if len(lines) >= count:
            return lines
        assert time.monotonic() < deadline, lines
        time.sleep(0.2)


def children(pid: int) -> list[int]:
    """Every process below `pid`."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
    except FileNotFoundError:
        return []  # it ended meanwhile
    below = [int(child) for task in tasks for child in read(task / "children").split()]
    return below + [item for child in below for item in children(child)]


def read(path: Path) -> bytes:
    """A file of /proc; nothing once its process has ended."""
    try:
        return path.read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def test_keys_and_partners_are_in_the_chain_and_the_export_can_be_recomputed(
    server: Server,
) -> None:
    lines = chained(server, 3)
    actions = [line["entry"]["action"] for line in lines]
    assert actions[:2] == ["signing_key.create", "signing_key.create"]
    assert "partner.add" in actions
    previous = bytes(32)
    for position, line in enumerate(lines, 1):
        assert line["position"] == position
        assert bytes.fromhex(line["previous"]) == previous
        previous = sha256(previous + canonical_json(line["entry"])).digest()
        assert line["hash"] == previous.hex()
    second = lines[1]["entry"]["at"]
    since = succeeded(server, "audit", "export", "--since", second)
    assert json.loads(since.splitlines()[0])["position"] in {1, 2}
    assert succeeded(server, "audit", "export", "--since", "2999-01-01") == ""
    assert server.run("audit", "export", "--since", "yesterday").returncode == 2


def test_the_log_is_verified_with_a_proof_kept_outside(server: Server, tmp_path: Path) -> None:
    chained(server, 3)
    saved, key = str(tmp_path / "head.proof.json"), tmp_path / "log.key"
    polled(server, "audit", "proof", "-o", saved)
    key.write_text(server.run("log", "key", "--url", server.url).stdout)
    arguments = ("--against", saved, "--log-key", str(key))
    found = json.loads(succeeded(server, "audit", "verify", *arguments, "--json"))
    assert found["findings"] == []
    assert found["checked"] >= 3
    position = json.loads(Path(saved).read_text())["auditHead"]["position"]
    assert [item["position"] for item in found["saved"]] == [position]
    assert "nothing was altered" in succeeded(server, "audit", "verify", *arguments)
    assert server.run("verify", saved, "--log-key", str(key)).returncode == 0
    forged = json.loads(Path(saved).read_text()) | {"auditHead": {"position": 1, "entryId": 1}}
    Path(saved).write_text(json.dumps(forged))
    refused = server.run("audit", "verify", *arguments)
    assert refused.returncode == (0 if position == 1 else 1)
    assert server.run("audit", "verify", "--against", str(tmp_path / "none")).returncode == 2
    (tmp_path / "empty").write_text("# nothing\n")
    wrong = server.run("audit", "verify", "--log-key", str(tmp_path / "empty"))
    assert (wrong.returncode, "holds no key" in wrong.stderr) == (2, True)


def test_entries_are_listed_newest_first(server: Server) -> None:
    entries = json.loads(succeeded(server, "audit", "list", "--json"))
    ids = [entry["id"] for entry in entries]
    assert ids == sorted(ids, reverse=True)
    assert "signing_key.create" in succeeded(server, "audit", "list")
    partner_id = server.partner["partner_id"]  # type: ignore[attr-defined]
    of_one = json.loads(succeeded(server, "audit", "list", "--partner", partner_id, "--json"))
    assert {entry["partner_id"] for entry in of_one} == {partner_id}
    assert len(json.loads(succeeded(server, "audit", "list", "--limit", "1", "--json"))) == 1


def test_keys_are_rotated_and_listed_by_id_and_time_only(server: Server) -> None:
    rotated = json.loads(succeeded(server, "keys", "rotate", "--env", "sandbox", "--json"))
    keys = json.loads(succeeded(server, "keys", "list", "--json"))
    assert all(set(key) == {"environment", "key_id", "created_at", "retired_at"} for key in keys)
    signing = {key["key_id"]: key["environment"] for key in keys if key["retired_at"] is None}
    assert sorted(signing.values()) == ["production", "sandbox"]
    assert signing[rotated["key_id"]] == "sandbox"
    assert "signs now" in succeeded(server, "keys", "list")
    assert server.run("keys", "rotate", "--env", "staging").returncode == 2
    newest = json.loads(succeeded(server, "audit", "list", "--limit", "1", "--json"))
    assert newest[0]["action"] == "signing_key.rotate"


def test_only_our_own_processes_find_the_key_in_their_environment(server: Server) -> None:
    holders = set()
    for pid in children(server.process.pid):
        command = read(Path(f"/proc/{pid}/cmdline"))
        if command and KEY.encode() in read(Path(f"/proc/{pid}/environ")):
            holders.add(command.split(b"\0")[-2])
        assert KEY.encode() not in command
    assert holders <= {b"api", b"worker"}
    assert holders


def test_secrets_move_to_another_key_and_the_first_can_go(server: Server, tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.write_text(KEY)
    old.chmod(0o600)
    first = json.loads(succeeded(server, "secrets", "check", "--json"))
    assert (first["unopened"], {use["key_id"] for use in first["uses"]}) == (
        0,
        {first["newest_key_id"]},
    )
    server.stop()
    server.environment["PROOF_KEY_ENCRYPTION_KEY"] = NEXT
    lost = server.run("secrets", "check")
    assert (lost.returncode, "do not open" in lost.stderr) == (1, True)
    server.environment["PROOF_KEY_ENCRYPTION_KEY_PREVIOUS_FILES"] = str(old)
    server.start()
    assert "every record opens" in succeeded(server, "secrets", "check")
    moved = json.loads(succeeded(server, "secrets", "rewrap", "--json"))
    assert sum(moved["records"].values()) == sum(use["records"] for use in first["uses"])
    server.stop()
    del server.environment["PROOF_KEY_ENCRYPTION_KEY_PREVIOUS_FILES"]
    server.start()
    assert "every record opens" in succeeded(server, "secrets", "check")
    entries = json.loads(succeeded(server, "audit", "list", "--limit", "1", "--json"))
    assert entries[0]["action"] == "secrets.rewrap"
    assert KEY not in server.log()
    assert NEXT not in server.log()
