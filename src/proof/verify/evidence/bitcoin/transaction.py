"""A Bitcoin transaction, as far as carrying a root goes.

Sources: the Bitcoin developer reference, "Raw Transaction Format"; BIP 144 (witnesses).
"""

from dataclasses import dataclass
from typing import Final

from proof.verify.errors import (
    InnerNodeError,
    RootOutputError,
    TransactionFormatError,
    TransactionTooLargeError,
)
from proof.verify.evidence.bitcoin.header import double_sha256

MAX_TRANSACTION_BYTES: Final = 100_000  # what nodes relay: 400,000 weight units

MAX_INPUTS: Final = 2_000

MAX_OUTPUTS: Final = 2_000

NODE_BYTES: Final = 64


_OP_RETURN: Final = 0x6A

_PUSH_ROOT: Final = b"\x6a\x20"

_PUSH_ROOTS: Final = b"\x6a\x40"

_ROOT_BYTES: Final = 32

_MAX_MONEY: Final = 21_000_000 * 100_000_000

_TWO_BYTES, _FOUR_BYTES = 0xFD, 0xFE

_LEAST: Final = {2: 0xFD, 4: 0x10000, 8: 0x100000000}


@dataclass(frozen=True, slots=True)
class Anchor:
    """A transaction that carries a root, and perhaps a plain root behind it.

    `stripped` is its form without witnesses, whose double SHA-256 is `txid`; the root stands there at
    `root_at`. `plain_root`: the 32 bytes after it, or None where the output carries the root alone.
    """

    txid: bytes
    stripped: bytes
    root_at: int
    plain_root: bytes | None


def read_anchor(raw: bytes, root: bytes) -> Anchor:
    """Read a transaction, with or without witnesses, whose only OP_RETURN output carries `root`: exactly
    that, or that and 32 bytes more, the plain root.

    Raises TransactionTooLargeError, TransactionFormatError, InnerNodeError, RootOutputError. Not
    checked: signatures, amounts, other scripts; that a block holds it says that they were right.
    """
    if len(raw) > MAX_TRANSACTION_BYTES:
        raise TransactionTooLargeError(
            f"the transaction is longer than {MAX_TRANSACTION_BYTES} bytes"
        )
    stripped, scripts = _stripped_and_scripts(raw)
    if len(stripped) == NODE_BYTES:
        raise InnerNodeError("a transaction of 64 bytes could as well be two hashes side by side")
    carriers = [at for at, end in scripts if at < end and stripped[at] == _OP_RETURN]
    if len(carriers) != 1:
        raise RootOutputError(f"the transaction has {len(carriers)} OP_RETURN outputs instead of 1")
    (at,) = carriers
    script = next(stripped[begin:end] for begin, end in scripts if begin == at)
    return Anchor(double_sha256(stripped), stripped, at + 2, _plain_root(script, root))


def _plain_root(script: bytes, root: bytes) -> bytes | None:
    """What an OP_RETURN output carries behind the root. Raises RootOutputError."""
    carried, plain_root = script[2 : 2 + _ROOT_BYTES], script[2 + _ROOT_BYTES :]
    lone = script[:2] == _PUSH_ROOT and len(script) == 2 + _ROOT_BYTES
    if not lone and not (script[:2] == _PUSH_ROOTS and len(script) == 2 + 2 * _ROOT_BYTES):
        raise RootOutputError(
            "the OP_RETURN output carries neither exactly 32 bytes nor exactly 64"
        )
    if carried != root and plain_root == root:
        raise RootOutputError("the OP_RETURN output carries the root where the plain root stands")
    if carried != root:
        raise RootOutputError("the OP_RETURN output carries another root")
    return plain_root or None


def is_transaction_of_64_bytes(node: bytes) -> bool:
    """Whether two hashes side by side also read as a transaction: one input, one output, 4 bytes left.

    A transaction like that lets a forged leaf hang below a real one. Two hashes look like one by chance
    once in 2^43.
    """
    if len(node) != NODE_BYTES or node[4] != 1 or node[41] > 4:
        return False
    at = 42 + node[41] + 4
    return (
        node[at] == 1
        and node[at + 9] == 4 - node[41]
        and int.from_bytes(node[at + 1 : at + 9], "little") <= _MAX_MONEY
    )


def _stripped_and_scripts(raw: bytes) -> tuple[bytes, list[tuple[int, int]]]:
    """The form without witnesses, and where in it the output scripts begin and end."""
    witnessed = raw[4:6] == b"\x00\x01"
    begin = 6 if witnessed else 4
    inputs, at = _compact(raw, begin)
    if not 0 < inputs <= MAX_INPUTS:
        raise TransactionTooLargeError(
            f"the transaction has {inputs} inputs, not 1 to {MAX_INPUTS}"
        )
    for _ in range(inputs):
        size, at = _compact(raw, at + 36)
        at += size + 4
    outputs, at = _compact(raw, at)
    if not 0 < outputs <= MAX_OUTPUTS:
        raise TransactionTooLargeError(
            f"the transaction has {outputs} outputs, not 1 to {MAX_OUTPUTS}"
        )
    scripts = []
    moved = begin - 4
    for _ in range(outputs):
        size, at = _compact(raw, at + 8)
        scripts.append((at - moved, at - moved + size))
        at += size
    end = _skip_witnesses(raw, at, inputs) if witnessed else at
    if end + 4 != len(raw):
        raise TransactionFormatError("the transaction ends too early or goes on beyond its end")
    return (raw[:4] + raw[6:at] + raw[end:], scripts) if witnessed else (raw, scripts)


def _skip_witnesses(raw: bytes, at: int, inputs: int) -> int:
    seen = 0
    for _ in range(inputs):
        items, at = _compact(raw, at)
        seen += items
        if items > len(raw):  # each takes a byte at least
            raise TransactionFormatError("a witness has more items than the transaction has bytes")
        for _ in range(items):
            size, at = _compact(raw, at)
            at += size
    if not seen:
        raise TransactionFormatError("the transaction is marked as having witnesses and has none")
    return at


def _compact(raw: bytes, at: int) -> tuple[int, int]:
    """A number as transactions count with, and where it ends. Only its shortest form is one."""
    if at >= len(raw):
        raise TransactionFormatError("the transaction ends too early")
    first = raw[at]
    if first < _TWO_BYTES:
        return first, at + 1
    size = 2 if first == _TWO_BYTES else 4 if first == _FOUR_BYTES else 8
    value = int.from_bytes(raw[at + 1 : at + 1 + size], "little")
    if at + 1 + size > len(raw) or value < _LEAST[size]:
        raise TransactionFormatError(
            "a number in the transaction is cut or not in its shortest form"
        )
    return value, at + 1 + size
