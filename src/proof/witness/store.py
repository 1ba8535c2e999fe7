"""What a witness remembers, in one SQLite file: durable before anything is signed, and never going
back.

Every change is one transaction that is on disk when it returns (WAL, synchronous FULL), and compares
what is stored with what its caller saw. So several processes may share a file: of two that advance a
log from the same head, one does, and the other is told so. Triggers refuse whatever would go back,
whoever asks.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from proof.witness.decision import FIRST_HEAD, Head
from proof.witness.errors import StoreError, WitnessError
from proof.witness.log_keys import LogKey, parse_log_key

_BUSY_S = 10.0
_VERSION = 1
# SQLite counts from 1: before the logs were read, and after a commit of which nobody knows what it did.
_UNKNOWN = -1
ANOTHER = (
    "a witness that may have forgotten what it signed is replaced by another:"
    " `proof witness init NEWFOLDER --name NAME`, then add its logs, and give the new keys to whoever"
    " names it in a policy"
)
_WENT_BACK = (
    "went back while it was served: an older copy was put in its place; nothing is signed from it, and"
    f" {ANOTHER}"
)
MAX_FORKS = 16
"""How many checkpoints that prove two histories are kept of a log."""


_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE witness (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    keys TEXT NOT NULL,
    commits INTEGER NOT NULL
);
CREATE TABLE logs (
    origin TEXT PRIMARY KEY,
    size INTEGER NOT NULL CHECK (size >= 0),
    root BLOB NOT NULL CHECK (length(root) = 32),
    time_s INTEGER NOT NULL CHECK (time_s >= 0),
    body BLOB NOT NULL,
    lines BLOB NOT NULL
);
CREATE TABLE log_keys (
    origin TEXT NOT NULL REFERENCES logs,
    vkey TEXT NOT NULL,
    PRIMARY KEY (origin, vkey)
);
CREATE TABLE forks (
    origin TEXT NOT NULL REFERENCES logs,
    size INTEGER NOT NULL,
    root BLOB NOT NULL,
    note BLOB NOT NULL,
    PRIMARY KEY (origin, size, root)
);
CREATE TRIGGER logs_do_not_go_back BEFORE UPDATE ON logs
WHEN NEW.size < OLD.size OR NEW.time_s < OLD.time_s
    OR (NEW.size = OLD.size AND NEW.root <> OLD.root)
BEGIN SELECT RAISE(ABORT, 'a witness does not go back'); END;
CREATE TRIGGER logs_are_not_forgotten BEFORE DELETE ON logs
BEGIN SELECT RAISE(ABORT, 'a witness does not forget'); END;
CREATE TRIGGER commits_do_not_go_back BEFORE UPDATE ON witness
WHEN NEW.commits < OLD.commits
BEGIN SELECT RAISE(ABORT, 'a witness does not go back'); END;
PRAGMA user_version = {_VERSION};
"""


@dataclass(frozen=True, slots=True)
class LogRecord:
    """A log the witness was told of. Without `keys` it is one that was removed: its head is kept, so
    that adding it again does not begin anew. `forks` counts the other roots it signed for a size held
    then."""

    origin: str
    keys: tuple[LogKey, ...]
    head: Head
    forks: int


@dataclass(frozen=True, slots=True)
class Advance:
    """To replace the head that was decided on."""

    origin: str
    old: Head
    new: Head


