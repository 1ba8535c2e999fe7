"""Signed notes, verifier keys and checkpoints: what is written, read, verified and refused."""

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support import signer
from tests.support.signer import KEYS, LOG, MLDSA_WITNESS, ORIGIN, TIME_S, WITNESS, Signer

from proof.verify import (
    RefusedError,
    VerifierKeyError,
    errors,
    parse_verifier_key,
    verify_checkpoint,
)
from proof.verify.evidence.log import note
from proof.verify.evidence.log.checkpoint import parse_checkpoint_body

ROOT = bytes(range(32))
BODY = note.checkpoint_body(ORIGIN, 7, ROOT)
IMPOSTOR = Signer.named(ORIGIN, note.LOG_KEY, seed="impostor")


def signed(*lines: bytes, body: bytes = BODY) -> bytes:
    return note.signed_note(body, lines)


def test_example_of_the_cosignature_specification_parses() -> None:
    """The note printed in c2sp.org/tlog-cosignature."""
    lines = [
        "example.com/behind-the-sofa",
        "20852163",
        "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=",
        "",
        (
            "— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URY"
            "N7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8="
        ),
        (
            "— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dl"
            "rDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA=="
        ),
        "",
    ]
    parsed = note.parse_note("\n".join(lines).encode())
    body = parse_checkpoint_body(parsed.body)
    assert (body.origin, body.size) == ("example.com/behind-the-sofa", 20852163)
    log, witness = parsed.signatures
    assert (log.key_hash.hex(), len(log.payload)) == ("033de0ae", 64)
    assert int.from_bytes(witness.payload[:8], "big") == 1679315147
    assert len(witness.payload) == 72


