"""What a witness answers, over its application without a socket; the real process has tests of its own."""

import asyncio
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import structlog
from tests.support.witness_requests import FORK, LOG, REQUESTS, STRANGER
from tests.support.witnessed_logs import NaiveLog, add_checkpoint

from proof.core.note_keys import SigningKey
from proof.verify.evidence.log.checkpoint import parse_checkpoint_body
from proof.verify.evidence.log.note import (
    COSIGNER_KEY,
    MLDSA_COSIGNER_KEY,
    parse_note,
    signed_note,
)
from proof.witness.administration import add_log, remove_log, report
from proof.witness.app import WitnessApp
from proof.witness.folder import Identity, create, open_store, read_identity
from proof.witness.log_keys import parse_log_key, signed_lines
from proof.witness.service import Witness
from proof.witness.store import Store

START = datetime(2026, 11, 22, 12, 0, 0, 900_000, UTC)
START_S = int(START.timestamp())


@dataclass
class _Clock:
    moment: datetime = START

    def now(self) -> datetime:
        return self.moment


@dataclass
class Answer:
    status: int
    headers: dict[bytes, bytes]
    body: bytes


@dataclass
class Scene:
    folder: Path
    identity: Identity
    witness: Witness
    store: Store
    clock: _Clock
    app: WitnessApp

    async def ask(self, method: str, path: str, *parts: bytes) -> Answer:
        """One request, whose body arrives in these parts."""
        waiting = [
            {"type": "http.request", "body": part, "more_body": number < len(parts) - 1}
            for number, part in enumerate(parts or (b"",))
        ]
        sent: list[Any] = []

        async def receive() -> Any:
            return waiting.pop(0) if waiting else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        await self.app({"type": "http", "method": method, "path": path}, receive, send)
        start, body = sent
        assert (start["type"], body["type"]) == ("http.response.start", "http.response.body")
        return Answer(start["status"], dict(start["headers"]), body["body"])

    async def add(self, body: bytes) -> Answer:
        return await self.ask("POST", "/add-checkpoint", body)

    async def newest(self, log: NaiveLog = LOG) -> Answer:
        return await self.ask("GET", f"/{sha256(log.origin.encode()).hexdigest()}/checkpoint")

    def times(self, log: NaiveLog, size: int, lines: bytes) -> list[int]:
        """When each of the witness's keys signed that checkpoint, in the order of its keys."""
        note = parse_note(signed_note(log.body(size), [lines]))
        keys = [parse_log_key(vkey) for vkey in self.identity.vkeys]
        body = parse_checkpoint_body(note.body)
        assert signed_lines(note, body, keys) == lines
        assert [line.key_hash for line in note.signatures] == [key.key.key_hash for key in keys]
        return [int.from_bytes(line.payload[:8], "big") for line in note.signatures]


@asynccontextmanager
async def scene(folder: Path, *, new: bool = True) -> AsyncIterator[Scene]:
    if new:
        create(folder, "witness.example/w1")
        add_log(folder, LOG.vkey, None, None)
    identity, clock = read_identity(folder), _Clock()
    store = open_store(folder, identity)
    try:
        async with Witness(identity, store, None, clock) as witness:
            yield Scene(folder, identity, witness, store, clock, WitnessApp(witness))
    finally:
        store.close()


async def test_both_keys_cosign_the_newest_checkpoint_in_the_second_it_is(tmp_path: Path) -> None:
    async with scene(tmp_path / "w") as here:
        for old, new in ((0, 3), (3, 8), (8, 12)):
            answer = await here.add(LOG.request(old, new))
            assert answer.status == 200
            assert answer.headers[b"content-type"] == b"text/plain; charset=utf-8"
            assert here.times(LOG, new, answer.body) == [START_S, START_S]
        newest = await here.newest()
        assert newest.status == 200
        assert newest.body == LOG.checkpoint(12) + answer.body


