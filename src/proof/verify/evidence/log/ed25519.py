"""Ed25519 signature verification in plain integers (RFC 8032 section 5.1.7).

Public data only: nothing here runs in constant time and nothing signs.

The check is the cofactorless one, by bytes: encode([S]B - [k]A) must equal the signature's first
half. OpenSSL, and so `cryptography`, decides the same way; the cofactored check would accept
signatures that they refuse. Beyond OpenSSL, a public key must be encoded canonically. A key of
small order is not refused: keys come from the caller, who trusts them.
"""

from collections.abc import Callable
from functools import lru_cache
from hashlib import sha512
from typing import Final, TypeAlias

from proof.verify.errors import SignatureError

Ed25519Verify: TypeAlias = Callable[[bytes, bytes, bytes], bool]
"""(32-byte public key, message, 64-byte signature) -> True if the signature is valid.

Anything but True refuses, so that a function which forgets to answer cannot accept. Exceptions are
not caught.
"""


# A point is (X, Y, Z, T) with x = X/Z, y = Y/Z and T = XY/Z (RFC 8032 section 5.1.4).
_Point: TypeAlias = tuple[int, int, int, int]


_P: Final = 2**255 - 19

_L: Final = 2**252 + 27742317777372353535851937790883648493

_D: Final = -121665 * pow(121666, -1, _P) % _P

_2D: Final = 2 * _D % _P

_SQRT_MINUS_ONE: Final = pow(2, (_P - 1) // 4, _P)

_NEUTRAL: Final[_Point] = (0, 1, 1, 0)

_KEY_BYTES: Final = 32

_SIGNATURE_BYTES: Final = 64

_WINDOW_BITS: Final = 4


def _add(p: _Point, q: _Point) -> _Point:
    x1, y1, z1, t1 = p
    x2, y2, z2, t2 = q
    a = (y1 - x1) * (y2 - x2) % _P
    b = (y1 + x1) * (y2 + x2) % _P
    c = t1 * t2 % _P * _2D % _P
    d = 2 * z1 * z2 % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _double(p: _Point) -> _Point:
    x, y, z, _ = p
    a = x * x % _P
    b = y * y % _P
    h = a + b
    e = h - (x + y) ** 2 % _P
    g = a - b
    f = 2 * z * z % _P + g
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _recover_x(y: int, sign: int) -> int | None:
    """The x of the point with this y and this lowest bit (RFC 8032 section 5.1.3), if any."""
    u, v = (y * y - 1) % _P, (_D * y * y + 1) % _P
    x = u * pow(v, 3, _P) * pow(u * pow(v, 7, _P), (_P - 5) // 8, _P) % _P
    if v * x * x % _P == -u % _P:
        x = x * _SQRT_MINUS_ONE % _P
    if v * x * x % _P != u or (x == 0 and sign == 1):
        return None
    return x if x & 1 == sign else _P - x


def _decode(encoded: bytes) -> _Point | None:
    number = int.from_bytes(encoded, "little")
    sign, y = number >> 255, number & (2**255 - 1)
    if y >= _P:
        return None
    x = _recover_x(y, sign)
    return None if x is None else (x, y, 1, x * y % _P)


def _encode(p: _Point) -> bytes:
    x, y, z, _ = p
    inverse = pow(z, -1, _P)
    x, y = x * inverse % _P, y * inverse % _P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def _multiples(p: _Point) -> tuple[_Point, ...]:
    """0p, 1p, … 15p: one for each value of a window."""
    table = [_NEUTRAL]
    while len(table) < 1 << _WINDOW_BITS:
        table.append(_add(table[-1], p))
    return tuple(table)


def _base_point() -> _Point:
    y = 4 * pow(5, -1, _P) % _P
    x = _recover_x(y, 0)
    assert x is not None
    return x, y, 1, x * y % _P


_BASE_MULTIPLES: Final = _multiples(_base_point())


def _double_scalar(s: int, k: int, point: _Point) -> _Point:
    """[s]B + [k]point, both scalars walked together so that the doublings are shared."""
    table, total = _multiples(point), _NEUTRAL
    for shift in range(252, -1, -_WINDOW_BITS):
        if total is not _NEUTRAL:
            for _ in range(_WINDOW_BITS):
                total = _double(total)
        if digit := s >> shift & 15:
            total = _add(total, _BASE_MULTIPLES[digit])
        if digit := k >> shift & 15:
            total = _add(total, table[digit])
    return total


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """True if `signature` (64 bytes) is the key's (32 bytes) over `message`; False for any other.

    Refuses S >= L (a second signature made from a valid one), wrong lengths, and keys or points
    that are not encoded canonically.
    """
    return _verify(public_key, message, signature)


# All proofs of one round come with the same signatures, as many as a note may carry, and each takes
# milliseconds to check. The answer depends on nothing but these bytes.
@lru_cache(maxsize=64)
def _verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    if len(public_key) != _KEY_BYTES or len(signature) != _SIGNATURE_BYTES:
        return False
    key, s = _decode(public_key), int.from_bytes(signature[32:], "little")
    if key is None or s >= _L:
        return False
    digest = sha512(signature[:32] + public_key + message).digest()
    k = int.from_bytes(digest, "little") % _L
    x, y, z, t = key
    # Comparing encodings also refuses every R that is not canonical.
    return _encode(_double_scalar(s, k, (-x % _P, y, z, -t % _P))) == signature[:32]


def check(public_key: bytes, message: bytes, signature: bytes, verifier: Ed25519Verify) -> None:
    """Ask `verifier`; raise SignatureError unless it answers True."""
    if verifier(public_key, message, signature) is not True:
        raise SignatureError("the Ed25519 signature does not verify under the trusted key")
