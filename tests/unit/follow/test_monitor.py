"""A monitor of a log that misbehaves: each fault is named, kept as evidence, and told once."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.fake_log import (
    StaticServer,
    checkpoint,
    endless,
    log_files,
    some,
    static_server,
    status,
)
from tests.support.signer import LOG, TIME_S, WITNESS, Signer

from proof.core.errors import ConflictError, OtherSideError
from proof.follow.faults import Fault, LogFaultError
from proof.follow.files import alone_in
from proof.follow.monitor import Demands, Monitor, Round
from proof.follow.remote import Patience, RemoteLog, connection
from proof.follow.state import Notice, State, StateError, StateFolder
from proof.follow.trust import Trust, trust_of
from proof.verify import verify_checkpoint, verify_consistency
from proof.verify.evidence.log.note import COSIGNER_KEY, LOG_KEY

NOW = datetime.fromtimestamp(TIME_S, UTC) + timedelta(seconds=30)
PATIENCE = Patience(timeout_s=20, attempts=1)
OTHER_LOG_KEY = Signer.named(LOG.name, LOG_KEY, "another")
SECOND = Signer.named("second.example", COSIGNER_KEY)
POLICY = (
    f"log {LOG.text}\nwitness one {WITNESS.text}\nwitness two {SECOND.text}\n"
    "group both all one two\nquorum both\n"
).encode()


@dataclass
class HandClock:
    time: datetime = NOW

    def now(self) -> datetime:
        return self.time


@dataclass
class Watch:
    """A monitor's folder beside the log it follows."""

    static: StaticServer
    folder: StateFolder
    trust: Trust
    clock: HandClock = field(default_factory=HandClock)
    told: list[Notice] = field(default_factory=list)
    unwilling: bool = False
    tried: list[Notice] = field(default_factory=list)

    async def look(self, **demands: Any) -> Round:
        async with connection() as session:
            source = RemoteLog(session, self.static.url, PATIENCE)
            monitor = Monitor(
                source, self.trust, self.folder, self.clock, Demands(**demands), {"test": self.tell}
            )
            return await monitor.round()

    async def tell(self, notice: Notice) -> None:
        self.tried.append(notice)
        if self.unwilling:
            raise OtherSideError("nobody listens")
        self.told.append(notice)

    def evidence(self) -> list[dict[str, Any]]:
        return [
            json.loads(path.read_bytes()) for path in sorted(self.folder.path.glob("evidence/*"))
        ]


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    with static_server(log_files(some(300))) as static:
        keys = f"{LOG.text}\n{WITNESS.text}\n".encode()
        yield Watch(static, StateFolder(tmp_path / "state"), trust_of(None, [keys]))


@pytest.mark.parametrize("entries", [False, True])
async def test_a_log_that_only_grows_is_well(watch: Watch, entries: bool) -> None:
    sizes = (1, 2, 255, 256, 257, 300, 300, 511, 512, 513, 700)
    before = 0
    for size in sizes:
        watch.static.files = log_files(some(size))
        found = await watch.look(entries=entries)
        assert found.fault is None, found.message
        assert found.kept
        assert found.kept.size == size
        assert found.grown_by == (size - before if before else 0)
        assert found.entries == (size if entries else 0)
        before = size
    assert not watch.evidence()
    assert not watch.told


async def test_the_newest_good_checkpoint_is_there_for_others(watch: Watch) -> None:
    """As a file, which `--against` of another monitor reads, and whoever closes the log after a loss."""
    good = watch.static.files["checkpoint"]
    await watch.look()
    for change in ("another history that is longer", "shorter than before"):
        MISBEHAVIOUR[change][0](watch.static.files)
        await watch.look()
        assert (watch.folder.path / "checkpoint").read_bytes() == good
    watch.static.files = log_files(GROWN)
    await watch.look()
    newest = (watch.folder.path / "checkpoint").read_bytes()
    assert newest == watch.static.files["checkpoint"] != good


async def test_entries_are_fetched_once(watch: Watch) -> None:
    await watch.look(entries=True)
    watch.static.asked.clear()
    await watch.look(entries=True)
    assert not [path for path in watch.static.asked if "entries" in path]
    watch.static.files = log_files(some(600))
    await watch.look(entries=True)
    asked = [path for path in watch.static.asked if "entries" in path]
    assert sorted(asked) == ["tile/entries/001", "tile/entries/002.p/88"]


Change = Callable[[dict[str, bytes]], object]


def files(entries: Sequence[bytes], **options: Any) -> Change:
    def change(served: dict[str, bytes]) -> None:
        served.clear()
        served.update(log_files(entries, **options))

    return change


def altered(path: str, at: int = 40) -> Change:
    def change(served: dict[str, bytes]) -> None:
        raw = bytearray(served[path])
        raw[at] ^= 1
        served[path] = bytes(raw)

    return change


def together(*changes: Change) -> Change:
    return lambda served: [change(served) for change in changes]


