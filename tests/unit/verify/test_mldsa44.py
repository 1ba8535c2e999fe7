"""ML-DSA-44 verification: known answers, and what must be refused, as OpenSSL decides it."""

import random
from collections.abc import Callable, Iterator
from functools import cache
from hashlib import shake_256
from importlib.resources import files

import cryptography_vectors
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey
from hypothesis import given
from hypothesis import strategies as st

from proof.verify.errors import SignatureError
from proof.verify.evidence.log import mldsa44
from proof.verify.evidence.log.mldsa44 import verify

Q, GAMMA_1, GAMMA_2, BETA, OMEGA = 8_380_417, 1 << 17, 95_232, 78, 80
PRIVATE = MLDSA44PrivateKey.from_seed_bytes(bytes(range(32)))
PUBLIC = PRIVATE.public_key().public_bytes_raw()
MESSAGE = b"what is signed"
SIGNATURE = PRIVATE.sign(MESSAGE)


def openssl(public_key: bytes, message: bytes, signature: bytes, context: bytes = b"") -> bool:
    try:
        key = MLDSA44PublicKey.from_public_bytes(public_key)
        key.verify(signature, message, context)
    except (InvalidSignature, ValueError):
        return False
    return True


@cache
def known_answers() -> list[dict[str, bytes]]:
    source = files(cryptography_vectors) / "asymmetric/MLDSA/kat_MLDSA_44_det_pure.rsp"
    found: list[dict[str, bytes]] = []
    for line in source.read_text().splitlines():
        name, _, value = line.partition(" = ")
        if name == "count":
            found.append({})
        elif name in {"pk", "sk", "msg", "sm", "ctx"}:
            found[-1][name] = bytes.fromhex(value)
    return found


def test_known_answers_verify_and_nothing_near_them() -> None:
    assert len(known_answers()) == 100
    for answer in known_answers():
        key, message, context = answer["pk"], answer["msg"], answer["ctx"]
        signature = answer["sm"].removesuffix(message)
        assert verify(key, message, signature, context)
        assert not verify(key, message + b"\0", signature, context)


def test_the_context_is_signed_and_empty_by_default() -> None:
    signature = PRIVATE.sign(MESSAGE, b"context")
    assert verify(PUBLIC, MESSAGE, signature, b"context")
    assert not verify(PUBLIC, MESSAGE, signature)
    assert verify(PUBLIC, MESSAGE, SIGNATURE)
    assert not verify(PUBLIC, MESSAGE, SIGNATURE, b"\0")
    assert verify(PUBLIC, MESSAGE, PRIVATE.sign(MESSAGE, bytes(255)), bytes(255))
    assert not verify(PUBLIC, MESSAGE, SIGNATURE, bytes(256))


@pytest.mark.parametrize(
    ("key", "signature"),
    [
        (PUBLIC[:-1], SIGNATURE),
        (PUBLIC + b"\0", SIGNATURE),
        (PUBLIC, SIGNATURE[:-1]),
        (PUBLIC, SIGNATURE + b"\0"),
        (b"", SIGNATURE),
        (PUBLIC, b""),
        (SIGNATURE, PUBLIC),
    ],
)
def test_wrong_lengths_are_refused(key: bytes, signature: bytes) -> None:
    assert not verify(key, MESSAGE, signature)


@given(st.sampled_from(["key", "message", "signature"]), st.integers(0, 2**20), st.integers(0, 7))
def test_any_flipped_bit_is_refused_as_openssl_refuses_it(which: str, at: int, bit: int) -> None:
    parts = {"key": PUBLIC, "message": MESSAGE, "signature": SIGNATURE}
    altered = bytearray(parts[which])
    altered[at % len(altered)] ^= 1 << bit
    parts[which] = bytes(altered)
    assert not verify(*parts.values())
    assert not openssl(*parts.values())


@given(st.binary(min_size=2420, max_size=2420), st.binary(min_size=1312, max_size=1312))
def test_any_octets_are_refused(signature: bytes, key: bytes) -> None:
    assert not verify(key, MESSAGE, signature)


def test_one_key_that_did_not_sign_is_refused() -> None:
    other = MLDSA44PrivateKey.from_seed_bytes(bytes(32)).public_key().public_bytes_raw()
    assert not verify(other, MESSAGE, SIGNATURE)


