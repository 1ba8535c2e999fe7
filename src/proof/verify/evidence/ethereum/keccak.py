"""Keccak-256 as Ethereum uses it: the submission to SHA-3 with its first padding, not FIPS 202.

Source: the Keccak reference, version 3.0 (2011), sections 1.2 and 1.3. For addresses and other short
input; it makes no claim to speed, nor to constant time.
"""

from functools import lru_cache

_RATE_BYTES = 136

_MASK = (1 << 64) - 1

_ROUNDS = 24


def keccak_256(data: bytes) -> bytes:
    """The 32-byte digest of `data`."""
    return _sponge(data, 0x01)


# A proof takes milliseconds of this, and those of one receipt lead to the same blocks, mostly.
@lru_cache(maxsize=128)
def block_part_hash(part: bytes) -> bytes:
    """`keccak_256` of a block's header, of a node of its trie or of a transaction, remembered."""
    return keccak_256(part)


def _sponge(data: bytes, suffix: int) -> bytes:
    """`suffix` is the first byte of the padding; FIPS 202 has 0x06 where Ethereum has 0x01."""
    padded = bytearray(data) + bytes(_RATE_BYTES - len(data) % _RATE_BYTES)
    padded[len(data)] ^= suffix
    padded[-1] ^= 0x80
    lanes = [0] * 25
    for start in range(0, len(padded), _RATE_BYTES):
        block = padded[start : start + _RATE_BYTES]
        for lane in range(_RATE_BYTES // 8):
            lanes[lane] ^= int.from_bytes(block[8 * lane : 8 * lane + 8], "little")
        _permute(lanes)
    return b"".join(lane.to_bytes(8, "little") for lane in lanes[:4])


def _permute(lanes: list[int]) -> None:
    """Keccak-f[1600] in place; lane (x, y) is at x + 5y."""
    for constant in _ROUND_CONSTANTS:
        columns = [
            lanes[x] ^ lanes[x + 5] ^ lanes[x + 10] ^ lanes[x + 15] ^ lanes[x + 20]
            for x in range(5)
        ]
        turned = [(lane << 1 | lane >> 63) & _MASK for lane in columns]
        theta = [columns[x - 1] ^ turned[(x + 1) % 5] for x in range(5)]
        moved = [0] * 25
        for at, column, to, left in _MOVES:
            lane = lanes[at] ^ theta[column]
            moved[to] = (lane << left | lane >> (64 - left)) & _MASK
        for row in range(0, 25, 5):
            a, b, c, d, e = moved[row : row + 5]
            lanes[row : row + 5] = a ^ ~b & c, b ^ ~c & d, c ^ ~d & e, d ^ ~e & a, e ^ ~a & b
        lanes[0] ^= constant


def _moves() -> list[tuple[int, int, int, int]]:
    """Each lane and its column, where rho and pi take it, and how far it is rotated on the way."""
    offsets, x, y = {(0, 0): 0}, 1, 0
    for step in range(24):
        offsets[x, y] = (step + 1) * (step + 2) // 2 % 64
        x, y = y, (2 * x + 3 * y) % 5
    return [
        (at, at % 5, at // 5 + 5 * ((2 * (at % 5) + 3 * (at // 5)) % 5), offsets[at % 5, at // 5])
        for at in range(25)
    ]


def _round_constants() -> list[int]:
    """Bits 2^j - 1 of each constant come from the register x^8 + x^6 + x^5 + x^4 + 1."""
    constants, register = [], 1
    for _ in range(_ROUNDS):
        constant = 0
        for power in range(7):
            if register & 1:
                constant |= 1 << ((1 << power) - 1)
            register = (register << 1) ^ (0x171 if register & 0x80 else 0)
        constants.append(constant)
    return constants


_MOVES = _moves()

_ROUND_CONSTANTS = _round_constants()