GROWN = some(700)
# The log after 300 entries were seen of it: what it serves, and what a monitor calls that.
MISBEHAVIOUR: dict[str, tuple[Change, Fault]] = {
    "another history of the same size": (files(some(300, "other ")), Fault.FORK),
    "another history that is longer": (files(some(700, "other ")), Fault.FORK),
    "one entry rewritten while it grew": (
        files([*GROWN[:299], b"rewritten", *GROWN[300:]]),
        Fault.FORK,
    ),
    "the first entry rewritten": (files([b"rewritten", *GROWN[1:]]), Fault.FORK),
    "shorter than before": (files(some(299)), Fault.ROLLBACK),
    "shorter, and of another history": (
        together(
            files(some(300)),
            lambda served: served.update(checkpoint=checkpoint(some(200, "other "))),
        ),
        Fault.FORK,
    ),
    "empty again": (files([]), Fault.ROLLBACK),
    "signed by another key of that name": (
        files(GROWN, signers=(OTHER_LOG_KEY, WITNESS)),
        Fault.KEY,
    ),
    "signed by a witness alone": (files(GROWN, signers=(WITNESS,)), Fault.KEY),
    "of another origin": (files(GROWN, origin="elsewhere.example/log"), Fault.KEY),
    "a signature of another text": (
        together(
            files(GROWN),
            lambda served: served.update(
                checkpoint=served["checkpoint"].replace(b"\n700\n", b"\n701\n")
            ),
        ),
        Fault.KEY,
    ),
    "without a cosignature": (files(GROWN, signers=(LOG,)), Fault.QUORUM),
    "a tile of the edge altered": (
        together(files(GROWN), altered("tile/0/002.p/188")),
        Fault.ALTERED,
    ),
    "the tile above altered": (together(files(GROWN), altered("tile/1/000.p/2")), Fault.ALTERED),
    "a full tile altered": (together(files(GROWN), altered("tile/0/001")), Fault.ALTERED),
    "an entry altered": (together(files(GROWN), altered("tile/entries/001")), Fault.ALTERED),
    "an entry of the newest bundle altered": (
        together(files(GROWN), altered("tile/entries/002.p/188")),
        Fault.ALTERED,
    ),
    "a full tile missing": (
        together(files(GROWN), lambda served: served.pop("tile/0/001")),
        Fault.BROKEN,
    ),
    "a partial tile where a full one is needed": (
        together(
            files(GROWN),
            lambda served: served.update({"tile/0/001.p/44": served.pop("tile/0/001")[: 44 * 32]}),
        ),
        Fault.BROKEN,
    ),
    "a bundle of entries missing": (
        together(files(GROWN), lambda served: served.pop("tile/entries/002.p/188")),
        Fault.BROKEN,
    ),
    "no checkpoint any more": (lambda served: served.pop("checkpoint"), Fault.UNREACHABLE),
    "a page in place of the checkpoint": (
        lambda served: served.update(checkpoint=b"<html>"),
        Fault.BROKEN,
    ),
}


@pytest.mark.parametrize("name", MISBEHAVIOUR)
async def test_misbehaviour_is_named_kept_and_told_once(watch: Watch, name: str) -> None:
    change, expected = MISBEHAVIOUR[name]
    await watch.look(entries=True)
    change(watch.static.files)
    found = await watch.look(entries=True)
    assert found.fault is expected, found.message
    assert [notice.fault for notice in watch.told] == [expected]
    again = await watch.look(entries=True)
    assert (again.fault, again.message, again.evidence) == (expected, found.message, found.evidence)
    assert len(watch.told) == 1
    assert len(watch.evidence()) == (expected is not Fault.UNREACHABLE)
    # What contradicts the log that was seen does not take its place.
    assert found.kept
    assert found.kept.size == (
        700 if expected in {Fault.ALTERED, Fault.BROKEN} and found.grown_by else 300
    )
    if not found.grown_by:
        watch.static.files = log_files(GROWN)
        assert (await watch.look(entries=True)).fault is None
        assert [notice.fault for notice in watch.told] == [expected, None]


@pytest.mark.parametrize(
    "name", ["one entry rewritten while it grew", "another history that is longer"]
)
async def test_the_evidence_of_a_fork_convinces_others(watch: Watch, name: str) -> None:
    await watch.look()
    MISBEHAVIOUR[name][0](watch.static.files)
    await watch.look()
    (file,) = watch.evidence()
    assert file["fault"] == "fork"
    proof, keys = file["evidence"], [LOG.key, WITNESS.key]
    older, newer = (verify_checkpoint(proof[each].encode(), keys) for each in ("older", "newer"))
    assert older.log_key == newer.log_key == LOG.key
    root, path = (
        bytes.fromhex(proof["rootInNewer"]),
        [bytes.fromhex(node) for node in proof["path"]],
    )
    verify_consistency(older.size, root, newer.size, newer.root, path)
    assert root != older.root


async def test_a_policys_quorum_is_needed(watch: Watch) -> None:
    watch.trust = trust_of(POLICY, [])
    found = await watch.look()
    assert found.fault is Fault.QUORUM
    assert "missing: 'two'" in found.message
    watch.static.files = log_files(some(300), signers=(LOG, WITNESS, SECOND))
    assert (await watch.look()).fault is None


