"""ECDSA signature verification on P-256 and P-384 in plain integers (FIPS 186-5, 6.4.2; SEC 1, 4.1.4).

Public data only: nothing here runs in constant time and nothing signs. As with every ECDSA, (r, n - s)
verifies where (r, s) does; whoever needs one form of a signature must not rely on its bytes.
"""

from dataclasses import dataclass
from typing import Final, TypeAlias

# Jacobian: x = X/Z^2, y = Y/Z^3; Z = 0 is the point at infinity.
_Point: TypeAlias = tuple[int, int, int]

_INFINITY: Final[_Point] = (1, 1, 0)

_UNCOMPRESSED: Final = b"\x04"


@dataclass(frozen=True, slots=True)
class Curve:
    """y^2 = x^3 - 3x + b over the integers modulo p; (gx, gy) has order n. `size`: bytes of p."""

    name: str
    size: int
    p: int
    b: int
    n: int
    gx: int
    gy: int


# SP 800-186, 3.2.1.3 and 3.2.1.4.
P256: Final = Curve(
    "P-256",
    32,
    0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF,
    0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B,
    0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)

P384: Final = Curve(
    "P-384",
    48,
    2**384 - 2**128 - 2**96 + 2**32 - 1,
    0xB3312FA7E23EE7E4988E056BE3F82D19181D9C6EFE8141120314088F5013875AC656398D8A2ED19D2A85C8EDD3EC2AEF,
    0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973,
    0xAA87CA22BE8B05378EB1C71EF320AD746E1D3B628BA79B9859F741E082542A385502F25DBF55296C3A545E3872760AB7,
    0x3617DE4A96262C6F5D9E98BF9292DC29F8F41DBD289A147CE9DA3113B5F0B8C00A60B1CE1D7E819D7A431D7C90EA0E5F,
)


def verify(curve: Curve, public_key: bytes, digest: bytes, r: int, s: int) -> bool:
    """Whether (r, s) is the key's signature over a digest; False for whatever is malformed.

    `public_key`: an uncompressed point (SEC 1, 2.3.3). A digest longer than n is cut to n's bits.
    """
    point = _decode(curve, public_key)
    if point is None or not (0 < r < curve.n and 0 < s < curve.n):
        return False
    excess = max(0, 8 * len(digest) - curve.n.bit_length())
    number = int.from_bytes(digest, "big") >> excess
    inverse = pow(s, -1, curve.n)
    x, _, z = _double_scalar(curve, number * inverse % curve.n, r * inverse % curve.n, point)
    if z == 0:
        return False
    return x * pow(z, -2, curve.p) % curve.p % curve.n == r


def _decode(curve: Curve, encoded: bytes) -> _Point | None:
    if len(encoded) != 1 + 2 * curve.size or encoded[:1] != _UNCOMPRESSED:
        return None
    x = int.from_bytes(encoded[1 : 1 + curve.size], "big")
    y = int.from_bytes(encoded[1 + curve.size :], "big")
    if x >= curve.p or y >= curve.p or (y * y - x * x * x + 3 * x - curve.b) % curve.p:
        return None
    return x, y, 1


def _double_scalar(curve: Curve, u: int, v: int, point: _Point) -> _Point:
    """[u]G + [v]point, both scalars walked together so that the doublings are shared."""
    base = (curve.gx, curve.gy, 1)
    addends = (_INFINITY, base, point, _add(curve.p, base, point))
    total = _INFINITY
    for bit in range(max(u.bit_length(), v.bit_length()) - 1, -1, -1):
        total = _double(curve.p, total)
        chosen = u >> bit & 1 | (v >> bit & 1) << 1
        if chosen:
            total = _add(curve.p, total, addends[chosen])
    return total


def _double(p: int, point: _Point) -> _Point:
    x, y, z = point
    if z == 0 or y == 0:
        return _INFINITY
    square, delta = y * y % p, z * z % p
    beta = x * square % p
    alpha = 3 * (x - delta) * (x + delta) % p
    x3 = (alpha * alpha - 8 * beta) % p
    return x3, (alpha * (4 * beta - x3) - 8 * square * square) % p, 2 * y * z % p


def _add(p: int, first: _Point, second: _Point) -> _Point:
    x1, y1, z1 = first
    x2, y2, z2 = second
    if z1 == 0:
        return second
    if z2 == 0:
        return first
    z1z1, z2z2 = z1 * z1 % p, z2 * z2 % p
    u1, u2 = x1 * z2z2 % p, x2 * z1z1 % p
    s1, s2 = y1 * z2 * z2z2 % p, y2 * z1 * z1z1 % p
    h, r = (u2 - u1) % p, (s2 - s1) % p
    if h == 0:
        return _double(p, first) if r == 0 else _INFINITY
    hh = h * h % p
    hhh, v = h * hh % p, u1 * hh % p
    x3 = (r * r - hhh - 2 * v) % p
    return x3, (r * (v - x3) - s1 * hhh) % p, z1 * z2 * h % p
