"""The transparency log's Merkle tree: inclusion and consistency of its roots.

Source: RFC 6962 section 2.1; the algorithms of RFC 9162 sections 2.1.3.2 and 2.1.4.2. Unlike the
tree of `proof.verify.merkle`, leaves and nodes are hashed under different prefixes and an odd node
is carried up unchanged.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from proof.verify.errors import (
    LogHashError,
    LogIndexError,
    LogSizeError,
    NewRootMismatchError,
    OldRootMismatchError,
    PathTooLongError,
    PathTooShortError,
)

EMPTY_ROOT: Final = sha256(b"").digest()

MAX_SIZE: Final = 2**63 - 1

_HASH_BYTES: Final = 32


def leaf_hash(entry: bytes) -> bytes:
    """The 32-byte hash of a log entry: SHA-256(0x00 || entry)."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The 32-byte hash of two 32-byte nodes: SHA-256(0x01 || left || right)."""
    return sha256(b"\x01" + left + right).digest()


def root_from_inclusion(index: int, size: int, leaf: bytes, path: Sequence[bytes]) -> bytes:
    """The root that an inclusion path leads to (RFC 9162 section 2.1.3.2).

    `index` counts from 0 in a log of `size` entries; `leaf` is `leaf_hash(entry)`; `path` holds the
    sibling hashes from the leaf upwards. The caller compares the root with one it trusts.

    Raises LogSizeError, LogIndexError, LogHashError, PathTooShortError, PathTooLongError.
    """
    _check_size(size)
    if not 0 <= index < size:
        raise LogIndexError(f"index {index} lies outside a log of {size} entries")
    _check_hashes(leaf, *path)
    # Up to the level where the entry and the log's last one are under one node, a bit of the index tells
    # the sibling's side; above it the entry is under the last node, whose siblings are all on the left.
    inner = (index ^ (size - 1)).bit_length()
    levels = inner + (index >> inner).bit_count()
    if len(path) > levels:
        raise PathTooLongError("the inclusion path goes on beyond the log's root")
    if len(path) < levels:
        raise PathTooShortError("the inclusion path ends below the log's root")
    root = leaf
    for level, sibling in enumerate(path):
        if level >= inner or index >> level & 1:
            root = sha256(b"\x01" + sibling + root).digest()
        else:
            root = sha256(b"\x01" + root + sibling).digest()
    return root


def verify_consistency(
    old_size: int, old_root: bytes, new_size: int, new_root: bytes, path: Sequence[bytes]
) -> None:
    """Establish that the newer log extends the older one (RFC 9162 section 2.1.4.2).

    Roots and path hashes are 32 bytes. Of equal sizes the roots must be equal and the path empty;
    every log extends the empty one, whose root is SHA-256 of nothing.

    Raises LogSizeError, LogHashError, PathTooShortError, PathTooLongError, OldRootMismatchError,
    NewRootMismatchError.
    """
    _check_size(old_size)
    _check_size(new_size)
    _check_hashes(old_root, new_root, *path)
    if old_size > new_size:
        raise LogSizeError(f"a log of {old_size} entries cannot have shrunk to {new_size}")
    if old_size in {0, new_size}:
        _check_without_path(old_size, old_root, new_size, new_root, path)
        return
    old, new = _roots_from_consistency(old_size, old_root, new_size, path)
    if old != old_root:
        raise OldRootMismatchError("the consistency path leads to another root for the older log")
    if new != new_root:
        raise NewRootMismatchError("the consistency path leads to another root for the newer log")


def _roots_from_consistency(
    old_size: int, old_root: bytes, new_size: int, path: Sequence[bytes]
) -> tuple[bytes, bytes]:
    """Both roots as the path gives them, for 0 < old_size < new_size."""
    position, last = old_size - 1, new_size - 1
    complete = _trailing_zeros(old_size)  # the older log ends in a complete subtree this high
    position, last = position >> complete, last >> complete
    steps = list(path)
    if position == 0:  # the older log is that subtree, so its root is left out of the path
        steps.insert(0, old_root)
    if not steps:
        raise PathTooShortError("the consistency path is empty")
    old = new = steps[0]
    for sibling in steps[1:]:
        if last == 0:
            raise PathTooLongError("the consistency path goes on beyond the newer log's root")
        if position & 1 or position == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            skipped = _trailing_zeros(position)
            position, last = position >> skipped, last >> skipped
        else:
            new = node_hash(new, sibling)
        position, last = position >> 1, last >> 1
    if last != 0:
        raise PathTooShortError("the consistency path ends below the newer log's root")
    return old, new


def _check_without_path(
    old_size: int, old_root: bytes, new_size: int, new_root: bytes, path: Sequence[bytes]
) -> None:
    if path:
        raise PathTooLongError("logs of equal sizes, or an empty older log, need no path")
    if old_size == 0 and old_root != EMPTY_ROOT:
        raise OldRootMismatchError("the root of an empty log is SHA-256 of nothing")
    if old_size == new_size and old_root != new_root:
        raise NewRootMismatchError("two logs of one size have different roots")


def _trailing_zeros(value: int) -> int:
    """How often `value` halves without remainder; 0 for 0, which stands for the leftmost node."""
    return (value & -value).bit_length() - 1 if value else 0


def _check_size(size: int) -> None:
    if not 0 <= size <= MAX_SIZE:
        raise LogSizeError(f"a log cannot have {size} entries")


def _check_hashes(*hashes: bytes) -> None:
    if set(map(len, hashes)) != {_HASH_BYTES}:
        raise LogHashError("a hash of the log has 32 bytes")
