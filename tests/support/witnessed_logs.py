"""A log that signs whatever it is told to, for tests of witnesses: naive trees, real keys.

It shares no tree with the product; its notes are made by the product's encoders, which have their own
tests.
"""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from tests.support.signer import consistency_path, log_root

from proof.core.note_keys import SigningKey
from proof.verify.evidence.log.note import LOG_KEY, checkpoint_body, signed_note
from proof.verify.evidence.log.rfc6962 import leaf_hash


@dataclass
class NaiveLog:
    """`leaves` are leaf hashes. A `fork` signs with the same key."""

    origin: str
    leaves: list[bytes] = field(default_factory=list)
    key: SigningKey = field(init=False)

    def __post_init__(self) -> None:
        seed = sha256(self.origin.encode()).digest()
        self.key = SigningKey.from_seed(self.origin, LOG_KEY, seed)

    @property
    def vkey(self) -> str:
        return self.key.text

    def grow(self, *entries: bytes) -> "NaiveLog":
        self.leaves += map(leaf_hash, entries)
        return self

    def fork(self, size: int) -> "NaiveLog":
        """The same log, which goes on otherwise from `size`."""
        return NaiveLog(self.origin, self.leaves[:size])

    def root(self, size: int | None = None) -> bytes:
        return log_root(self.leaves[:size])

    def body(self, size: int | None = None) -> bytes:
        size = len(self.leaves) if size is None else size
        return checkpoint_body(self.origin, size, self.root(size))

    def checkpoint(self, size: int | None = None, key: SigningKey | None = None) -> bytes:
        body = self.body(size)
        return signed_note(body, [(key or self.key).sign(body)])

    def proof(self, old: int, new: int | None = None) -> list[bytes]:
        new = len(self.leaves) if new is None else new
        return consistency_path(old, self.leaves[:new]) if 0 < old < new else []

    def request(self, old: int, new: int | None = None) -> bytes:
        """The body of add-checkpoint, from size `old` to `new`, by default to the newest."""
        return add_checkpoint(old, self.proof(old, new), self.checkpoint(new))


def add_checkpoint(old: int, proof: Sequence[bytes], checkpoint: bytes) -> bytes:
    """A request as c2sp.org/tlog-witness writes it."""
    lines = [f"old {old}", *(b64encode(each).decode() for each in proof), "", ""]
    return "\n".join(lines).encode() + checkpoint
