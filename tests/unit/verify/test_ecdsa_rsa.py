"""ECDSA and RSA signatures against RFC 6979, against `cryptography`, and what a forger tries."""

import hashlib

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import (
    Prehashed,
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from tests.support.tokens import key

from proof.verify.evidence.rfc3161 import ecdsa
from proof.verify.evidence.rfc3161 import rsa as ours
from proof.verify.evidence.rfc3161.ecdsa import P256, P384, Curve

CURVES = {"p256": P256, "p384": P384}
HASHES: dict[str, hashes.HashAlgorithm] = {
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}

# RFC 6979, A.2.5 and A.2.6: the key (x, y), then message, digest, r, s.
KEY_P256 = bytes.fromhex(
    "0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
    "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299"
)
KEY_P384 = bytes.fromhex(
    "04ec3a4e415b4e19a4568618029f427fa5da9a8bc4ae92e02e06aae5286b300c64def8f0ea9055866064a2545154"
    "80bc138015d9b72d7d57244ea8ef9ac0c621896708a59367f9dfb9f54ca84b3f1c9db1288b231c3ae0d4fe7344fd"
    "2533264720"
)
RFC6979 = [
    (
        P256,
        b"sample",
        "sha256",
        0xEFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716,
        0xF7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8,
    ),
    (
        P256,
        b"test",
        "sha256",
        0xF1ABB023518351CD71D881567B1EA663ED3EFCF6C5132B354F28D3B0B7D38367,
        0x019F4113742A2B14BD25926B49C649155F267E60D3814B4C0CC84250E46F0083,
    ),
    (
        P256,
        b"sample",
        "sha384",
        0x0EAFEA039B20E9B42309FB1D89E213057CBF973DC0CFC8F129EDDDC800EF7719,
        0x4861F0491E6998B9455193E34E7B0D284DDD7149A74B95B9261F13ABDE940954,
    ),
    (
        P256,
        b"sample",
        "sha512",
        0x8496A60B5E9B47C825488827E0495B0E3FA109EC4568FD3F8D1097678EB97F00,
        0x2362AB1ADBE2B8ADF9CB9EDAB740EA6049C028114F2460F96554F61FAE3302FE,
    ),
    (
        P384,
        b"sample",
        "sha256",
        0x21B13D1E013C7FA1392D03C5F99AF8B30C570C6F98D4EA8E354B63A21D3DAA33BDE1E888E63355D92FA2B3C36D8FB2CD,
        0xF3AA443FB107745BF4BD77CB3891674632068A10CA67E3D45DB2266FA7D1FEEBEFDC63ECCD1AC42EC0CB8668A4FA0AB0,
    ),
    (
        P384,
        b"sample",
        "sha384",
        0x94EDBB92A5ECB8AAD4736E56C691916B3F88140666CE9FA73D64C4EA95AD133C81A648152E44ACF96E36DD1E80FABE46,
        0x99EF4AEB15F178CEA1FE40DB2603138F130E740A19624526203B6351D0A3A94FA329C145786E679E7B82C71A38628AC8,
    ),
]


def digest_of(name: str, message: bytes) -> bytes:
    return hashlib.new(name, message).digest()


def library_says(curve: Curve, public: bytes, digest: bytes, r: int, s: int) -> bool:
    named: ec.EllipticCurve = ec.SECP256R1() if curve is P256 else ec.SECP384R1()
    algorithm = {32: hashes.SHA256(), 48: hashes.SHA384(), 64: hashes.SHA512()}[len(digest)]
    try:
        found = ec.EllipticCurvePublicKey.from_encoded_point(named, public)
        found.verify(encode_dss_signature(r, s), digest, ec.ECDSA(Prehashed(algorithm)))
    except (InvalidSignature, ValueError):
        return False
    return True


def public_bytes(kind: str) -> bytes:
    found = key(kind).public_key()
    return found.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


@pytest.mark.parametrize(("curve", "message", "name", "r", "s"), RFC6979)
def test_rfc_6979(curve: Curve, message: bytes, name: str, r: int, s: int) -> None:
    public = KEY_P256 if curve is P256 else KEY_P384
    digest = digest_of(name, message)
    assert library_says(curve, public, digest, r, s), "the copy of the vector is right"
    assert ecdsa.verify(curve, public, digest, r, s)
    assert not ecdsa.verify(curve, public, digest_of(name, b"other"), r, s)


@pytest.mark.parametrize("kind", CURVES)
@pytest.mark.parametrize("name", HASHES)
def test_signatures_of_the_library_verify(kind: str, name: str) -> None:
    signing, message = key(kind), b"what is signed"
    assert isinstance(signing, ec.EllipticCurvePrivateKey)
    r, s = decode_dss_signature(signing.sign(message, ec.ECDSA(HASHES[name])))
    assert ecdsa.verify(CURVES[kind], public_bytes(kind), digest_of(name, message), r, s)


NUMBERS = st.one_of(
    st.integers(-3, 3),
    st.integers(-3, 3).map(lambda near: P256.n + near),
    st.integers(-3, 3).map(lambda near: P256.p + near),
    st.integers(0, 2**257),
)


@given(NUMBERS, NUMBERS, st.sampled_from([bytes(32), b"\xff" * 32, b"\x01" * 48, KEY_P256[1:33]]))
def test_any_two_numbers_decide_as_in_the_library(r: int, s: int, digest: bytes) -> None:
    expected = min(r, s) >= 0 and library_says(P256, KEY_P256, digest, r, s)
    assert ecdsa.verify(P256, KEY_P256, digest, r, s) is expected


@given(st.integers(0, 64), st.integers(0, 7))
def test_any_bit_of_a_key_decides_as_in_the_library(byte: int, bit: int) -> None:
    _, message, name, r, s = RFC6979[0]
    public = bytearray(KEY_P256)
    public[byte] ^= 1 << bit
    digest = digest_of(name, message)
    expected = library_says(P256, bytes(public), digest, r, s)
    assert ecdsa.verify(P256, bytes(public), digest, r, s) is expected is False


def test_forged_ecdsa_is_refused() -> None:
    _, message, name, r, s = RFC6979[0]
    digest = digest_of(name, message)
    for wrong in ((0, 0), (r, 0), (0, s), (r, s + P256.n), (r + P256.n, s), (r, -s), (s, r)):
        assert not ecdsa.verify(P256, KEY_P256, digest, *wrong)
    off_the_curve = KEY_P256[:33] + bytes(32)
    infinity, compressed = b"\x00", b"\x03" + KEY_P256[1:33]
    for public in (off_the_curve, infinity, compressed, b"", KEY_P256 + b"\x00", KEY_P384):
        assert not ecdsa.verify(P256, public, digest, r, s)


def test_the_generator_as_a_key_and_sums_that_meet() -> None:
    """Keys G and -G: the table's sum is a doubling, or the point at infinity."""
    g = b"\x04" + P256.gx.to_bytes(32, "big") + P256.gy.to_bytes(32, "big")
    minus_g = b"\x04" + P256.gx.to_bytes(32, "big") + (P256.p - P256.gy).to_bytes(32, "big")
    for private, public in ((1, g), (P256.n - 1, minus_g)):
        signing = ec.derive_private_key(private, ec.SECP256R1())
        r, s = decode_dss_signature(signing.sign(b"m", ec.ECDSA(hashes.SHA256())))
        assert ecdsa.verify(P256, public, digest_of("sha256", b"m"), r, s)
    # u1 = u2 and key -G: the sum is infinity, which has no x.
    r = 5
    assert not ecdsa.verify(P256, minus_g, r.to_bytes(32, "big"), r, 1)


def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    found = key(f"rsa{bits}")
    assert isinstance(found, rsa.RSAPrivateKey)
    return found


def rsa_verify(name: str, message: bytes, signature: bytes, bits: int = 2048) -> bool:
    public = rsa_key(bits).public_key().public_numbers()
    return ours.verify(public.n, public.e, name, digest_of(name, message), signature)


@pytest.mark.parametrize("bits", [2048, 3072])
@pytest.mark.parametrize("name", HASHES)
def test_rsa_signatures_of_the_library_verify(name: str, bits: int) -> None:
    signature = rsa_key(bits).sign(b"m", padding.PKCS1v15(), HASHES[name])
    assert rsa_verify(name, b"m", signature, bits)
    assert not rsa_verify(name, b"n", signature, bits)
    other = "sha512" if name != "sha512" else "sha256"
    assert not rsa_verify(other, b"m", signature, bits)


@given(st.integers(0, 2047))
def test_any_bit_of_an_rsa_signature(bit: int) -> None:
    signature = bytearray(rsa_key().sign(b"m", padding.PKCS1v15(), hashes.SHA256()))
    signature[bit // 8] ^= 1 << bit % 8
    assert not rsa_verify("sha256", b"m", bytes(signature))


def _encoded(curve: Curve, point: tuple[int, int, int]) -> bytes:
    x, y, z = point
    inverse = pow(z, -1, curve.p)
    affine = (x * inverse**2 % curve.p, y * inverse**3 % curve.p)
    return b"\x04" + b"".join(number.to_bytes(curve.size, "big") for number in affine)


def _smallest(curve: Curve) -> tuple[int, int]:
    """The point with the smallest x that there is (p is 3 modulo 4)."""
    for x in range(1, 100):
        square = (x**3 - 3 * x + curve.b) % curve.p
        y = pow(square, (curve.p + 1) // 4, curve.p)
        if y * y % curve.p == square:
            return x, y
    raise AssertionError("no point with so small an x")


@pytest.mark.parametrize("name", CURVES)
def test_the_smallest_numbers_of_a_signature_count(name: str) -> None:
    """The public key is made for the signature: Q = (s R - z G) / r."""
    curve, digest = CURVES[name], digest_of("sha256", b"m")
    (r, y), s = _smallest(curve), 1
    z, inverse = int.from_bytes(digest, "big"), pow(r, -1, curve.n)
    made = ecdsa._double_scalar(curve, -z * inverse % curve.n, s * inverse % curve.n, (r, y, 1))
    public = _encoded(curve, made)
    library = {"p256": ec.SECP256R1, "p384": ec.SECP384R1}[name]()
    ec.EllipticCurvePublicKey.from_encoded_point(library, public).verify(
        encode_dss_signature(r, s), digest, ec.ECDSA(Prehashed(hashes.SHA256()))
    )
    assert ecdsa.verify(curve, public, digest, r, s)
    assert not ecdsa.verify(curve, public, digest, r, 0)
    assert not ecdsa.verify(curve, public, digest, 0, s)


def raw_rsa(encoded: bytes) -> bytes:
    private = rsa_key().private_numbers()
    number = pow(int.from_bytes(encoded, "big"), private.d, private.public_numbers.n)
    return number.to_bytes(256, "big")


INFO = bytes.fromhex("3031300d060960864801650304020105000420") + digest_of("sha256", b"m")
NO_NULL = bytes.fromhex("302f300b0609608648016503040201") + b"\x04\x20" + digest_of("sha256", b"m")
ENCODED = {
    "right": b"\x00\x01" + b"\xff" * 202 + b"\x00" + INFO,
    "padding cut and bytes behind (CVE-2006-4339)": b"\x00\x01"
    + b"\xff" * 8
    + b"\x00"
    + INFO
    + b"\xaa" * 194,
    "block type 2": b"\x00\x02" + b"\xff" * 202 + b"\x00" + INFO,
    "padding of zeros": b"\x00\x01" + bytes(203) + INFO,
    "no NULL in the digest's name": b"\x00\x01" + b"\xff" * 204 + b"\x00" + NO_NULL,
}


@pytest.mark.parametrize("case", ENCODED)
def test_only_the_one_encoding_is_accepted(case: str) -> None:
    assert len(ENCODED[case]) == 256
    assert rsa_verify("sha256", b"m", raw_rsa(ENCODED[case])) is (case == "right")


def test_rsa_numbers_out_of_bounds() -> None:
    signature = rsa_key().sign(b"m", padding.PKCS1v15(), hashes.SHA256())
    public = rsa_key().public_key().public_numbers()
    too_large = (int.from_bytes(signature, "big") + public.n).to_bytes(257, "big")
    for wrong in (too_large, too_large[1:], b"\x00" + signature, signature[1:], b"", b"\xff" * 256):
        assert not rsa_verify("sha256", b"m", wrong)
    digest = digest_of("sha256", b"m")
    for n, e in ((public.n, 1), (public.n, 2**32 + 1), (public.n - 1, 65537), (2**2047 // 2, 3)):
        assert not ours.usable(n, e)
        assert not ours.verify(n, e, "sha256", digest, signature)
    assert not ours.usable(1 << 9000 | 1, 65537)