@pytest.mark.parametrize(("body", "status"), REQUESTS.values(), ids=REQUESTS)
async def test_a_request_is_answered_as_specified(tmp_path: Path, body: bytes, status: int) -> None:
    """With size 3 held. Whatever is not cosigned changes nothing."""
    async with scene(tmp_path / "w") as here:
        first = await here.add(LOG.request(0, 3))
        answer = await here.add(body)
        assert answer.status == status
        assert answer.headers[b"content-length"] == b"%d" % len(answer.body)
        if status == 409:
            assert answer.headers[b"content-type"] == b"text/x.tlog.size"
            assert answer.body == b"3\n"
        if status != 200:
            assert (await here.newest()).body == LOG.checkpoint(3) + first.body


async def test_a_log_that_never_sent_anything_has_size_0(tmp_path: Path) -> None:
    async with scene(tmp_path / "w") as here:
        answer = await here.add(LOG.request(3, 8))
        assert (answer.status, answer.body) == (409, b"0\n")
        assert (await here.newest()).status == 404


async def test_paths_and_methods(tmp_path: Path) -> None:
    async with scene(tmp_path / "w") as here:
        await here.add(LOG.request(0, 3))
        known = f"/{sha256(LOG.origin.encode()).hexdigest()}/checkpoint"
        for method, path, status in (
            ("GET", "/add-checkpoint", 405),
            ("PUT", "/add-checkpoint", 405),
            ("POST", known, 405),
            ("GET", known, 200),
            ("HEAD", known, 200),
            ("GET", known.upper(), 404),
            ("GET", known + "/", 404),
            ("GET", "/" + sha256(b"other").hexdigest() + "/checkpoint", 404),
            ("GET", "/", 404),
            ("GET", "/healthz", 200),
            ("GET", "/metrics", 200),
            ("POST", "/metrics", 405),
        ):
            answer = await here.ask(method, path)
            assert answer.status == status, (method, path)
            assert answer.headers[b"x-content-type-options"] == b"nosniff"
            if status == 405:
                allowed = b"POST" if path == "/add-checkpoint" else b"GET, HEAD"
                assert answer.headers[b"allow"] == allowed
        newest, metrics = await here.newest(), await here.ask("GET", "/metrics")
        assert newest.headers[b"content-type"] == b"text/plain; charset=utf-8"
        assert newest.headers[b"cache-control"] == b"no-store"
        assert metrics.headers[b"content-type"].startswith(b"text/plain; version=0.0.4")
        head = await here.ask("HEAD", known)
        assert (head.body, head.headers[b"content-length"]) == (
            b"",
            b"%d" % len((await here.newest()).body),
        )


async def test_a_body_counts_whole_however_it_arrives(tmp_path: Path) -> None:
    async with scene(tmp_path / "w") as here:
        body = LOG.request(0, 3)
        parts = [body[:1], body[1:70], body[70:]]
        assert (await here.ask("POST", "/add-checkpoint", *parts)).status == 200
        many = [b"x" * 1024] * 10
        assert (await here.ask("POST", "/add-checkpoint", *many)).status == 400
        assert (await here.ask("POST", "/add-checkpoint", *many, b"x")).status == 413


async def test_time_does_not_go_back(tmp_path: Path) -> None:
    async with scene(tmp_path / "w") as here:
        await here.add(LOG.request(0, 3))
        here.clock.moment = START - timedelta(seconds=5)
        answer = await here.add(LOG.request(3, 8))
        assert (answer.status, answer.headers[b"retry-after"]) == (503, b"5")
        here.clock.moment = START + timedelta(seconds=5)
        answer = await here.add(LOG.request(3, 8))
        assert here.times(LOG, 8, answer.body) == [START_S + 5] * 2
        # The same checkpoint again, later: cosigned anew, with the time it has become.
        here.clock.moment = START + timedelta(seconds=9)
        answer = await here.add(LOG.request(8, 8))
        assert here.times(LOG, 8, answer.body) == [START_S + 9] * 2


