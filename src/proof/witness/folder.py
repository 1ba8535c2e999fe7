"""A witness's folder: its two keys, its memory, and the guards that keep the two together.

`witness.key` holds the private halves, `witness.sqlite` what they signed for, `witness.lock` is held by
the process that serves. A key that forgot what it signed can be led to sign a second history, so a
folder that lost its memory, or has an older one than this machine remembers, is never served: such a
witness is replaced by another, with new keys.

Outside the folder, in the state directory of its user, a file per pair of keys (the mark) holds how
many commits were seen. It tells a folder that was put back on the same machine; it cannot tell one that
was copied to another, nor a whole machine that was set back.
"""

import fcntl
import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from proof.core.note_keys import SEED_BYTES, SigningKey
from proof.verify.evidence.log.note import COSIGNER_KEY, MLDSA_COSIGNER_KEY, VerifierKeyError
from proof.witness.errors import StoreError, WitnessError
from proof.witness.store import ANOTHER, Store, create_store

_KEY, _STATE, _LOCK = "witness.key", "witness.sqlite", "witness.lock"
_TYPES = {"ed25519": COSIGNER_KEY, "ml-dsa-44": MLDSA_COSIGNER_KEY}
_PRIVATE_FOLDER, _PRIVATE_FILE = 0o700, 0o600
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_MARK_DIGITS = 20
_MAX_KEY_FILE_BYTES = 10_000


@dataclass(frozen=True, slots=True)
class Identity:
    """A witness's name and its two keys, which are one party to whoever trusts it."""

    name: str
    keys: tuple[SigningKey, ...]

    @property
    def vkeys(self) -> tuple[str, ...]:
        return tuple(key.text for key in self.keys)

    @property
    def text(self) -> str:
        """What the memory is bound to."""
        return "\n".join(self.vkeys)


def policy_lines(identity: Identity) -> list[str]:
    """What a log's policy file says of this witness (c2sp.org/tlog-policy): one group of its two
    keys."""
    members = [f"{identity.name}/{kind}" for kind in _TYPES]
    return [
        *(f"witness {name} {vkey} URL" for name, vkey in zip(members, identity.vkeys, strict=True)),
        f"group {identity.name} any {' '.join(members)}",
    ]


def create(folder: Path, name: str) -> Identity:
    """A new witness in `folder`, which is made when it is not there. Raises WitnessError."""
    try:
        identity = Identity(
            name, tuple(SigningKey.generate(name, each) for each in _TYPES.values())
        )
    except (VerifierKeyError, ValueError) as error:
        raise WitnessError(
            f"--name {name!r}: {error}; a name like witness.example.com/w1"
        ) from None
    with _usable(folder):
        folder.mkdir(parents=True, exist_ok=True, mode=_PRIVATE_FOLDER)
        for file in (_KEY, _STATE):
            if (folder / file).exists():
                raise WitnessError(f"{folder} has a {file} already; name another folder")
        folder.chmod(_PRIVATE_FOLDER)
        _write(folder / _STATE, b"")
        create_store(folder / _STATE, identity.text)
        # The keys come last: with them the witness is whole.
        seeds = {kind: key.seed.hex() for kind, key in zip(_TYPES, identity.keys, strict=True)}
        _write(folder / _KEY, json.dumps({"name": name, **seeds}, indent=1).encode() + b"\n")
        _sync(folder)
    return identity


