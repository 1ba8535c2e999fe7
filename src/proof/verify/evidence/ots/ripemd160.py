"""RIPEMD-160, which not every OpenSSL offers, for the few `.ots` files that use it.

Source: Dobbertin, Bosselaers, Preneel, "RIPEMD-160: A Strengthened Version of RIPEMD" (1996), appendix A.
"""

from typing import Final

_BLOCK_BYTES: Final = 64

_MASK: Final = 0xFFFFFFFF

_START: Final = (0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0)

_LEFT_CONSTANTS: Final = (0, 0x5A827999, 0x6ED9EBA1, 0x8F1BBCDC, 0xA953FD4E)

_RIGHT_CONSTANTS: Final = (0x50A28BE6, 0x5C4DD124, 0x6D703EF3, 0x7A6D76E9, 0)


def _digits(text: str) -> tuple[int, ...]:
    return tuple(int(digit, 16) for digit in text)


_LEFT_WORDS: Final = _digits(
    "0123456789abcdef74d1a6f3c0952eb83ae49f812706db5c19ba08c4d37fe56240597c2ae138b6fd"
)

_RIGHT_WORDS: Final = _digits(
    "5e7092b4d6f81a3c6b370d5aef8c4912f5137e69b8c2a04d86413bf05c2d97aecfa4158762de039b"
)

_LEFT_SHIFTS: Final = _digits(
    "befc5879bdef6798768db97f7cf9b7dcbd67e9dfe8d65c75bcefef989e56865c9f5b68dc5cdeb856"
)

_RIGHT_SHIFTS: Final = _digits(
    "899bdff5778beec69df7c89b77c76fdb97fb866ecd5edd75f58bee6e69c9c5f885c9c5e68d65fdbb"
)


def ripemd160(data: bytes) -> bytes:
    """The 20-byte digest of `data`."""
    padded = data + b"\x80" + bytes((_BLOCK_BYTES - 9 - len(data)) % _BLOCK_BYTES)
    padded += (8 * len(data)).to_bytes(8, "little")
    state: tuple[int, ...] = _START
    for at in range(0, len(padded), _BLOCK_BYTES):
        words = [
            int.from_bytes(padded[at + 4 * word : at + 4 * word + 4], "little")
            for word in range(16)
        ]
        left = _line(state, words, _LEFT_WORDS, _LEFT_SHIFTS, _LEFT_CONSTANTS, 0)
        right = _line(state, words, _RIGHT_WORDS, _RIGHT_SHIFTS, _RIGHT_CONSTANTS, 4)
        state = tuple(
            (state[(n + 1) % 5] + left[(n + 2) % 5] + right[(n + 3) % 5]) & _MASK for n in range(5)
        )
    return b"".join(word.to_bytes(4, "little") for word in state)


def _line(
    state: tuple[int, ...],
    words: list[int],
    order: tuple[int, ...],
    shifts: tuple[int, ...],
    constants: tuple[int, ...],
    first_function: int,
) -> tuple[int, ...]:
    """One of the two parallel lines; the right one takes the functions in reverse."""
    a, b, c, d, e = state
    for step in range(80):
        group = step // 16
        mixed = _function(abs(first_function - group), b, c, d)
        total = (a + mixed + words[order[step]] + constants[group]) & _MASK
        shift = shifts[step]
        a, e, d = e, d, (c << 10 | c >> 22) & _MASK
        b, c = ((total << shift | total >> (32 - shift)) + a) & _MASK, b
    return a, b, c, d, e


def _function(number: int, x: int, y: int, z: int) -> int:
    match number:
        case 0:
            return x ^ y ^ z
        case 1:
            return x & y | ~x & z & _MASK
        case 2:
            return (x | ~y & _MASK) ^ z
        case 3:
            return x & z | y & ~z & _MASK
    return x ^ (y | ~z & _MASK)