async def test_a_checkpoint_sent_again_in_one_second_costs_no_signature(tmp_path: Path) -> None:
    async with scene(tmp_path / "w") as here:
        first = await here.add(LOG.request(0, 3))
        again = [await here.add(LOG.request(3, 3)) for _ in range(3)]
        # An ML-DSA-44 signature is another one each time it is made.
        assert {answer.body for answer in again} == {first.body}
        assert here.store.commits == 1


async def test_requests_at_once_make_one_history(tmp_path: Path) -> None:
    async with scene(tmp_path / "w") as here:
        await here.add(LOG.request(0, 4))
        sent = [log.request(4, new) for new in range(5, 13) for log in (LOG, FORK)]
        answers = await asyncio.gather(*map(here.add, sent))
        assert sorted(answer.status for answer in answers) == [200] + [409] * 15
        (done,) = (number for number, answer in enumerate(answers) if answer.status == 200)
        size = 5 + done // 2
        assert {answer.body for answer in answers if answer.status == 409} == {b"%d\n" % size}


async def test_the_same_request_at_once_is_cosigned_once(tmp_path: Path) -> None:
    async with scene(tmp_path / "w") as here:
        await here.add(LOG.request(0, 3))
        answers = await asyncio.gather(*(here.add(LOG.request(3, 3)) for _ in range(20)))
        assert {answer.status for answer in answers} == {200}
        assert len({answer.body for answer in answers}) == 1


async def test_what_was_cosigned_is_there_after_a_restart(tmp_path: Path) -> None:
    async with scene(tmp_path / "w") as here:
        await here.add(LOG.request(0, 3))
    async with scene(tmp_path / "w", new=False) as here:
        newest = await here.newest()
        lines = newest.body.removeprefix(LOG.checkpoint(3))
        assert here.times(LOG, 3, lines) == [START_S] * 2
        assert (await here.add(FORK.request(0, 12))).body == b"3\n"
        assert (await here.add(LOG.request(3, 8))).status == 200


async def test_logs_that_changed_are_told_once(tmp_path: Path) -> None:
    with structlog.testing.capture_logs() as events:
        async with scene(tmp_path / "w") as here:
            await here.add(LOG.request(0, 3))
            add_log(here.folder, STRANGER.vkey, None, None)
            await here.add(STRANGER.request(0))
            await here.add(LOG.request(3, 8))
    told = [event["logs"] for event in events if event["event"] == "witness.logs_read"]
    assert told == [1, 2]


async def test_logs_and_keys_are_picked_up_at_once(tmp_path: Path) -> None:
    new_key = SigningKey.generate(LOG.origin, LOG.key.key_type)
    rotated = add_checkpoint(3, LOG.proof(3, 8), LOG.checkpoint(8, new_key))
    async with scene(tmp_path / "w") as here:
        assert (await here.add(STRANGER.request(0))).status == 404
        add_log(here.folder, STRANGER.vkey, None, None)
        assert (await here.add(STRANGER.request(0))).status == 200
        await here.add(LOG.request(0, 3))
        assert (await here.add(rotated)).status == 403
        add_log(here.folder, new_key.text, None, None)
        assert (await here.add(rotated)).status == 200
        # Whoever has the old key signs no more once it is removed, and nobody once the log is.
        remove_log(here.folder, LOG.vkey)
        assert (await here.add(LOG.request(8, 12))).status == 403
        remove_log(here.folder, LOG.origin)
        assert (await here.add(rotated)).status == 404
        add_log(here.folder, LOG.vkey, None, None)
        assert (await here.add(FORK.request(0, 12))).body == b"8\n"


