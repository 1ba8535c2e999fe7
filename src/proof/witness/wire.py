"""The body of `POST /add-checkpoint` (c2sp.org/tlog-witness, "add-checkpoint")."""

import re
from dataclasses import dataclass
from typing import Final

from proof.verify.errors import RefusedError
from proof.verify.evidence.log.checkpoint import CheckpointBody, parse_checkpoint_body
from proof.verify.evidence.log.note import Note, decode_base64, parse_note
from proof.verify.evidence.log.rfc6962 import MAX_SIZE
from proof.witness.errors import MalformedRequestError, RequestTooLargeError

MAX_BODY_BYTES: Final = 10 * 1024
"""63 hashes and a checkpoint with the log's own signatures have room; one that carries the ML-DSA-44
lines of several witnesses has none, and needs none."""

MAX_HASHES: Final = 63

_HASH_BYTES: Final = 32

_old_line = re.compile(rb"old (0|[1-9][0-9]{0,18})").fullmatch


@dataclass(frozen=True, slots=True)
class AddCheckpoint:
    """A request: the size it starts from, a consistency proof of 32-byte hashes, the checkpoint.
    Nothing of it is verified yet."""

    old_size: int
    hashes: tuple[bytes, ...]
    note: Note
    checkpoint: CheckpointBody


def parse_add_checkpoint(body: bytes) -> AddCheckpoint:
    """Read a request. Raises RequestTooLargeError, MalformedRequestError."""
    if len(body) > MAX_BODY_BYTES:
        raise RequestTooLargeError(f"the request is longer than {MAX_BODY_BYTES} bytes")
    head, empty_line, rest = body.partition(b"\n\n")
    if not empty_line:
        raise MalformedRequestError("there is no empty line before the checkpoint")
    first, *lines = head.split(b"\n")
    old = _old_line(first)
    if old is None or int(old[1]) > MAX_SIZE:
        raise MalformedRequestError('the first line is not "old" and a size in decimal')
    if len(lines) > MAX_HASHES:
        raise MalformedRequestError(f"the consistency proof has more than {MAX_HASHES} hashes")
    hashes = tuple(_hash(line) for line in lines)
    try:
        note = parse_note(rest)
        return AddCheckpoint(int(old[1]), hashes, note, parse_checkpoint_body(note.body))
    except RefusedError as error:
        raise MalformedRequestError(str(error)) from None


def _hash(line: bytes) -> bytes:
    decoded = decode_base64(line.decode("ascii")) if line.isascii() else None
    if decoded is None or len(decoded) != _HASH_BYTES:
        raise MalformedRequestError("a line of the consistency proof is not base64 of 32 bytes")
    return decoded