def rows(signature: bytes) -> list[bytes]:
    hints, ends = signature[-84:-4], signature[-4:]
    return [hints[start:end] for start, end in zip((0, *ends[:3]), ends, strict=True)]


def with_hints(signature: bytes, changed: list[bytes], padding: bytes = b"") -> bytes:
    places = b"".join(changed)
    ends = bytes(sum(map(len, changed[: n + 1])) for n in range(4))
    return signature[:-84] + (places + padding).ljust(OMEGA, b"\0") + ends


def _swapped(signature: bytes) -> bytes:
    changed = rows(signature)
    row = max(changed, key=len)
    changed[changed.index(row)] = row[1:2] + row[:1] + row[2:]
    return with_hints(signature, changed)


def _repeated(signature: bytes) -> bytes:
    changed = rows(signature)
    row = max(changed, key=len)
    changed[changed.index(row)] = row[:1] + row
    return with_hints(signature, changed)


def _padded(signature: bytes) -> bytes:
    return with_hints(signature, rows(signature), padding=b"\x01")


def _padded_at_the_end(signature: bytes) -> bytes:
    return signature[:-5] + b"\x01" + signature[-4:]


def _falling(signature: bytes) -> bytes:
    """The second row ends before the first does, and the third begins where the second should end."""
    ends = signature[-4:]
    return signature[:-3] + bytes([ends[0] - 1]) + ends[2:]


def _beyond(signature: bytes) -> bytes:
    return signature[:-1] + bytes([OMEGA + 1])


HINTS: dict[str, Callable[[bytes], bytes]] = {
    "two places of a row swapped": _swapped,
    "a place twice": _repeated,
    "a place behind the last": _padded,
    "the last place used": _padded_at_the_end,
    "rows that end before they begin": _falling,
    "more than 80 places": _beyond,
}


@pytest.mark.parametrize("fault", HINTS)
def test_hints_have_one_encoding(fault: str) -> None:
    """Most of these say the same hints in another way, so that one signature would have many texts."""
    # The number of hints varies; one is taken that has two in some row and room for another.
    signature = next(made for made in signatures() if 5 <= made[-1] < OMEGA)
    assert with_hints(signature, rows(signature)) == signature
    altered = HINTS[fault](signature)
    assert altered != signature
    assert not verify(PUBLIC, MESSAGE, altered)
    assert not openssl(PUBLIC, MESSAGE, altered)


def test_all_eighty_places_may_be_used() -> None:
    places = bytes(range(100, 180))
    assert mldsa44._hints(places + bytes([80] * 4)) == [places, b"", b"", b""]
    assert mldsa44._hints(places + bytes([0, 40, 40, 80])) == [b"", places[:40], b"", places[40:]]
    assert mldsa44._hints(places + bytes([80, 80, 80, 81])) is None


def signatures() -> Iterator[bytes]:
    while True:
        yield PRIVATE.sign(MESSAGE)


class Careless:
    """Signs as FIPS 204 does with the private key of a known answer, without its check of the response."""

    def __init__(self) -> None:
        secret, self.public = known_answers()[0]["sk"], known_answers()[0]["pk"]
        numbers = [mldsa44._unpacked(part, 3) for part in mldsa44._parts(secret[128:896], 96)]
        small = [mldsa44._ntt([2 - value for value in vector]) for vector in numbers]
        self._s1, self._s2 = small[:4], small[4:]
        low = [mldsa44._unpacked(part, 13) for part in mldsa44._parts(secret[896:], 416)]
        self._t0 = [mldsa44._ntt([(1 << 12) - value for value in vector]) for vector in low]
        self._hashed, self._random = secret[64:128], random.Random(44)

    def sign(self, message: bytes, largest: int) -> bytes:
        """A signature whose response has `largest` as its largest coefficient."""
        mu = shake_256(self._hashed + b"\0\0" + message).digest(64)
        while True:
            made = self._attempt(mu, largest)
            if made is not None:
                return made

    def _attempt(self, mu: bytes, largest: int) -> bytes | None:
        bound = GAMMA_1 - 3 * BETA
        y = [[self._random.randint(-bound, bound) for _ in range(256)] for _ in range(4)]
        y[0][0] = largest
        matrix, hats = mldsa44._expanded(self.public).matrix, [mldsa44._ntt(part) for part in y]
        w = [_sum(*map(_product, row, hats)) for row in matrix]
        commitment = b"".join(mldsa44._high_parts(row, b"") for row in w)
        challenge = shake_256(mu + commitment).digest(32)
        c = mldsa44._ntt(mldsa44._challenge(challenge))
        z = [
            _centred(_plus(part, _product(c, secret)))
            for part, secret in zip(y, self._s1, strict=True)
        ]
        if max(abs(value) for part in z for value in part) != largest:
            return None
        rest = [_minus(row, _product(c, s)) for row, s in zip(w, self._s2, strict=True)]
        if any(
            mldsa44._high_parts(a, b"") != mldsa44._high_parts(b, b"")
            for a, b in zip(w, rest, strict=True)
        ):
            return None
        approximate = [_plus(row, _product(c, t)) for row, t in zip(rest, self._t0, strict=True)]
        hints = [
            bytes(place for place in range(256) if _high(a[place]) != _high(b[place]))
            for a, b in zip(rest, approximate, strict=True)
        ]
        if sum(map(len, hints)) > OMEGA:
            return None
        packed = b"".join(_packed([GAMMA_1 - value for value in part]) for part in z)
        return with_hints(challenge + packed + bytes(84), hints)


