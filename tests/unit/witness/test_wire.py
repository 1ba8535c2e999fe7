"""The body of add-checkpoint: what is read, and that everything else is refused as malformed."""

from base64 import b64encode

import pytest
from tests.support.witnessed_logs import NaiveLog, add_checkpoint

from proof.witness.errors import MalformedRequestError, RequestTooLargeError
from proof.witness.wire import MAX_BODY_BYTES, MAX_HASHES, parse_add_checkpoint

LOG = NaiveLog("log.example/wire").grow(*(bytes([number]) for number in range(5)))
CHECKPOINT = LOG.checkpoint()
HASH = b64encode(bytes(32))
# The last two bits of its last digit before the padding are spare, and set.
SPARE_BITS = HASH[:-2] + b"B="


def test_a_request_is_read_whole() -> None:
    request = parse_add_checkpoint(LOG.request(3))
    assert request.old_size == 3
    assert list(request.hashes) == LOG.proof(3)
    assert request.note.body == LOG.body()
    assert (request.checkpoint.origin, request.checkpoint.size) == (LOG.origin, 5)
    assert request.checkpoint.root == LOG.root()


def test_as_many_hashes_as_a_tree_can_need_are_read_and_no_more() -> None:
    hashes = [bytes([number]) * 32 for number in range(MAX_HASHES)]
    assert list(parse_add_checkpoint(add_checkpoint(1, hashes, CHECKPOINT)).hashes) == hashes
    with pytest.raises(MalformedRequestError, match="more than 63"):
        parse_add_checkpoint(add_checkpoint(1, [*hashes, bytes(32)], CHECKPOINT))


def test_the_bound_on_a_request_is_exact() -> None:
    head, line = LOG.request(3).rsplit("—".encode(), 1)
    room = MAX_BODY_BYTES - len(LOG.request(3)) - len("—  AAAAAAAA\n".encode())
    # A signature line of another key with a long name.
    filler = "— ".encode() + b"x" * room + b" AAAAAAAA\n"
    full = head + filler + "—".encode() + line
    assert len(full) == MAX_BODY_BYTES == 10_240
    assert len(parse_add_checkpoint(full).note.signatures) == 2
    with pytest.raises(RequestTooLargeError):
        parse_add_checkpoint(full + b"\n")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"old 3",
        b"old 3\n",
        b"old 3\n\n",
        b"old 3\n" + CHECKPOINT,
        b"\n\n" + CHECKPOINT,
        b"new 3\n\n" + CHECKPOINT,
        b"Old 3\n\n" + CHECKPOINT,
        b"old  3\n\n" + CHECKPOINT,
        b" old 3\n\n" + CHECKPOINT,
        b"old 3 \n\n" + CHECKPOINT,
        b"old 3\r\n\r\n" + CHECKPOINT,
        b"old 3\r\n\n" + CHECKPOINT,
        b"old\n\n" + CHECKPOINT,
        b"old -1\n\n" + CHECKPOINT,
        b"old +1\n\n" + CHECKPOINT,
        b"old 03\n\n" + CHECKPOINT,
        b"old 1_0\n\n" + CHECKPOINT,
        "old ٣\n\n".encode() + CHECKPOINT,
        b"old 9223372036854775808\n\n" + CHECKPOINT,
        b"old 99999999999999999999999\n\n" + CHECKPOINT,
        b"old 3\n" + HASH[:-1] + b"\n\n" + CHECKPOINT,
        b"old 3\n" + HASH.rstrip(b"=") + b"\n\n" + CHECKPOINT,
        b"old 3\n" + HASH + b" \n\n" + CHECKPOINT,
        b"old 3\n" + SPARE_BITS + b"\n\n" + CHECKPOINT,
        b"old 3\n" + b64encode(bytes(31)) + b"\n\n" + CHECKPOINT,
        b"old 3\n" + b64encode(bytes(33)) + b"\n\n" + CHECKPOINT,
        b"old 3\n" + "ä".encode() + b"\n\n" + CHECKPOINT,
        b"old 3\n\n" + CHECKPOINT[:-1],
        b"old 3\n\n" + CHECKPOINT.rpartition(b"\n\n")[0] + b"\n",
        b"old 3\n\n" + CHECKPOINT.replace(b"\n5\n", b"\n05\n"),
        b"old 3\n\n" + CHECKPOINT.replace(b"\n5\n", b"\n9223372036854775808\n"),
        b"old 3\n\n" + CHECKPOINT.replace(b"\n5\n", b"\n5\x00\n"),
        b"old 3\n\n" + CHECKPOINT + b"\xff\n",
    ],
)
def test_what_is_no_request_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedRequestError):
        parse_add_checkpoint(body)
