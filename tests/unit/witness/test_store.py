"""What a witness remembers: compared with what was seen, durable, never going back."""

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.witnessed_logs import NaiveLog

from proof.witness.decision import FIRST_HEAD, Head
from proof.witness.errors import StoreError, WitnessError
from proof.witness.log_keys import parse_log_key
from proof.witness.store import MAX_FORKS, Advance, Store, create_store

LOG = NaiveLog("log.example/store")
OTHER = NaiveLog("log.example/other")


def head(size: int, root: int = 0, time_s: int = 0) -> Head:
    return Head(
        size, bytes([root or size % 256]) * 32, time_s, b"body %d" % size, b"line %d" % root
    )


def advance(old: Head, new: Head, log: NaiveLog = LOG) -> Advance:
    return Advance(log.origin, old, new)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "witness.sqlite"
    path.touch()
    create_store(path, "keys")
    return path


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    store = Store(path)
    for log in (LOG, OTHER):
        store.add_key(log.origin, parse_log_key(log.vkey))
    store.logs()
    yield store
    store.close()


def heads(store: Store) -> dict[str, Head]:
    return {log.origin: log.head for log in store.logs()}


def test_a_new_memory_is_of_its_keys_and_empty(path: Path) -> None:
    store = Store(path)
    assert (store.keys, store.commits, store.logs()) == ("keys", 0, [])
    store.close()


def test_heads_advance_together_and_are_there_for_who_opens_the_file_next(
    store: Store, path: Path
) -> None:
    batch = [advance(FIRST_HEAD, head(3)), advance(FIRST_HEAD, head(5), OTHER)]
    assert store.advance(batch) == ([True, True], 1)
    other = Store(path)
    assert heads(other) == {LOG.origin: head(3), OTHER.origin: head(5)}
    assert other.commits == 1
    other.close()


def test_of_two_that_start_from_one_head_one_is_done(store: Store) -> None:
    batch = [advance(FIRST_HEAD, head(3)), advance(FIRST_HEAD, head(4)), advance(head(3), head(6))]
    assert store.advance(batch)[0] == [True, False, True]
    assert heads(store)[LOG.origin] == head(6)


@pytest.mark.parametrize("seen", [head(2), head(3, root=9), head(3, time_s=1), head(4)])
def test_a_head_that_is_not_the_stored_one_in_size_root_and_time_is_stale(
    store: Store, seen: Head
) -> None:
    store.advance([advance(FIRST_HEAD, head(3))])
    assert store.advance([advance(seen, head(9, time_s=5))])[0] == [False]
    assert heads(store)[LOG.origin] == head(3)


def test_a_log_that_was_not_told_of_is_stale(store: Store) -> None:
    assert store.advance([Advance("unknown", FIRST_HEAD, head(1))])[0] == [False]


@pytest.mark.parametrize("change", ["add", "remove", "advance"])
def test_after_another_process_has_written_nothing_is_done_until_the_logs_are_read(
    store: Store, path: Path, change: str
) -> None:
    other = Store(path)
    other.logs()
    assert not store.changed()
    match change:
        case "add":
            other.add_key("new.example", parse_log_key(NaiveLog("new.example").vkey))
        case "remove":
            other.remove_keys({"origin": LOG.origin})
        case "advance":
            other.advance([advance(FIRST_HEAD, head(5), OTHER)])
    assert store.changed()
    assert store.advance([advance(FIRST_HEAD, head(3))])[0] == [False]
    assert heads(store)[LOG.origin] == FIRST_HEAD
    assert not store.changed()
    assert store.advance([advance(FIRST_HEAD, head(3))])[0] == [True]
    other.close()


def test_writers_at_once_make_one_history(path: Path) -> None:
    """Each thread has a connection of its own, as two processes have."""
    first = Store(path)
    first.add_key(LOG.origin, parse_log_key(LOG.vkey))
    first.close()
    done: list[tuple[Head, Head]] = []

    def write(number: int) -> None:
        store = Store(path)
        for step in range(40):
            (held,) = (log.head for log in store.logs())
            new = head(held.size + 1, root=number * 40 + step + 1)
            if store.advance([advance(held, new)])[0] == [True]:
                done.append((held, new))
        store.close()

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    done.sort(key=lambda pair: pair[1].size)
    assert [new.size for _, new in done] == list(range(1, len(done) + 1))
    assert [old for old, _ in done[1:]] == [new for _, new in done[:-1]]
    assert len(done) >= 40


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE logs SET size = 2",
        "UPDATE logs SET time_s = 6",
        "UPDATE logs SET root = zeroblob(32)",
        "DELETE FROM logs",
        "UPDATE witness SET commits = 0",
        "INSERT INTO witness VALUES (2, 'keys', 0)",
    ],
)
def test_the_file_itself_refuses_to_go_back(store: Store, path: Path, statement: str) -> None:
    store.advance([advance(FIRST_HEAD, head(3, time_s=7))])
    with sqlite3.connect(path) as connection, pytest.raises(sqlite3.IntegrityError):
        connection.execute(statement)
    connection.close()
    assert heads(store)[LOG.origin] == head(3, time_s=7)