class Store:
    """The file at `path`. Not for several threads at once."""

    def __init__(self, path: Path) -> None:
        """Raises WitnessError when there is no state that this program knows."""
        self._path = path
        self._connection = _connected(path)
        self._seen = _UNKNOWN
        try:
            self._require_version()
            self._commits = self.commits
        except sqlite3.Error as error:
            self.close()
            raise WitnessError(f"{path} is no witness's state: {error}; {ANOTHER}") from None
        except WitnessError:
            self.close()
            raise

    def close(self) -> None:
        self._connection.close()

    @property
    def keys(self) -> str:
        """The vkeys whose memory this is, one a line. Raises StoreError."""
        with _failing():
            found: str = self._connection.execute("SELECT keys FROM witness").fetchone()[0]
        return found

    @property
    def commits(self) -> int:
        """How often heads were made durable here."""
        found: int = self._connection.execute("SELECT commits FROM witness").fetchone()[0]
        return found

    def logs(self) -> list[LogRecord]:
        """All logs in the order of their origins, removed ones too; `advance` compares with what is
        read here. Raises StoreError when an older file was put in the place of this one."""
        with _failing():
            self._connection.execute("BEGIN")
            try:
                seen, commits = self._data_version(), self.commits
                rows = self._connection.execute(_LOGS).fetchall()
                keys = self._connection.execute("SELECT origin, vkey FROM log_keys").fetchall()
            finally:
                self._connection.execute("COMMIT")
        if commits < self._commits:
            raise StoreError(f"{self._path} {_WENT_BACK}")
        self._seen, self._commits = seen, commits
        by_origin: dict[str, list[LogKey]] = {}
        for origin, vkey in keys:
            by_origin.setdefault(origin, []).append(parse_log_key(vkey))
        return [
            LogRecord(row[0], tuple(by_origin.get(row[0], ())), Head(*row[1:6]), row[6])
            for row in rows
        ]

    def changed(self) -> bool:
        """Whether another process has written since `logs`."""
        with _failing():
            return self._data_version() != self._seen

    def advance(self, batch: Sequence[Advance]) -> tuple[list[bool], int]:
        """Make heads durable, all in one commit: whether each is, in order, and `commits` after it.

        Each is done if its log's stored head is still `old`, none if another process has written since
        `logs`. Raises StoreError when the file cannot be written, and then none is done, or nobody
        knows, or when an older file was put in its place.
        """
        seen, self._seen = self._seen, _UNKNOWN
        with _failing(), self._transaction():
            if self._data_version() != seen:
                return [False] * len(batch), self._commits
            if self.commits != self._commits:
                raise StoreError(f"{self._path} {_WENT_BACK}")
            outcomes = [self._advance(each) for each in batch]
            self._connection.execute("UPDATE witness SET commits = commits + 1")
            commits = self.commits
        self._seen, self._commits = seen, commits
        return outcomes, commits

    def add_key(self, origin: str, key: LogKey, start: Head | None = None) -> bool:
        """Trust a key for a log, which begins at `start` instead of with the first checkpoint seen;
        whether it was not trusted yet.

        Raises WitnessError for a start that differs from what is held already.
        """
        with _failing(), self._transaction():
            head = start or FIRST_HEAD
            self._connection.execute(
                "INSERT INTO logs VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (origin, head.size, head.root, head.time_s, head.body, head.lines),
            )
            if start is not None:
                self._begin(origin, start)
            added = self._connection.execute(
                "INSERT INTO log_keys VALUES (?, ?) ON CONFLICT DO NOTHING", (origin, key.text)
            ).rowcount
        return bool(added)

    def remove_keys(self, where: Mapping[str, str]) -> list[tuple[str, str]]:
        """Trust keys no longer, by `origin` or `vkey`; the pairs of origin and vkey. Heads are kept."""
        ((column, value),) = where.items()
        assert column in {"origin", "vkey"}
        with _failing(), self._transaction():
            removed: list[tuple[str, str]] = self._connection.execute(
                f"SELECT origin, vkey FROM log_keys WHERE {column} = ?", (value,)
            ).fetchall()
            self._connection.execute(f"DELETE FROM log_keys WHERE {column} = ?", (value,))
        return removed

    def keep_fork(self, origin: str, size: int, root: bytes, note: bytes) -> bool:
        """Keep a checkpoint that proves two histories, at most 16 of a log; whether it is a new one."""
        with _failing(), self._transaction():
            done = self._connection.execute(
                "INSERT INTO forks SELECT ?1, ?2, ?3, ?4"
                " WHERE (SELECT count(*) FROM forks WHERE origin = ?1) < ?5 ON CONFLICT DO NOTHING",
                (origin, size, root, note, MAX_FORKS),
            )
            return bool(done.rowcount)

    def forks(self, origin: str) -> list[bytes]:
        """The checkpoints kept by `keep_fork`, smallest first. Raises StoreError."""
        with _failing():
            rows = self._connection.execute(
                "SELECT note FROM forks WHERE origin = ? ORDER BY size, root", (origin,)
            ).fetchall()
        return [row[0] for row in rows]

    def _require_version(self) -> None:
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if version != _VERSION:
            raise WitnessError(
                f"{self._path} has version {version} of a witness's state, this Proof knows {_VERSION};"
                " use the Proof that wrote it, or a newer one"
            )

    def _begin(self, origin: str, start: Head) -> None:
        held = self._connection.execute(
            "SELECT size, root, time_s FROM logs WHERE origin = ?", (origin,)
        ).fetchone()
        if held == (start.size, start.root, start.time_s):
            return
        if held != (FIRST_HEAD.size, FIRST_HEAD.root, FIRST_HEAD.time_s):
            raise WitnessError(
                f"the witness holds size {held[0]} of {origin} already; it goes on from there without"
                " --from"
            )
        self._connection.execute(
            "UPDATE logs SET size = ?, root = ?, body = ?, lines = ? WHERE origin = ?",
            (start.size, start.root, start.body, start.lines, origin),
        )

    def _advance(self, each: Advance) -> bool:
        old, new = each.old, each.new
        written = (new.size, new.root, new.time_s, new.body, new.lines)
        compared = (each.origin, old.size, old.root, old.time_s)
        done = self._connection.execute(
            "UPDATE logs SET size = ?, root = ?, time_s = ?, body = ?, lines = ?"
            " WHERE origin = ? AND size = ? AND root = ? AND time_s = ?",
            (*written, *compared),
        )
        return bool(done.rowcount)

    def _data_version(self) -> int:
        found: int = self._connection.execute("PRAGMA data_version").fetchone()[0]
        return found

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise


_LOGS = """
SELECT origin, size, root, time_s, body, lines,
    (SELECT count(*) FROM forks WHERE forks.origin = logs.origin)
FROM logs ORDER BY origin
"""


def create_store(path: Path, keys: str) -> None:
    """An empty memory for these vkeys at `path`, where there is an empty file. Raises WitnessError."""
    try:
        connection = _connected(path)
        try:
            connection.executescript(_SCHEMA)
            connection.execute("INSERT INTO witness VALUES (1, ?, 0)", (keys,))
            connection.execute("COMMIT")
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise WitnessError(
            f"{path} cannot be written: {error}; make room, or name another folder"
        ) from None


def _connected(path: Path) -> sqlite3.Connection:
    """A connection to a file that is there. Raises WitnessError."""
    if not path.is_file():
        raise WitnessError(f"there is no {path}")
    try:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=rw",
            uri=True,
            timeout=_BUSY_S,
            isolation_level=None,
            check_same_thread=False,
        )
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
    except sqlite3.Error as error:
        raise WitnessError(f"{path} is no witness's state: {error}") from None
    return connection


@contextmanager
def _failing() -> Iterator[None]:
    """Turns what SQLite raises into a StoreError."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise StoreError(
            f"the witness's state cannot be used: {error}; make room there, or run as its owner"
        ) from error
    except sqlite3.Error as error:
        raise StoreError(f"the witness's state is damaged: {error}; {ANOTHER}") from error
