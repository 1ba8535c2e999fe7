"""Which logs a witness cosigns for: told in its folder, also while another process serves it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from proof.core.note_keys import SigningKey
from proof.verify.errors import RefusedError
from proof.verify.evidence.log.checkpoint import parse_checkpoint_body
from proof.verify.evidence.log.note import VerifierKeyError, parse_note
from proof.witness.decision import Head
from proof.witness.errors import StoreError, UnsignedCheckpointError, WitnessError
from proof.witness.folder import Identity, open_store, read_identity
from proof.witness.log_keys import LogKey, parse_log_key, signed_lines
from proof.witness.store import LogRecord, Store

_MAX_ORIGIN_BYTES = 255  # what an ML-DSA-44 cosigner signs gives an origin's length one byte
_FIRST_PRINTABLE = " "


@dataclass(frozen=True, slots=True)
class Report:
    """A witness with its logs, removed ones too, and the checkpoints that prove forks, by origin."""

    identity: Identity
    logs: list[LogRecord]
    forks: dict[str, list[bytes]]


def add_log(
    folder: Path, vkey: str, origin: str | None, checkpoint: bytes | None
) -> tuple[str, bool]:
    """Trust a key for a log, the one of the key's name unless `origin` says another; the log begins at
    the signed `checkpoint`, or else with the first one that it sends. The origin, and whether the key
    is new.

    A log may have several keys, as while it changes them. Raises WitnessError.
    """
    identity = read_identity(folder)
    key = _log_key(vkey, identity)
    origin = origin or key.key.name
    if len(origin.encode()) > _MAX_ORIGIN_BYTES or min(origin) < _FIRST_PRINTABLE:
        raise WitnessError(
            f"an origin is one line of 1 to {_MAX_ORIGIN_BYTES} bytes: the first of the log's checkpoints"
        )
    start = None if checkpoint is None else _start(checkpoint, origin, key)
    with _opened(folder, identity) as store:
        return origin, store.add_key(origin, key, start)


def remove_log(folder: Path, name: str) -> list[tuple[str, str]]:
    """Trust a key no longer, or none of a log's, as `name` is a vkey or an origin; the origins and
    vkeys that were removed. What the witness holds of the log is kept. Raises WitnessError."""
    try:
        where = {"vkey": parse_log_key(name).text}
    except VerifierKeyError:
        where = {"origin": name}
    with _opened(folder, read_identity(folder)) as store:
        removed = store.remove_keys(where)
    if not removed:
        raise WitnessError("the witness trusts no such key or log; see `proof witness list`")
    return removed


def report(folder: Path) -> Report:
    """Raises WitnessError."""
    identity = read_identity(folder)
    with _opened(folder, identity) as store:
        logs = store.logs()
        return Report(identity, logs, {log.origin: store.forks(log.origin) for log in logs})


def _log_key(vkey: str, identity: Identity) -> LogKey:
    try:
        key = parse_log_key(vkey)
    except VerifierKeyError as error:
        raise WitnessError(
            f"{error}; a log publishes its verifier key, a Proof has it at /log/key"
        ) from None
    if any(_public(own) == key.key.public_key for own in identity.keys):
        raise WitnessError("that is a key of this witness, no log's; give the log's verifier key")
    return key


def _public(own: SigningKey) -> bytes:
    return own.public.public_key


def _start(checkpoint: bytes, origin: str, key: LogKey) -> Head:
    try:
        note = parse_note(checkpoint)
        body = parse_checkpoint_body(note.body)
        lines = signed_lines(note, body, [key])
    except (RefusedError, UnsignedCheckpointError) as error:
        raise WitnessError(f"--from: {error}; take a checkpoint that this key signed") from None
    if body.origin != origin:
        raise WitnessError(f"--from: the checkpoint is of {body.origin}, not of {origin}")
    return Head(body.size, body.root, 0, note.body, lines)


@contextmanager
def _opened(folder: Path, identity: Identity) -> Iterator[Store]:
    store = open_store(folder, identity)
    try:
        yield store
    except StoreError as error:
        raise WitnessError(error.message) from None
    finally:
        store.close()