def test_verifier_key_of_the_go_reference() -> None:
    """PeterNeumann's key from the documentation of golang.org/x/mod/sumdb/note."""
    key = parse_verifier_key("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
    assert (key.name, key.key_type, key.key_hash.hex()) == ("PeterNeumann", 1, "c74f20a3")


def test_key_round_trip() -> None:
    for each in (LOG, WITNESS, MLDSA_WITNESS):
        key = parse_verifier_key(each.text)
        assert note.verifier_key(key.name, key.key_type, key.public_key) == each.text
        assert key.key_hash == note.key_hash(key.name, key.key_type, key.public_key)


KEY_TEXT = LOG.text
MALFORMED_KEYS = {
    "empty": "",
    "two parts": KEY_TEXT.rpartition("+")[0],
    "wrong hash": KEY_TEXT.replace(LOG.key.key_hash.hex(), "00000000"),
    "upper case hash": f"{ORIGIN}+{LOG.key.key_hash.hex().upper()}A+x",
    "short hash": f"{ORIGIN}+abc+{KEY_TEXT.rpartition('+')[2]}",
    "no material": f"{ORIGIN}+00000000+",
    "not base64": f"{ORIGIN}+00000000+!!!!",
    "other type": f"{ORIGIN}+00000000+{b64encode(bytes([2]) + ROOT).decode()}",
    "short key": f"{ORIGIN}+00000000+{b64encode(bytes([1]) + ROOT[:31]).decode()}",
    "long key": f"{ORIGIN}+00000000+{b64encode(bytes([1]) + ROOT + b'x').decode()}",
    "ML-DSA-44 key of 32 bytes": f"{ORIGIN}+00000000+{b64encode(bytes([6]) + ROOT).decode()}",
    "ML-DSA-44 key in a log's name": MLDSA_WITNESS.text.replace(MLDSA_WITNESS.name, ORIGIN),
    "renamed": KEY_TEXT.replace("log.", "bog."),
    "no name": KEY_TEXT.removeprefix(ORIGIN),
    "space in name": "a " + KEY_TEXT,
}


@pytest.mark.parametrize("fault", MALFORMED_KEYS)
def test_malformed_key_is_refused(fault: str) -> None:
    with pytest.raises(VerifierKeyError):
        parse_verifier_key(MALFORMED_KEYS[fault])


@given(st.text(max_size=80))
def test_any_text_as_key_is_refused_or_read(text: str) -> None:
    try:
        key = parse_verifier_key(text)
    except VerifierKeyError:
        return
    assert note.verifier_key(key.name, key.key_type, key.public_key) == text


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb", "a\u00a0b", "a\x07"])
def test_encoders_refuse_what_parsers_would(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        note.verifier_key(name, note.LOG_KEY, ROOT)
    with pytest.raises(ValueError, match="name"):
        note.signature_line(name, b"1234", b"x")
    with pytest.raises(ValueError, match="origin"):
        note.checkpoint_body(name, 1, ROOT)


def test_encoders_refuse_wrong_lengths() -> None:
    for size, root in ((-1, ROOT), (1, ROOT[:31])):
        with pytest.raises(ValueError, match="32-byte root"):
            note.checkpoint_body(ORIGIN, size, root)
    with pytest.raises(ValueError, match="4-byte"):
        note.signature_line(ORIGIN, b"123", b"x")
    for time_s, signature in ((-1, bytes(64)), (2**63, bytes(64)), (1, bytes(63))):
        with pytest.raises(ValueError, match="cosignature"):
            note.cosignature_payload(time_s, signature)


def test_signed_texts_are_exact() -> None:
    assert b"log.example/test\n7\n" + b64encode(ROOT) + b"\n" == BODY
    assert note.cosignature_message(12, BODY) == b"cosignature/v1\ntime 12\n" + BODY


def test_checkpoint_of_both_keys() -> None:
    checkpoint = verify_checkpoint(signed(LOG.line(BODY), WITNESS.line(BODY)), KEYS)
    assert (checkpoint.origin, checkpoint.size, checkpoint.root) == (ORIGIN, 7, ROOT)
    assert checkpoint.log_key == LOG.key
    assert checkpoint.cosigned_time_s == TIME_S


def test_log_key_alone_establishes_no_time() -> None:
    checkpoint = verify_checkpoint(signed(LOG.line(BODY), WITNESS.line(BODY)), [LOG.key])
    assert checkpoint.log_key == LOG.key
    assert checkpoint.cosigned_time_s is None


def test_cosigner_key_alone_establishes_no_log() -> None:
    checkpoint = verify_checkpoint(signed(LOG.line(BODY), WITNESS.line(BODY)), [WITNESS.key])
    assert checkpoint.log_key is None


def test_earliest_of_several_cosigners() -> None:
    second = Signer.named("second.example", note.COSIGNER_KEY)
    text = signed(LOG.line(BODY), WITNESS.line(BODY, 90), second.line(BODY, 80))
    checkpoint = verify_checkpoint(text, [*KEYS, second.key])
    assert checkpoint.cosigned_time_s == 80
    assert len(checkpoint.cosignatures) == 2


def test_lines_of_unknown_keys_are_ignored() -> None:
    unknown = note.signature_line("unknown.example", b"1234", bytes(5000))
    namesake = note.signature_line(WITNESS.name, b"1234", b"x")
    text = signed(unknown, namesake, IMPOSTOR.line(BODY), LOG.line(BODY), WITNESS.line(BODY))
    assert verify_checkpoint(text, KEYS).cosigned_time_s == TIME_S


def test_extension_lines_are_signed_and_ignored() -> None:
    body = BODY + b"extension\n"
    text = signed(LOG.line(body), WITNESS.line(body), body=body)
    assert verify_checkpoint(text, KEYS).size == 7
    with pytest.raises(errors.SignatureError):
        verify_checkpoint(text.replace(b"extension", b"Extension"), KEYS)


def test_an_mldsa_cosigner_vouches_for_the_time_beside_or_without_ed25519() -> None:
    keys = [LOG.key, MLDSA_WITNESS.key]
    line = MLDSA_WITNESS.line(BODY, 90)
    for text in (
        signed(LOG.line(BODY), line),
        signed(WITNESS.line(BODY, 80), line, LOG.line(BODY)),
    ):
        assert verify_checkpoint(text, keys).cosigned_time_s == 90
    assert verify_checkpoint(text, [*keys, WITNESS.key]).cosigned_time_s == 80


def test_an_mldsa_cosigner_signs_no_extension_lines() -> None:
    body = BODY + b"extension\n"
    text = signed(LOG.line(body), MLDSA_WITNESS.line(BODY), body=body)
    assert verify_checkpoint(text, [LOG.key, MLDSA_WITNESS.key]).cosigned_time_s == TIME_S


def test_an_mldsa_cosigner_cannot_have_signed_an_origin_that_its_message_has_no_room_for() -> None:
    log = Signer.named("l" * 256, note.LOG_KEY)
    body = note.checkpoint_body(log.name, 7, ROOT)
    text = signed(log.line(body), MLDSA_WITNESS.line(BODY), body=body)
    with pytest.raises(errors.SignatureError, match="so long an origin"):
        verify_checkpoint(text, [log.key, MLDSA_WITNESS.key])


def test_origin_without_trusted_key_is_not_established() -> None:
    other = Signer.named("other.example", note.LOG_KEY)
    body = note.checkpoint_body(other.name, 7, ROOT)
    checkpoint = verify_checkpoint(signed(other.line(body), body=body), KEYS)
    assert checkpoint.log_key is None


def test_trusted_log_key_signing_under_another_origin_is_not_established() -> None:
    body = note.checkpoint_body("other.example", 7, ROOT)
    assert verify_checkpoint(signed(LOG.line(body), body=body), KEYS).log_key is None


def flipped(line: bytes, index: int) -> bytes:
    """The line with one bit of its payload flipped."""
    parsed = note.parse_note(signed(line)).signatures[0]
    payload = bytearray(parsed.payload)
    payload[index] ^= 1
    return note.signature_line(parsed.name, parsed.key_hash, bytes(payload))


def raw_line(each: Signer, payload: bytes) -> bytes:
    return note.signature_line(each.name, each.key.key_hash, payload)


def borrowed_line(each: Signer, key_of: Signer) -> bytes:
    """A line in one key's name, signed by another key."""
    payload = note.parse_note(signed(each.line(BODY))).signatures[0].payload
    return raw_line(key_of, payload)


FORGERIES: dict[str, tuple[type[RefusedError], bytes]] = {
    "impostor with the log's name": (errors.NotSignedByLogKeyError, signed(IMPOSTOR.line(BODY))),
    "cosigner only": (errors.NotSignedByLogKeyError, signed(WITNESS.line(BODY))),
    "impostor with name and hash": (errors.SignatureError, signed(borrowed_line(IMPOSTOR, LOG))),
    "log signature altered": (errors.SignatureError, signed(flipped(LOG.line(BODY), 3))),
    "log signature too short": (errors.SignatureError, signed(raw_line(LOG, bytes(63)))),
    "log signature too long": (errors.SignatureError, signed(raw_line(LOG, bytes(72)))),
    "cosigned time altered": (
        errors.SignatureError,
        signed(LOG.line(BODY), flipped(WITNESS.line(BODY), 7)),
    ),
    "cosignature too short": (
        errors.SignatureError,
        signed(LOG.line(BODY), raw_line(WITNESS, bytes(64))),
    ),
    "time beyond 2^63": (
        errors.CosignatureTimeError,
        signed(LOG.line(BODY), raw_line(WITNESS, b"\xff" * 72)),
    ),
    "log line in the cosigner's name": (
        errors.SignatureError,
        signed(LOG.line(BODY), raw_line(WITNESS, bytes(8) + LOG.private.sign(BODY))),
    ),
    "log signs twice": (
        errors.DuplicateSignatureError,
        signed(LOG.line(BODY), LOG.line(BODY)),
    ),
    "cosigner names two times": (
        errors.DuplicateSignatureError,
        signed(LOG.line(BODY), WITNESS.line(BODY, 1), WITNESS.line(BODY, 2)),
    ),
    "ML-DSA-44 time altered": (
        errors.SignatureError,
        signed(LOG.line(BODY), flipped(MLDSA_WITNESS.line(BODY), 7)),
    ),
    "ML-DSA-44 signature altered": (
        errors.SignatureError,
        signed(LOG.line(BODY), flipped(MLDSA_WITNESS.line(BODY), 2427)),
    ),
    "ML-DSA-44 time beyond 2^63": (
        errors.CosignatureTimeError,
        signed(LOG.line(BODY), raw_line(MLDSA_WITNESS, b"\xff" * 2428)),
    ),
    "ML-DSA-44 signature too short": (
        errors.SignatureError,
        signed(LOG.line(BODY), raw_line(MLDSA_WITNESS, bytes(2427))),
    ),
    "Ed25519 cosignature in the ML-DSA-44 key's name": (
        errors.SignatureError,
        signed(LOG.line(BODY), borrowed_line(WITNESS, MLDSA_WITNESS)),
    ),
    "ML-DSA-44 cosignature of the note's text": (
        errors.SignatureError,
        signed(
            LOG.line(BODY), raw_line(MLDSA_WITNESS, bytes(8) + MLDSA_WITNESS.private.sign(BODY))
        ),
    ),
    "ML-DSA-44 cosigner names two times": (
        errors.DuplicateSignatureError,
        signed(LOG.line(BODY), MLDSA_WITNESS.line(BODY, 1), MLDSA_WITNESS.line(BODY, 2)),
    ),
    **{
        f"ML-DSA-44 cosignature of another {what}": (
            errors.SignatureError,
            signed(LOG.line(BODY), MLDSA_WITNESS.line(body)),
        )
        for what, body in {
            "origin": note.checkpoint_body("log.example/tes", 7, ROOT),
            "size": note.checkpoint_body(ORIGIN, 8, ROOT),
            "root": note.checkpoint_body(ORIGIN, 7, bytes(32)),
        }.items()
    },
    "root replaced": (
        errors.SignatureError,
        signed(LOG.line(BODY), body=note.checkpoint_body(ORIGIN, 7, bytes(32))),
    ),
    "size replaced": (
        errors.SignatureError,
        signed(LOG.line(BODY), body=note.checkpoint_body(ORIGIN, 8, ROOT)),
    ),
}


@pytest.mark.parametrize("attack", FORGERIES)
def test_forged_checkpoint_is_refused(attack: str) -> None:
    expected, text = FORGERIES[attack]
    with pytest.raises(expected):
        verify_checkpoint(text, [*KEYS, MLDSA_WITNESS.key])


GOOD = signed(LOG.line(BODY))
ROOT_TEXT = b64encode(ROOT)
MALFORMED: dict[str, tuple[type[RefusedError], bytes]] = {
    "empty": (errors.NoteFormatError, b""),
    "no signatures": (errors.NoteFormatError, BODY),
    "only an empty line": (errors.NoteFormatError, b"\n\n"),
    "no final newline": (errors.NoteFormatError, GOOD[:-1]),
    "not UTF-8": (errors.NoteFormatError, b"\xff" + GOOD),
    "control character": (errors.NoteFormatError, GOOD.replace(b"7\n", b"7\r\n")),
    "too long": (errors.NoteTooLargeError, b"x" * note.MAX_NOTE_BYTES + GOOD),
    "65 signatures": (errors.NoteTooLargeError, signed(*[LOG.line(BODY)] * 65)),
    "hyphen for dash": (errors.SignatureLineError, GOOD.replace("—".encode(), b"-")),
    "two spaces": (errors.SignatureLineError, GOOD.replace("— ".encode(), "—  ".encode())),
    "blank signature": (errors.SignatureLineError, BODY + "\n— name \n".encode()),
    "only a key hash": (errors.SignatureLineError, BODY + "\n— name YWJjZA==\n".encode()),
    "plus in name": (errors.SignatureLineError, GOOD.replace("— ".encode(), "— +".encode())),
    "spare bits set": (errors.SignatureLineError, BODY + "\n— name YWJjZGV=\n".encode()),
    "not base64": (errors.SignatureLineError, BODY + "\n— name YWJj*GVm\n".encode()),
    "two lines": (errors.CheckpointFormatError, signed(LOG.line(BODY), body=b"a\n7\n")),
    "empty line inside": (
        errors.CheckpointFormatError,
        signed(LOG.line(BODY), body=b"a\n\n7\n" + ROOT_TEXT + b"\n"),
    ),
    **{
        f"size {size!r}": (
            errors.CheckpointFormatError,
            signed(LOG.line(BODY), body=b"a\n" + size.encode() + b"\n" + ROOT_TEXT + b"\n"),
        )
        for size in ("07", "-1", "+1", "1.0", "x", " 7", "9223372036854775808", "9" * 30, "٣")
    },
    "short root": (
        errors.CheckpointFormatError,
        signed(LOG.line(BODY), body=b"a\n7\nYWJj\n"),
    ),
    "root not base64": (
        errors.CheckpointFormatError,
        signed(LOG.line(BODY), body=b"a\n7\n****\n"),
    ),
}


@pytest.mark.parametrize("fault", MALFORMED)
def test_malformed_checkpoint_is_refused(fault: str) -> None:
    expected, text = MALFORMED[fault]
    with pytest.raises(expected):
        verify_checkpoint(text, KEYS)


def test_empty_log_has_a_checkpoint() -> None:
    body = note.checkpoint_body(ORIGIN, 0, ROOT)
    assert verify_checkpoint(signed(LOG.line(body), body=body), KEYS).size == 0


@pytest.mark.parametrize("answer", [False, None, 1, "yes"])
def test_only_true_accepts(answer: object) -> None:
    """A caller's function that forgets to return, as one that only raises does, cannot accept."""
    with pytest.raises(errors.SignatureError):
        verify_checkpoint(GOOD, KEYS, lambda *_: answer)  # type: ignore[arg-type]
    text = signed(LOG.line(BODY), MLDSA_WITNESS.line(BODY))
    with pytest.raises(errors.SignatureError):
        verify_checkpoint(
            text,
            [LOG.key, MLDSA_WITNESS.key],
            mldsa44_verify=lambda *_: answer,  # type: ignore[arg-type]
        )


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255))
def test_any_byte_altered_is_refused_or_ignored(index: int, value: int) -> None:
    altered = bytearray(GOOD)
    altered[index] = value
    try:
        checkpoint = verify_checkpoint(bytes(altered), KEYS, signer.openssl_verify)
    except RefusedError:
        return
    assert bytes(altered) == GOOD or checkpoint.log_key is None