async def test_a_log_that_stands_still_is_stale(watch: Watch) -> None:
    assert (await watch.look(max_age=timedelta(minutes=10))).fault is None
    watch.clock.time += timedelta(minutes=10)
    found = await watch.look(max_age=timedelta(minutes=10))
    assert found.fault is Fault.STALE
    assert "stands still" in found.message
    files(some(300), time_s=TIME_S + 600)(watch.static.files)
    assert (await watch.look(max_age=timedelta(minutes=10))).fault is None


async def test_a_time_in_the_future_is_no_sign_of_life(watch: Watch) -> None:
    files(some(300), time_s=TIME_S + 10**6)(watch.static.files)
    await watch.look()
    watch.clock.time += timedelta(hours=1)
    assert (await watch.look(max_age=timedelta(minutes=10))).fault is Fault.STALE


async def test_it_is_held_against_what_others_got(watch: Watch) -> None:
    for theirs, expected in (
        (some(200), None),
        (some(300), None),
        (some(200, "other "), Fault.FORK),
        (some(300, "other "), Fault.FORK),
        (some(301), Fault.ROLLBACK),
    ):
        other = watch.trust.verify(checkpoint(theirs))
        found = await watch.look(against=[("their.json", other)])
        assert found.fault is expected, found.message


async def test_endless_answers_and_errors_are_named(watch: Watch) -> None:
    watch.static.faults["checkpoint"] = endless
    assert (await watch.look()).fault is Fault.BROKEN
    watch.static.faults["checkpoint"] = status(500)
    assert (await watch.look()).fault is Fault.UNREACHABLE
    watch.static.faults.clear()
    watch.static.files.clear()
    assert (await watch.look()).fault is Fault.EMPTY


async def test_a_notice_that_is_not_taken_is_sent_again(watch: Watch) -> None:
    await watch.look()
    watch.unwilling = True
    files(some(10))(watch.static.files)
    found = await watch.look()
    assert (found.fault, found.untold) == (Fault.ROLLBACK, ("nobody listens",))
    files(some(300))(watch.static.files)
    assert (await watch.look()).untold == ("nobody listens",)
    assert [notice.fault for notice in watch.tried] == [Fault.ROLLBACK] * 2
    watch.unwilling = False
    assert not (await watch.look()).untold
    assert [notice.fault for notice in watch.told] == [Fault.ROLLBACK, None]
    await watch.look()
    assert len(watch.told) == 2


async def test_a_log_that_is_well_and_ill_by_turns_does_not_fill_the_memory(watch: Watch) -> None:
    """While nobody takes a notice, a look takes no longer and the memory stays small: the first notices
    are kept, and the newest."""
    watch.unwilling = True
    waiting = [
        Notice(str(n), "log.fault", NOW, Fault.STALE, "", None, ("test",)) for n in range(98)
    ]
    watch.folder.write(State(notices=tuple(waiting)))
    for served in (b"", checkpoint(some(300)), b"", checkpoint(some(300))):
        watch.static.files["checkpoint"] = served
        await watch.look()
    assert [notice.id for notice in watch.tried] == ["0"] * 4
    watch.unwilling = False
    await watch.look()
    assert [notice.fault for notice in watch.told] == [Fault.STALE] * 98 + [Fault.BROKEN, None]


@pytest.mark.parametrize(
    "raw",
    [b"{", b'{"note": "cut off"}', b'{"note": "\\ud800"}', b'{"closed": ["cut off"]}', bytes(100)],
)
async def test_a_memory_that_cannot_be_read_is_not_begun_anew(watch: Watch, raw: bytes) -> None:
    await watch.look()
    (watch.folder.path / "state.json").write_bytes(raw)
    with pytest.raises(StateError, match=r"state\.json cannot be read"):
        await watch.look()


def test_evidence_does_not_fill_the_disk(tmp_path: Path) -> None:
    """However often a log serves something else that is wrong."""
    folder = StateFolder(tmp_path)
    for fault in (Fault.ALTERED, Fault.FORK):
        kept = [
            folder.keep(LogFaultError(fault, "wrong", {"served": number}), NOW)
            for number in (*range(105), 0)
        ]
        assert None not in kept[:100]
        assert kept[100:105] == [None] * 5
        assert kept[105] == kept[0]


async def test_one_process_uses_a_memory(watch: Watch) -> None:
    with (
        alone_in(watch.folder.path),
        pytest.raises(ConflictError, match="another process works in"),
    ):
        await watch.look()


async def test_a_changed_policy_leaves_the_memory(watch: Watch) -> None:
    """Witnesses come and go; what was seen stays."""
    await watch.look()
    watch.trust = trust_of(POLICY, [])
    files(some(299), signers=(LOG, WITNESS, SECOND))(watch.static.files)
    assert (await watch.look()).fault is Fault.ROLLBACK
    files(some(301), signers=(LOG, WITNESS, SECOND))(watch.static.files)
    assert (await watch.look()).fault is None
