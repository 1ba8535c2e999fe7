"""ML-DSA-44 signature verification in plain integers (FIPS 204, algorithms 3 and 8, external and pure).

Public data only: nothing here runs in constant time and nothing signs.

Vectors are lists of 256 coefficients. After a transform they stand in the order of FIPS 204's NTT.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from hashlib import shake_128, shake_256
from operator import add, mul, sub
from typing import Any, Final, NamedTuple, TypeAlias

from proof.verify.errors import SignatureError

Mldsa44Verify: TypeAlias = Callable[[bytes, bytes, bytes], bool]
"""(1312-byte public key, message, 2420-byte signature) -> True if the signature is valid, with an empty
context. Anything but True refuses. Exceptions are not caught."""

_Vector: TypeAlias = list[int]

PUBLIC_KEY_BYTES: Final = 1312

SIGNATURE_BYTES: Final = 2420

_MAX_CONTEXT_BYTES: Final = 255

# FIPS 204, table 1.
_Q: Final = 8_380_417

_N: Final = 256

_HALF: Final = _N // 2

_D: Final = 13

_TAU: Final = 39

_GAMMA_1: Final = 1 << 17

_GAMMA_2: Final = (_Q - 1) // 88

_K: Final = 4

_L: Final = 4

_BETA: Final = 78

_OMEGA: Final = 80

_CHALLENGE_BYTES: Final = 32

_SEED_BYTES: Final = 32

_Z_BITS: Final = 18

_T1_BITS: Final = 10

_Z_BYTES: Final = _N * _Z_BITS // 8

_T1_BYTES: Final = _N * _T1_BITS // 8

_HIGH_PARTS: Final = (_Q - 1) // (2 * _GAMMA_2)  # 44, of which each takes 6 bits

_ROOT_OF_UNITY: Final = 1753


def _layers() -> list[_Vector]:
    """The factors of each layer of the transform, in the order in which `_ntt` meets them."""
    reversed_bits = [int(f"{index:08b}"[::-1], 2) for index in range(_N)]
    powers = [pow(_ROOT_OF_UNITY, exponent, _Q) for exponent in reversed_bits]
    return [
        [powers[blocks + (place & (blocks - 1))] for place in range(_HALF)]
        for blocks in (1 << layer for layer in range(8))
    ]


_FACTORS: Final = _layers()

_INVERSE_FACTORS: Final = [
    [pow(factor, -1, _Q) for factor in factors] for factors in reversed(_FACTORS)
]

_INVERSE_OF_N: Final = pow(_N, -1, _Q)


def _ntt(vector: _Vector) -> _Vector:
    """FIPS 204 algorithm 41; coefficients come out within 9q of 0.

    Each layer pairs the halves and interleaves what they give. That rotates a coefficient's index by a bit,
    so all layers have one shape, and after the eighth every coefficient is in its place.
    """
    for factors in _FACTORS:
        low = vector[:_HALF]
        high = [value % _Q for value in map(mul, factors, vector[_HALF:])]
        vector = [0] * _N
        vector[::2] = map(add, low, high)
        vector[1::2] = map(sub, low, high)
    return vector


def _inverse_ntt(vector: _Vector) -> _Vector:
    """FIPS 204 algorithm 42; coefficients from 0 to q - 1."""
    for factors in _INVERSE_FACTORS:
        even, odd = vector[::2], vector[1::2]
        high = [value % _Q for value in map(mul, factors, map(sub, even, odd))]
        vector = [*map(add, even, odd), *high]
    return [value * _INVERSE_OF_N % _Q for value in vector]


def _unpacked(raw: bytes, bits: int) -> _Vector:
    """256 numbers of so many bits each, the lowest bits first."""
    number, mask = int.from_bytes(raw, "little"), (1 << bits) - 1
    return [number >> shift & mask for shift in range(0, _N * bits, bits)]


def _parts(raw: bytes, length: int) -> list[bytes]:
    return [raw[start : start + length] for start in range(0, len(raw), length)]


class _Key(NamedTuple):
    """What every signature of one key needs: `matrix`, and `t1` times -2^13, transformed; `hashed`, tr."""

    matrix: list[list[_Vector]]
    t1: list[_Vector]
    hashed: bytes


# A witness's key comes with every checkpoint, and expanding it costs as much as one signature.
@lru_cache(maxsize=16)
def _expanded(public_key: bytes) -> _Key:
    rho, packed = public_key[:_SEED_BYTES], public_key[_SEED_BYTES:]
    matrix = [[_uniform(rho + bytes([s, r])) for s in range(_L)] for r in range(_K)]
    t1 = [
        _ntt([-(value << _D) % _Q for value in _unpacked(part, _T1_BITS)])
        for part in _parts(packed, _T1_BYTES)
    ]
    return _Key(matrix, t1, shake_256(public_key).digest(64))


def _uniform(seed: bytes) -> _Vector:
    """FIPS 204 algorithm 30: the first 256 numbers below q that the seed gives, three bytes each."""
    octets = _squeezed(shake_128(seed), 840)  # five blocks, which hold 280 numbers
    found: _Vector = []
    while len(found) < _N:
        number = next(octets) | next(octets) << 8 | (next(octets) & 0x7F) << 16
        if number < _Q:
            found.append(number)
    return found


def _squeezed(shake: Any, length: int) -> Iterator[int]:
    """The octets of an extendable output, without end; `length` of them are made at first."""
    known = 0
    while True:
        yield from shake.digest(length)[known:]
        known, length = length, 2 * length


def _challenge(seed: bytes) -> _Vector:
    """FIPS 204 algorithm 29: 39 coefficients of 1 or -1 among zeros."""
    octets = _squeezed(shake_256(seed), 136)
    signs = int.from_bytes(bytes(next(octets) for _ in range(8)), "little")
    vector = [0] * _N
    for place in range(_N - _TAU, _N):
        other = next(octet for octet in octets if octet <= place)
        vector[place] = vector[other]
        vector[other] = -1 if signs & 1 else 1
        signs >>= 1
    return vector


def _hints(raw: bytes) -> list[bytes] | None:
    """FIPS 204 algorithm 21: the places of each row's hints, or None where they have another encoding."""
    places, ends = raw[:_OMEGA], raw[_OMEGA:]
    rows, start = [], 0
    for end in ends:
        row = places[start:end]
        if not start <= end <= _OMEGA or any(map(_not_ascending, row, row[1:])):
            return None
        rows.append(row)
        start = end
    return None if any(places[start:]) else rows