async def test_a_log_begins_at_the_checkpoint_it_was_told(tmp_path: Path) -> None:
    async with scene(tmp_path / "w") as here:
        add_log(here.folder, STRANGER.vkey, "elsewhere", None)
        add_log(here.folder, LOG.vkey, None, LOG.checkpoint(8))
        assert (await here.newest()).status == 404
        assert (await here.add(FORK.request(0, 12))).body == b"8\n"
        assert (await here.add(FORK.request(8, 12))).status == 422
        answer = await here.add(LOG.request(8, 8))
        assert here.times(LOG, 8, answer.body) == [START_S] * 2
        assert (await here.newest()).status == 200


@pytest.mark.parametrize("key_type", [COSIGNER_KEY, MLDSA_COSIGNER_KEY])
async def test_a_log_may_sign_as_cosigners_do(tmp_path: Path, key_type: int) -> None:
    key = SigningKey.generate("signer.example", key_type)
    note = signed_note(LOG.body(3), [key.cosign(LOG.body(3), 7)])
    other = signed_note(LOG.body(3), [key.cosign(LOG.body(2), 7)])
    async with scene(tmp_path / "w") as here:
        remove_log(here.folder, LOG.vkey)
        add_log(here.folder, key.text, LOG.origin, None)
        assert (await here.add(add_checkpoint(0, [], other))).status == 403
        assert (await here.add(add_checkpoint(0, [], note))).status == 200
        assert (await here.newest()).body.startswith(note)


async def test_lines_of_others_are_ignored_and_not_passed_on(tmp_path: Path) -> None:
    witness = SigningKey.generate("other.example/w", COSIGNER_KEY)
    line = witness.cosign(LOG.body(3), 5)
    note = signed_note(LOG.body(3), [line, LOG.key.sign(LOG.body(3)), line])
    async with scene(tmp_path / "w") as here:
        answer = await here.add(add_checkpoint(0, [], note))
        assert (await here.newest()).body == LOG.checkpoint(3) + answer.body


async def test_a_trusted_key_that_signs_twice_or_wrongly_is_refused(tmp_path: Path) -> None:
    right, wrong = LOG.key.sign(LOG.body(3)), LOG.key.sign(LOG.body(2))
    async with scene(tmp_path / "w") as here:
        for lines in ([right, right], [right, wrong], [wrong]):
            note = signed_note(LOG.body(3), lines)
            assert (await here.add(add_checkpoint(0, [], note))).status == 403


async def test_extension_lines_are_cosigned_and_served(tmp_path: Path) -> None:
    body = LOG.body(3) + b"an extension\n"
    note = signed_note(body, [LOG.key.sign(body)])
    async with scene(tmp_path / "w") as here:
        assert (await here.add(add_checkpoint(0, [], note))).status == 200
        assert (await here.newest()).body.startswith(note)


async def test_a_fork_is_kept_and_told_once(tmp_path: Path) -> None:
    with structlog.testing.capture_logs() as events:
        async with scene(tmp_path / "w") as here:
            await here.add(LOG.request(0, 8))
            for old in (8, 0, 8):
                answer = await here.add(FORK.request(old, 8))
                assert answer.status == (422 if old == 8 else 409)
    told = [event for event in events if event["event"] == "witness.fork"]
    assert [(event["origin"], event["size"]) for event in told] == [(LOG.origin, 8)]
    assert report(tmp_path / "w").forks == {LOG.origin: [FORK.checkpoint(8)]}
    with sqlite3.connect(tmp_path / "w" / "witness.sqlite") as connection:
        rows = connection.execute("SELECT origin, size, root FROM forks").fetchall()
    connection.close()
    assert rows == [(LOG.origin, 8, FORK.root(8))]


