"""What joins a log to the one it follows: the first entry of a successor.

An entry of a round is 64 bytes, its two roots. The entry of a predecessor is longer, three lines of ASCII,
each with its newline: its type; `sha256` and the hash, in lower-case hex, of the final checkpoint's signed
text (the bytes before the empty line that precedes the signatures); `kept` and how many of the
predecessor's first entries its operator still had, a decimal number without leading zeros.
"""

import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from proof.verify.errors import RefusedError
from proof.verify.evidence.log.checkpoint import parse_checkpoint_body
from proof.verify.evidence.log.note import parse_note

TYPE: Final = "proof/log-predecessor/v1"

_entry = re.compile(
    rb"proof/log-predecessor/v1\nsha256 ([0-9a-f]{64})\nkept (0|[1-9][0-9]{0,18})\n"
).fullmatch


class SuccessionError(RefusedError):
    """A log's first entry does not name the final checkpoint of the log before it."""


@dataclass(frozen=True, slots=True)
class Predecessor:
    """What a successor's first entry says. `digest`: 32 bytes; `kept`: a number of entries."""

    digest: bytes
    kept: int

    @property
    def entry(self) -> bytes:
        """The bytes that are logged."""
        return f"{TYPE}\nsha256 {self.digest.hex()}\nkept {self.kept}\n".encode()


def predecessor_of(final_note: bytes, kept: int) -> Predecessor:
    """What follows a log that ended with a checkpoint. `final_note`: the signed note.

    Raises NoteTooLargeError, NoteFormatError, SignatureLineError.
    """
    return Predecessor(sha256(parse_note(final_note).body).digest(), kept)


def parse_predecessor(entry: bytes) -> Predecessor | None:
    """What a log's entry says of a predecessor; None for an entry of another form."""
    found = _entry(entry)
    return Predecessor(bytes.fromhex(found[1].decode()), int(found[2])) if found else None


def verify_succession(final_note: bytes, first_entry: bytes) -> int:
    """How many entries of a log were kept when another followed it.

    `final_note`: the checkpoint that the first log is said to have ended with; `first_entry`: of the log
    that followed, whose place at index 0 the caller has established. Raises SuccessionError, and what
    `parse_note` and `parse_checkpoint_body` raise.

    Not checked: who signed the checkpoint, and that no larger one of that log was published.
    """
    found = parse_predecessor(first_entry)
    if found is None:
        raise SuccessionError("the log's first entry names no predecessor")
    note = parse_note(final_note)
    if sha256(note.body).digest() != found.digest:
        raise SuccessionError("the log's first entry names another final checkpoint")
    size = parse_checkpoint_body(note.body).size
    if found.kept > size:
        raise SuccessionError(f"{found.kept} entries are said to be kept of a log of {size}")
    return found.kept
