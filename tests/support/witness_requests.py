"""Requests to a witness that holds size 3 of `LOG`, and the status that each is answered with.

Source: c2sp.org/tlog-witness@v1.1.0, by which another root at the size held is a wrong proof (422) and no
conflict.
"""

from tests.support.witnessed_logs import NaiveLog, add_checkpoint

from proof.core.note_keys import SigningKey
from proof.verify.evidence.log.note import signed_note
from proof.witness.wire import MAX_BODY_BYTES

LOG = NaiveLog("log.example/app").grow(*(bytes([number]) for number in range(12)))
FORK = LOG.fork(4).grow(*(b"fork" + bytes([number]) for number in range(8)))
STRANGER = NaiveLog("stranger.example").grow(b"0")


def wrong_key(log: NaiveLog, name: str | None = None) -> bytes:
    key = SigningKey.generate(name or log.origin, log.key.key_type)
    return add_checkpoint(3, log.proof(3, 8), log.checkpoint(8, key))


def bad_signature() -> bytes:
    line = LOG.key.sign(LOG.body(7))
    return add_checkpoint(3, LOG.proof(3, 8), signed_note(LOG.body(8), [line]))


REQUESTS: dict[str, tuple[bytes, int]] = {
    "right": (LOG.request(3, 8), 200),
    "the same again": (LOG.request(3, 3), 200),
    "from nothing": (LOG.request(0, 8), 409),
    "a stale start": (LOG.request(2, 8), 409),
    "a start beyond what is held": (LOG.request(4, 8), 409),
    "an older checkpoint": (LOG.request(2, 2), 409),
    "a start beyond the checkpoint": (add_checkpoint(9, [], LOG.checkpoint(8)), 400),
    "another root at the size held": (FORK.fork(2).grow(b"?").request(3, 3), 422),
    "another history": (FORK.fork(2).grow(b"?", b"!").request(3, 4), 422),
    "no proof": (add_checkpoint(3, [], LOG.checkpoint(8)), 422),
    "63 hashes": (add_checkpoint(3, [bytes(32)] * 63, LOG.checkpoint(8)), 422),
    "64 hashes": (add_checkpoint(3, [bytes(32)] * 64, LOG.checkpoint(8)), 400),
    "a log it was not told of": (STRANGER.request(0), 404),
    "another key of that name": (wrong_key(LOG), 403),
    "a key of another name": (wrong_key(LOG, "other.example"), 403),
    "a signature of something else": (bad_signature(), 403),
    "nothing": (b"", 400),
    "no empty line": (b"old 3\n" + LOG.checkpoint(8), 400),
    "a leading zero": (b"old 03\n\n" + LOG.checkpoint(8), 400),
    "no newline at the end": (LOG.request(3, 8)[:-1], 400),
    "a size that is none": (LOG.request(3, 8).replace(b"\n8\n", b"\nx\n"), 400),
    "too long": (LOG.request(3, 8) + b"x" * MAX_BODY_BYTES, 413),
}
