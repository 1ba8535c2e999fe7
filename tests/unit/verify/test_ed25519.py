"""Ed25519 against RFC 8032, Wycheproof and OpenSSL."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.signer import Signer, openssl_verify

from proof.verify.evidence.log import ed25519

VECTORS = Path(__file__).parents[2] / "vectors"
WYCHEPROOF = json.loads((VECTORS / "ed25519_wycheproof.json").read_text())["tests"]
RFC8032 = json.loads((VECTORS / "ed25519_rfc8032.json").read_text())["tests"]
KEY = Signer.named("ed25519", 1)
P, L = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493


@pytest.mark.parametrize("vector", RFC8032, ids=lambda v: v["name"])
def test_rfc_8032(vector: dict[str, str]) -> None:
    key, message, signature = (bytes.fromhex(vector[k]) for k in ("pk", "msg", "sig"))
    assert ed25519.verify(key, message, signature)
    assert not ed25519.verify(key, message + b"x", signature)


@pytest.mark.parametrize("vector", WYCHEPROOF, ids=lambda v: str(v["tcId"]))
def test_wycheproof(vector: dict[str, str]) -> None:
    arguments = [bytes.fromhex(vector[k]) for k in ("pk", "msg", "sig")]
    assert ed25519.verify(*arguments) is (vector["result"] == "valid")


def test_all_wycheproof_vectors_are_here() -> None:
    assert [vector["tcId"] for vector in WYCHEPROOF] == list(range(1, 152))
    for vector in WYCHEPROOF:  # the copy agrees with an implementation that is not ours
        arguments = [bytes.fromhex(vector[k]) for k in ("pk", "msg", "sig")]
        assert openssl_verify(*arguments) is (vector["result"] == "valid")


@given(st.binary(max_size=200), st.binary(min_size=32, max_size=32))
def test_signatures_of_openssl_verify(message: bytes, secret: bytes) -> None:
    key = Signer.named(secret.hex(), 1)
    assert ed25519.verify(key.public, message, key.private.sign(message))


@given(st.integers(0, 95), st.integers(0, 7))
def test_any_bit_of_key_or_signature_decides_as_openssl(byte: int, bit: int) -> None:
    together = bytearray(KEY.public + KEY.private.sign(b"message"))
    together[byte] ^= 1 << bit
    key, signature = bytes(together[:32]), bytes(together[32:])
    assert ed25519.verify(key, b"message", signature) is openssl_verify(key, b"message", signature)
    assert not ed25519.verify(key, b"message", signature)


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=64, max_size=64))
def test_random_keys_and_signatures_decide_as_openssl(key: bytes, signature: bytes) -> None:
    assert ed25519.verify(key, b"", signature) is openssl_verify(key, b"", signature)


def test_second_signature_made_from_a_valid_one() -> None:
    signature = KEY.private.sign(b"m")
    s = int.from_bytes(signature[32:], "little") + L
    assert not ed25519.verify(KEY.public, b"m", signature[:32] + s.to_bytes(32, "little"))


@pytest.mark.parametrize("y", [P, P + 1, 2**255 - 1])
@pytest.mark.parametrize("sign", [0, 1])
def test_key_encoded_beyond_the_field(y: int, sign: int) -> None:
    key = (y | sign << 255).to_bytes(32, "little")
    assert not ed25519.verify(key, b"m", KEY.private.sign(b"m"))


def test_key_with_negative_zero() -> None:
    """y = 1 has x = 0 only; the signature would hold for the key without the sign bit."""
    neutral = (1).to_bytes(32, "little")
    signature = neutral + bytes(32)
    assert ed25519.verify(neutral, b"m", signature)
    assert not ed25519.verify((1 | 1 << 255).to_bytes(32, "little"), b"m", signature)


@pytest.mark.parametrize(
    "order_8", ["c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"]
)
def test_only_the_cofactored_check_would_accept(order_8: str) -> None:
    """[S]B = R + [k]A fails by a point of order 8; eight times it would hold."""
    torsion = bytes.fromhex(order_8)
    results = set()
    for number in range(32):
        signature = torsion + bytes(32)
        message = b"%d" % number
        ours = ed25519.verify(torsion, message, signature)
        assert ours is openssl_verify(torsion, message, signature)
        results.add(ours)
    assert results == {True, False}


@pytest.mark.parametrize(("key", "signature"), [(31, 64), (33, 64), (32, 63), (32, 65), (0, 0)])
def test_other_lengths(key: int, signature: int) -> None:
    assert not ed25519.verify(bytes(key), b"", bytes(signature))