def _not_ascending(before: int, after: int) -> bool:
    return before >= after


def _high_parts(vector: _Vector, hints: bytes) -> bytes:
    """FIPS 204 algorithms 40 and 28: a row's high parts, put right by its hints, in 6 bits each."""
    high = [(value + _GAMMA_2 - 1) // (2 * _GAMMA_2) for value in vector]
    for place in hints:
        high[place] += 1 if vector[place] > high[place] * 2 * _GAMMA_2 else -1
    high = [value % _HIGH_PARTS for value in high]
    fours = zip(high[::4], high[1::4], high[2::4], high[3::4], strict=True)
    return b"".join((a | b << 6 | c << 12 | d << 18).to_bytes(3, "little") for a, b, c, d in fours)


def verify(public_key: bytes, message: bytes, signature: bytes, context: bytes = b"") -> bool:
    """True if `signature` (2420 bytes) is the key's (1312 bytes) over `message`; False for any other.

    `context`: at most 255 bytes. Refuses wrong lengths, a response that is too large, and hints that are
    not in their one encoding.
    """
    lengths = (len(public_key), len(signature))
    if lengths != (PUBLIC_KEY_BYTES, SIGNATURE_BYTES) or len(context) > _MAX_CONTEXT_BYTES:
        return False
    return _verify(public_key, bytes([0, len(context)]) + context + message, signature)


# All proofs of one round come with the same signatures, as many as a note may carry. The answer depends on
# nothing but these bytes.
@lru_cache(maxsize=64)
def _verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    challenge, response = signature[:_CHALLENGE_BYTES], signature[_CHALLENGE_BYTES:]
    z = [
        [_GAMMA_1 - value for value in _unpacked(part, _Z_BITS)]
        for part in _parts(response[: _L * _Z_BYTES], _Z_BYTES)
    ]
    hints = _hints(response[_L * _Z_BYTES :])
    if hints is None or max(abs(value) for part in z for value in part) >= _GAMMA_1 - _BETA:
        return False
    key = _expanded(public_key)
    commitment = shake_256(shake_256(key.hashed + message).digest(64))
    for row, row_hints in zip(_rows(key, z, challenge), hints, strict=True):
        commitment.update(_high_parts(row, row_hints))
    return commitment.digest(_CHALLENGE_BYTES) == challenge


def _rows(key: _Key, z: list[_Vector], challenge: bytes) -> Iterator[_Vector]:
    """The rows of Az - c t1 2^13."""
    z0, z1, z2, z3 = map(_ntt, z)
    c = _ntt(_challenge(challenge))
    for (a0, a1, a2, a3), t in zip(key.matrix, key.t1, strict=True):
        columns = zip(a0, z0, a1, z1, a2, z2, a3, z3, c, t, strict=True)
        yield _inverse_ntt(
            [
                (p0 * q0 + p1 * q1 + p2 * q2 + p3 * q3 + p4 * q4) % _Q
                for p0, q0, p1, q1, p2, q2, p3, q3, p4, q4 in columns
            ]
        )


def check(public_key: bytes, message: bytes, signature: bytes, verifier: Mldsa44Verify) -> None:
    """Ask `verifier`; raise SignatureError unless it answers True."""
    if verifier(public_key, message, signature) is not True:
        raise SignatureError("the ML-DSA-44 signature does not verify under the trusted key")
