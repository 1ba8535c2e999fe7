"""Keys that sign notes: their lines are what the standards ask for, by verifiers that are not ours."""

from base64 import b64decode, b64encode

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

from proof.core.note_keys import SEED_BYTES, SigningKey, ed25519_verify, mldsa44_verify
from proof.verify import VerifierKeyError, errors, parse_verifier_key
from proof.verify.evidence.log.note import (
    COSIGNER_KEY,
    LOG_KEY,
    MLDSA_COSIGNER_KEY,
    checkpoint_body,
    parse_note,
    signed_note,
)

TYPES = [LOG_KEY, COSIGNER_KEY, MLDSA_COSIGNER_KEY]
NAME = "witness.example/w1"
ORIGIN = "log.example/1"
ROOT = bytes(range(32))
BODY = checkpoint_body(ORIGIN, 258, ROOT)
EXTENDED = BODY + b"an extension\n"
TIME_S = 1_770_000_000


def key(key_type: int, name: str = NAME) -> SigningKey:
    return SigningKey.from_seed(name, key_type, bytes([7]) * SEED_BYTES)


def payload(line: bytes, signing: SigningKey) -> bytes:
    (found,) = parse_note(signed_note(BODY, [line])).signatures
    assert (found.name, found.key_hash) == (NAME, signing.public.key_hash)
    return found.payload


@pytest.mark.parametrize("key_type", TYPES)
def test_a_key_is_its_seed(key_type: int) -> None:
    made = SigningKey.generate(NAME, key_type)
    again = SigningKey.from_seed(NAME, key_type, made.seed)
    assert len(made.seed) == SEED_BYTES
    assert again.public == made.public == parse_verifier_key(made.text)
    assert made.public != SigningKey.generate(NAME, key_type).public


@pytest.mark.parametrize("key_type", TYPES)
def test_a_key_does_not_show_its_private_half(key_type: int) -> None:
    made = key(key_type)
    for shown in (repr(made), str(made)):
        assert made.seed.hex() not in shown
        assert repr(made.seed) not in shown
        assert "private" not in shown


def test_a_log_signs_the_body() -> None:
    log = key(LOG_KEY)
    Ed25519PublicKey.from_public_bytes(log.public.public_key).verify(
        payload(log.sign(EXTENDED), log), EXTENDED
    )


def test_an_ed25519_cosigner_signs_time_and_body() -> None:
    cosigner = key(COSIGNER_KEY)
    raw = payload(cosigner.cosign(EXTENDED, TIME_S), cosigner)
    assert int.from_bytes(raw[:8], "big") == TIME_S
    Ed25519PublicKey.from_public_bytes(cosigner.public.public_key).verify(
        raw[8:], b"cosignature/v1\ntime 1770000000\n" + EXTENDED
    )


@pytest.mark.parametrize("time_s", [0, TIME_S])
def test_an_mldsa_cosigner_signs_names_time_size_and_root(time_s: int) -> None:
    cosigner = key(MLDSA_COSIGNER_KEY)
    raw = payload(cosigner.cosign(EXTENDED, time_s), cosigner)
    assert raw[:8] == time_s.to_bytes(8, "big")
    message = (
        b"subtree/v1\n\x00"
        b"\x12witness.example/w1"
        + time_s.to_bytes(8, "big")
        + b"\x0dlog.example/1"
        + bytes(8)
        + b"\x00\x00\x00\x00\x00\x00\x01\x02"
        + ROOT
    )
    MLDSA44PublicKey.from_public_bytes(cosigner.public.public_key).verify(raw[8:], message)


def test_the_text_of_an_mldsa_key_is_a_vkey_of_1312_bytes() -> None:
    name, key_hash, material = key(MLDSA_COSIGNER_KEY).text.split("+", 2)
    raw = b64decode(material, validate=True)
    assert (name, len(raw), raw[0], len(key_hash)) == (NAME, 1313, 6, 8)


def test_a_note_has_room_for_sixteen_mldsa_cosigners_that_sign_with_both_keys() -> None:
    names = [f"witness.example/{'w' * 200}{number}" for number in range(16)]
    both = [key(key_type, name) for name in names for key_type in TYPES[1:]]
    note = signed_note(BODY, [each.cosign(BODY, TIME_S) for each in both])
    assert len(parse_note(note).signatures) == 32


def test_keys_sign_only_as_their_type_does() -> None:
    with pytest.raises(ValueError, match="with the time"):
        key(COSIGNER_KEY).sign(BODY)
    with pytest.raises(ValueError, match="with the time"):
        key(MLDSA_COSIGNER_KEY).sign(BODY)
    with pytest.raises(ValueError, match="without a time"):
        key(LOG_KEY).cosign(BODY, TIME_S)


def test_what_is_no_checkpoint_is_not_cosigned() -> None:
    for key_type in TYPES[1:]:
        with pytest.raises(errors.CheckpointFormatError):
            key(key_type).cosign(b"log.example/1\n258\n" + b64encode(ROOT[1:]) + b"\n", TIME_S)


@pytest.mark.parametrize("time_s", [-1, 2**63])
def test_an_impossible_time_is_not_cosigned(time_s: int) -> None:
    for key_type in TYPES[1:]:
        with pytest.raises(ValueError, match="time below"):
            key(key_type).cosign(BODY, time_s)


def test_an_mldsa_cosigner_has_room_for_names_of_255_bytes() -> None:
    name = "ä" * 127 + "x"
    cosigner = key(MLDSA_COSIGNER_KEY, name)
    cosigner.cosign(checkpoint_body(name, 1, ROOT), TIME_S)
    with pytest.raises(ValueError, match="255"):
        cosigner.cosign(checkpoint_body(name + "x", 1, ROOT), TIME_S)
    with pytest.raises(VerifierKeyError, match="255"):
        key(MLDSA_COSIGNER_KEY, name + "x")
    key(COSIGNER_KEY, name + "x").cosign(checkpoint_body(name + "x", 1, ROOT), TIME_S)


def test_openssl_verifies_where_it_is_asked_to() -> None:
    for key_type, verify in ((LOG_KEY, ed25519_verify), (MLDSA_COSIGNER_KEY, mldsa44_verify)):
        signing = key(key_type)
        public, signature = signing.public.public_key, signing.private.sign(BODY)
        assert verify(public, BODY, signature) is True
        assert verify(public, BODY + b"x", signature) is False
        assert verify(public, BODY, signature[:-1]) is False
        assert verify(public[:-1], BODY, signature) is False


def test_types_algorithms_and_seeds_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="0x02"):
        SigningKey.generate(NAME, 2)
    with pytest.raises(TypeError, match="another algorithm"):
        SigningKey(NAME, LOG_KEY, key(MLDSA_COSIGNER_KEY).private)
    for key_type in TYPES:
        with pytest.raises(ValueError, match="32"):
            SigningKey.from_seed(NAME, key_type, bytes(SEED_BYTES - 1))
    with pytest.raises(VerifierKeyError):
        SigningKey.generate("a name", LOG_KEY)