def read_identity(folder: Path) -> Identity:
    """The keys in `folder`. Raises WitnessError."""
    path = folder / _KEY
    with _usable(folder):
        if not path.exists():
            raise WitnessError(
                f"{folder} holds no witness; make one with `proof witness init {folder} --name NAME`"
            )
        for each in (folder, path):
            if each.stat().st_mode & _OTHERS:
                private = _PRIVATE_FOLDER if each.is_dir() else _PRIVATE_FILE
                raise WitnessError(f"{each} can be read by others; run: chmod {private:o} {each}")
        with path.open("rb") as file:
            raw = file.read(_MAX_KEY_FILE_BYTES)
    try:
        found = json.loads(raw)
        keys = [
            SigningKey.from_seed(found["name"], key_type, bytes.fromhex(found[kind]))
            for kind, key_type in _TYPES.items()
        ]
        return Identity(found["name"], tuple(keys))
    except (ValueError, KeyError, TypeError):
        raise WitnessError(
            f"{path} is not as `proof witness init` wrote it: a name and two seeds of {SEED_BYTES} bytes;"
            f" {ANOTHER}"
        ) from None


def open_store(folder: Path, identity: Identity) -> Store:
    """The memory of these keys. Raises WitnessError when it is gone, damaged, or another witness's."""
    path = folder / _STATE
    if not path.exists():
        raise WitnessError(f"{path} is missing, so nobody knows what its keys signed; {ANOTHER}")
    store = Store(path)
    try:
        keys = store.keys
    except StoreError as error:
        store.close()
        raise WitnessError(error.message) from None
    if keys != identity.text:
        store.close()
        raise WitnessError(f"{path} is the memory of other keys than {folder / _KEY}; {ANOTHER}")
    return store


class Mark:
    """What this machine remembers of a witness, beside its folder."""

    def __init__(self, descriptor: int, path: Path) -> None:
        self._descriptor = descriptor
        self._path = path

    def require(self, commits: int) -> None:
        """Raises WitnessError if the folder's memory is older than this one."""
        try:
            seen = int(os.pread(self._descriptor, _MARK_DIGITS, 0) or b"0")
        except ValueError:
            raise WitnessError(
                f"{self._path}, this machine's memory of the witness, is damaged: if no older copy of the"
                f" folder was ever put back, remove it; else, {ANOTHER}"
            ) from None
        if commits < seen:
            raise WitnessError(
                f"the folder remembers {commits} commits, and this machine {seen} ({self._path}): an older"
                f" copy was put back; {ANOTHER}"
            )

    def advance(self, commits: int) -> None:
        """Remember them; they are durable in the folder already, so that this needs not be."""
        os.pwrite(self._descriptor, b"%020d" % commits, 0)


def state_directory(environment: Mapping[str, str]) -> Path | None:
    """Where programs of this user keep their state (XDG base directories); None when nothing says."""
    if given := environment.get("XDG_STATE_HOME"):
        return Path(given)
    home = environment.get("HOME")
    return Path(home, ".local", "state") if home else None


@contextmanager
def held_mark(identity: Identity, directory: Path | None) -> Iterator[Mark | None]:
    """The mark of these keys, for one process alone; None where no file can be kept.

    Raises WitnessError when another process of this machine serves the same keys.
    """
    name = sha256(identity.text.encode()).hexdigest()[:32]
    descriptor = None
    if directory is not None:
        path = directory / "proof" / "witnesses" / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=_PRIVATE_FOLDER)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _PRIVATE_FILE)
        except OSError:
            descriptor = None
    if descriptor is None:
        yield None
        return
    try:
        _lock(
            descriptor, f"the witness {identity.name} is served already, from this folder or a copy"
        )
        yield Mark(descriptor, path)
    finally:
        os.close(descriptor)


@contextmanager
def held_folder(folder: Path) -> Iterator[None]:
    """Serve from `folder` alone. Raises WitnessError when another process does."""
    with _usable(folder):
        descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _PRIVATE_FILE)
    try:
        _lock(descriptor, f"another process serves {folder}")
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, refusal: str) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise WitnessError(f"{refusal}; one process is enough, end the other first") from None


@contextmanager
def _usable(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror
        if isinstance(error, FileExistsError | NotADirectoryError):
            reason = "it is, or lies in, a file"
        raise WitnessError(
            f"the folder {folder} cannot be used: {reason}; name another, or run as its owner"
        ) from None


def _write(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _PRIVATE_FILE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
