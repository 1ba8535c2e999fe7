"""The first entry of a log that follows another."""

from hashlib import sha256

import pytest

from proof.core.note_keys import SigningKey
from proof.verify.errors import RefusedError
from proof.verify.evidence.log.note import LOG_KEY, checkpoint_body, signed_note
from proof.verify.evidence.log.succession import (
    SuccessionError,
    parse_predecessor,
    predecessor_of,
    verify_succession,
)

KEY = SigningKey.generate("log.example", LOG_KEY)
BODY = checkpoint_body("log.example", 9, bytes(32))
FINAL = signed_note(BODY, [KEY.sign(BODY)])
ENTRY = b"proof/log-predecessor/v1\nsha256 %s\nkept 7\n" % sha256(BODY).hexdigest().encode()


def test_the_entry_has_the_bytes_that_the_page_tells() -> None:
    assert predecessor_of(FINAL, 7).entry == ENTRY
    assert parse_predecessor(ENTRY) == predecessor_of(FINAL, 7)
    assert verify_succession(FINAL, ENTRY) == 7


def test_any_signatures_under_the_same_text_are_the_same_checkpoint() -> None:
    other = SigningKey.generate("log.example", LOG_KEY)
    assert verify_succession(signed_note(BODY, [other.sign(BODY)]), ENTRY) == 7


@pytest.mark.parametrize("kept", [0, 10**18])
def test_no_entry_of_a_predecessor_has_the_length_of_a_rounds(kept: int) -> None:
    entry = predecessor_of(FINAL, kept).entry
    assert 64 < len(entry) < 256
    assert parse_predecessor(entry) == predecessor_of(FINAL, kept)


@pytest.mark.parametrize(
    "entry",
    [
        b"",
        bytes(64),
        ENTRY[:-1],
        ENTRY + b"\n",
        ENTRY.replace(b"/v1", b"/v2"),
        ENTRY.replace(b"kept 7", b"kept 07"),
        ENTRY.replace(b"kept 7", b"kept -7"),
        ENTRY.replace(b"kept 7", b"kept " + b"9" * 20),
        ENTRY.replace(b"kept 7", b"kept \xd9\xa7"),
        ENTRY.replace(b"\n", b"\r\n"),
        ENTRY.upper(),
    ],
)
def test_what_is_not_to_the_byte_of_that_form_names_no_predecessor(entry: bytes) -> None:
    assert parse_predecessor(entry) is None
    with pytest.raises(SuccessionError, match="names no predecessor"):
        verify_succession(FINAL, entry)


def test_another_checkpoint_and_more_than_there_was_are_refused() -> None:
    with pytest.raises(SuccessionError, match="another final checkpoint"):
        verify_succession(signed_note(b"log.example\n8\n" + BODY[14:], [KEY.sign(BODY)]), ENTRY)
    with pytest.raises(SuccessionError, match="10 entries are said to be kept of a log of 9"):
        verify_succession(FINAL, predecessor_of(FINAL, 10).entry)
    with pytest.raises(RefusedError):
        verify_succession(b"no note", ENTRY)