async def test_what_cannot_be_written_is_not_signed(tmp_path: Path) -> None:
    async with scene(tmp_path / "w") as here:
        await here.add(LOG.request(0, 3))
        connection = here.store._connection
        connection.execute("CREATE TABLE filler (content)")
        connection.execute("INSERT INTO filler VALUES (zeroblob(1000))")
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")
        # The new head with its extension lines is longer than the room that is left.
        body = LOG.body(8) + b"".join(b"%070d\n" % number for number in range(110))
        large = add_checkpoint(3, LOG.proof(3, 8), signed_note(body, [LOG.key.sign(body)]))
        refused = await here.add(large)
        assert refused.status == 503
        health = await here.ask("GET", "/healthz")
        assert (health.status, b"disk is full" in health.body) == (503, True)
        assert b"proof_witness_failing 1" in (await here.ask("GET", "/metrics")).body
        assert here.store.commits == 1
        connection.execute("PRAGMA max_page_count = 1000000")
        assert (await here.add(large)).status == 200
        assert (await here.ask("GET", "/healthz")).status == 200


@pytest.mark.parametrize(
    "files", [["witness.sqlite"], ["witness.sqlite", "witness.sqlite-wal"], []]
)
async def test_an_older_copy_that_is_put_back_meanwhile_leads_to_no_second_history(
    tmp_path: Path, files: list[str]
) -> None:
    """Over the files as they lie there while the process has them open."""
    async with scene(tmp_path / "w") as here:
        await here.add(LOG.request(0, 4))
        shutil.copytree(here.folder, tmp_path / "copy")
        await here.add(LOG.request(4, 8))
        for file in files or [path.name for path in (tmp_path / "copy").iterdir()]:
            shutil.copyfile(tmp_path / "copy" / file, here.folder / file)
        for log in (FORK, LOG, FORK):
            for old in (4, 8, 0):
                answer = await here.add(log.request(old, 12))
                assert answer.status != 200 or log is LOG
        newest = (await here.newest()).body
        assert newest.startswith((LOG.checkpoint(8), LOG.checkpoint(12)))


async def test_a_memory_that_went_back_is_told(tmp_path: Path) -> None:
    async with scene(tmp_path / "w") as here:
        for old, new in ((0, 4), (4, 8)):
            await here.add(LOG.request(old, new))
        with sqlite3.connect(here.folder / "witness.sqlite") as connection:
            connection.executescript(
                "DROP TRIGGER commits_do_not_go_back; DROP TRIGGER logs_do_not_go_back;"
                "UPDATE witness SET commits = 1;"
            )
            connection.execute("UPDATE logs SET size = 4, root = ?", (LOG.root(4),))
        connection.close()
        for old in (4, 8):
            answer = await here.add(FORK.request(old, 12))
            assert (answer.status, b"went back while" in answer.body) == (503, True)
        assert (await here.ask("GET", "/healthz")).status == 503


async def test_the_file_decides_where_memory_differs(tmp_path: Path) -> None:
    async with scene(tmp_path / "w") as here:
        await here.add(LOG.request(0, 4))
        # Written over the witness's own connection, which counts as no other process's.
        here.store._connection.execute("UPDATE logs SET size = 8, root = ?", (LOG.root(8),))
        answer = await here.add(LOG.request(4, 12))
        assert (answer.status, answer.body) == (409, b"8\n")


async def test_a_fault_of_ours_is_told_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene(tmp_path / "w") as here:
        monkeypatch.setattr(here.clock, "now", lambda: None)
        with structlog.testing.capture_logs() as events:
            assert (await here.add(LOG.request(0, 4))).status == 500
        assert [event["event"] for event in events] == ["witness.request_failed"]
        assert here.store.commits == 0


async def test_metrics_count_answers_by_status(tmp_path: Path) -> None:
    async with scene(tmp_path / "w") as here:
        await here.add(LOG.request(0, 3))
        await here.add(LOG.request(3, 8))
        await here.add(b"")
        lines = (await here.ask("GET", "/metrics")).body.decode().splitlines()
        assert 'proof_witness_answers_total{status="200"} 2' in lines
        assert 'proof_witness_answers_total{status="400"} 1' in lines
        assert "proof_witness_logs 1" in lines