def test_a_full_disk_is_told_and_changes_nothing(store: Store) -> None:
    store.advance([advance(FIRST_HEAD, head(3))])
    pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
    store._connection.execute(f"PRAGMA max_page_count = {pages}")
    large = Head(4, bytes(32), 0, b"x" * 10_000_000, b"")
    with pytest.raises(StoreError, match="full"):
        store.advance([advance(FIRST_HEAD, head(5), OTHER), advance(head(3), large)])
    # What became of a commit that failed is not known, so the logs are read before the next one.
    assert store.advance([advance(head(3), head(4))])[0] == [False]
    assert heads(store) == {LOG.origin: head(3), OTHER.origin: FIRST_HEAD}
    assert store.advance([advance(head(3), head(4))])[0] == [True]


def test_a_removed_log_keeps_its_head_and_goes_on_from_there(store: Store) -> None:
    store.advance([advance(FIRST_HEAD, head(3))])
    assert store.remove_keys({"origin": LOG.origin}) == [(LOG.origin, LOG.vkey)]
    (removed,) = (log for log in store.logs() if log.origin == LOG.origin)
    assert (removed.keys, removed.head) == ((), head(3))
    assert store.add_key(LOG.origin, parse_log_key(LOG.vkey))
    assert not store.add_key(LOG.origin, parse_log_key(LOG.vkey))
    assert heads(store)[LOG.origin] == head(3)


def test_a_log_begins_where_it_is_told_to_unless_something_is_held(store: Store) -> None:
    key = parse_log_key(LOG.vkey)
    store.add_key(LOG.origin, key, head(9))
    store.add_key(LOG.origin, key, head(9))
    assert heads(store)[LOG.origin] == head(9)
    with pytest.raises(WitnessError, match="holds size 9"):
        store.add_key(LOG.origin, key, head(10))
    assert heads(store)[LOG.origin] == head(9)


def test_proofs_of_forks_are_kept_within_a_bound(store: Store) -> None:
    kept = [store.keep_fork(LOG.origin, 3, bytes([n]) * 32, b"%02d" % n) for n in range(20)]
    assert kept == [True] * MAX_FORKS + [False] * 4
    assert not store.keep_fork(LOG.origin, 3, bytes(32), b"the same root, signed again")
    assert store.forks(LOG.origin) == [b"%02d" % n for n in range(MAX_FORKS)]
    assert {log.origin: log.forks for log in store.logs()} == {LOG.origin: 16, OTHER.origin: 0}


def test_a_root_is_kept_once(store: Store) -> None:
    kept = [
        store.keep_fork(LOG.origin, size, bytes(32), note)
        for size, note in (
            (3, b"first"),
            (3, b"the same root, signed again"),
            (4, b"of another size"),
        )
    ]
    assert kept == [True, False, True]
    assert store.forks(LOG.origin) == [b"first", b"of another size"]


@pytest.mark.parametrize("content", [b"", b"not a database, whatever it is named" * 100])
def test_a_file_that_is_no_memory_is_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "witness.sqlite"
    path.write_bytes(content)
    with pytest.raises(WitnessError):
        Store(path)


@pytest.mark.parametrize("kept_bytes", [4096, 8192, 12288])
def test_a_memory_that_a_disk_has_damaged_is_told(store: Store, kept_bytes: int) -> None:
    """Wherever it is: at the start, or with the logs."""
    path = store._path
    store.close()
    raw = path.read_bytes()
    path.write_bytes(raw[:kept_bytes].ljust(len(raw), b"\xff"))
    with pytest.raises((WitnessError, StoreError), match=r"malformed; .*is replaced by another"):
        Store(path).logs()