def _product(a: list[int], b: list[int]) -> list[int]:
    """Of two transformed vectors, transformed back."""
    return mldsa44._inverse_ntt([p * q % Q for p, q in zip(a, b, strict=True)])


def _sum(*vectors: list[int]) -> list[int]:
    return [sum(column) % Q for column in zip(*vectors, strict=True)]


def _plus(a: list[int], b: list[int]) -> list[int]:
    return _sum(a, b)


def _minus(a: list[int], b: list[int]) -> list[int]:
    return _sum(a, [-value for value in b])


def _centred(vector: list[int]) -> list[int]:
    return [value - Q if value > Q // 2 else value for value in vector]


def _high(value: int) -> int:
    """FIPS 204 algorithm 36, as it reads."""
    low = value % (2 * GAMMA_2)
    if low > GAMMA_2:
        low -= 2 * GAMMA_2
    return 0 if value - low == Q - 1 else (value - low) // (2 * GAMMA_2)


def _packed(vector: list[int]) -> bytes:
    number = sum(value << 18 * index for index, value in enumerate(vector))
    return number.to_bytes(576, "little")


@pytest.mark.parametrize(
    ("largest", "valid"), [(GAMMA_1 - BETA - 1, True), (GAMMA_1 - BETA, False)]
)
def test_a_response_is_less_than_its_bound(largest: int, valid: bool) -> None:
    careless = Careless()
    signature = careless.sign(MESSAGE, largest)
    assert verify(careless.public, MESSAGE, signature) is valid
    assert openssl(careless.public, MESSAGE, signature) is valid


def test_high_parts_are_rounded_as_the_standard_says() -> None:
    edges = [n * GAMMA_2 + d for n in range(89) for d in (-1, 0, 1)]
    values = [value for value in edges if 0 <= value < Q]
    vector = (values + [0] * 256)[:256]
    raw = mldsa44._high_parts(vector, b"")
    number = int.from_bytes(raw, "little")
    assert [number >> 6 * n & 63 for n in range(256)] == [_high(value) for value in vector]


def test_transforms_are_inverse_and_multiply() -> None:
    chosen = random.Random(1)
    a, b = ([chosen.randrange(Q) for _ in range(256)] for _ in range(2))
    assert mldsa44._inverse_ntt(mldsa44._ntt(a)) == a
    product = [0] * 256
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            product[(i + j) % 256] += x * y if i + j < 256 else -x * y
    assert _product(mldsa44._ntt(a), mldsa44._ntt(b)) == [value % Q for value in product]


def test_a_long_output_is_squeezed_on() -> None:
    octets = mldsa44._squeezed(shake_256(b"seed"), 3)
    assert bytes(next(octets) for _ in range(50)) == shake_256(b"seed").digest(50)


@pytest.mark.parametrize("answer", [False, None, 0, "yes", 1])
def test_only_true_accepts(answer: object) -> None:
    with pytest.raises(SignatureError, match="ML-DSA-44"):
        mldsa44.check(PUBLIC, MESSAGE, SIGNATURE, lambda *_: answer)  # type: ignore[arg-type]
    mldsa44.check(PUBLIC, MESSAGE, SIGNATURE, verify)
