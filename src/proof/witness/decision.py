"""What a witness decides: the head it holds and a request, to the head that it may sign.

Source: c2sp.org/tlog-witness, "add-checkpoint". Nothing here reads a clock, a key or a file.
"""

from dataclasses import dataclass
from typing import Final

from proof.verify.errors import RefusedError
from proof.verify.evidence.log.checkpoint import CheckpointBody
from proof.verify.evidence.log.rfc6962 import EMPTY_ROOT, verify_consistency
from proof.witness.errors import (
    ClockBehindError,
    InconsistentError,
    MalformedRequestError,
    OtherSizeError,
)
from proof.witness.wire import AddCheckpoint


@dataclass(frozen=True, slots=True)
class Head:
    """The newest checkpoint of a log that the witness knows.

    `root` is 32 bytes; `time_s` the POSIX second of the newest cosignature, 0 before the first one;
    `body` the checkpoint's signed text and `lines` the log's own signature lines, both empty when there
    was none.
    """

    size: int
    root: bytes
    time_s: int
    body: bytes
    lines: bytes


FIRST_HEAD: Final = Head(0, EMPTY_ROOT, 0, b"", b"")
"""That of a log of which nothing was seen: every log extends the empty one."""


def decide(head: Head, request: AddCheckpoint, lines: bytes, now_s: int) -> Head:
    """The head to make durable and then to sign at `now_s`, whole seconds since 1970.

    `lines` are the signature lines of keys that are trusted for the log, already verified.

    Raises MalformedRequestError, OtherSizeError, InconsistentError, ClockBehindError.
    """
    new = request.checkpoint
    if request.old_size > new.size:
        raise MalformedRequestError(
            f"old {request.old_size} is more than the checkpoint's size {new.size}"
        )
    if request.old_size != head.size:
        raise OtherSizeError(head.size)
    try:
        verify_consistency(head.size, head.root, new.size, new.root, request.hashes)
    except RefusedError as error:
        raise InconsistentError(str(error)) from None
    if now_s < head.time_s:
        raise ClockBehindError(head.time_s - now_s)
    return Head(new.size, new.root, now_s, request.note.body, lines)


def is_fork(head: Head, checkpoint: CheckpointBody) -> bool:
    """Whether a checkpoint that the log signed proves two histories: another root for the size held."""
    known = head.body != b""
    return known and checkpoint.size == head.size and checkpoint.root != head.root
