"""The log's tree against the recursion of RFC 6962, for every shape of small logs."""

from hashlib import sha256

import pytest
from tests.support import signer

from proof.verify import errors, root_from_inclusion, verify_consistency
from proof.verify.evidence.log import rfc6962

LEAVES = [rfc6962.leaf_hash(b"entry %d" % n) for n in range(70)]
ROOTS = [signer.log_root(LEAVES[:size]) for size in range(len(LEAVES) + 1)]


def test_hashes_are_prefixed() -> None:
    assert rfc6962.leaf_hash(b"a") == sha256(b"\x00a").digest()
    assert rfc6962.node_hash(b"l", b"r") == sha256(b"\x01lr").digest()
    assert sha256(b"").digest() == rfc6962.EMPTY_ROOT


def test_known_roots_of_the_certificate_transparency_test_tree() -> None:
    """Roots of the eight inputs that the reference implementations share."""
    inputs = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657"]
    inputs.append("606162636465666768696a6b6c6d6e6f")
    hashes = [rfc6962.leaf_hash(bytes.fromhex(text)) for text in inputs]
    root = root_from_inclusion(5, 8, hashes[5], signer.inclusion_path(5, hashes))
    assert root.hex() == "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"


def test_inclusion_of_every_entry_in_every_size() -> None:
    for size in range(1, len(LEAVES) + 1):
        for index in range(size):
            path = signer.inclusion_path(index, LEAVES[:size])
            assert root_from_inclusion(index, size, LEAVES[index], path) == ROOTS[size]


def test_inclusion_path_of_another_length_is_refused() -> None:
    for size in range(1, 40):
        for index in range(size):
            path = signer.inclusion_path(index, LEAVES[:size])
            with pytest.raises(errors.PathTooLongError):
                root_from_inclusion(index, size, LEAVES[index], [*path, LEAVES[0]])
            if path:
                with pytest.raises(errors.PathTooShortError):
                    root_from_inclusion(index, size, LEAVES[index], path[:-1])


def test_inclusion_at_another_index_never_gives_the_root() -> None:
    for size in range(2, 40):
        path = signer.inclusion_path(1, LEAVES[:size])
        for index in set(range(size)) - {1}:
            try:
                assert root_from_inclusion(index, size, LEAVES[1], path) != ROOTS[size]
            except (errors.PathTooShortError, errors.PathTooLongError):
                continue


@pytest.mark.parametrize("index", [-1, 3, 2**63])
def test_index_outside_the_log_is_refused(index: int) -> None:
    with pytest.raises(errors.LogIndexError):
        root_from_inclusion(index, 3, LEAVES[0], [])


@pytest.mark.parametrize("size", [-1, 2**63])
def test_impossible_sizes_are_refused(size: int) -> None:
    with pytest.raises(errors.LogSizeError):
        root_from_inclusion(0, size, LEAVES[0], [])
    with pytest.raises(errors.LogSizeError):
        verify_consistency(size, ROOTS[1], 5, ROOTS[5], [])
    with pytest.raises(errors.LogSizeError):
        verify_consistency(1, ROOTS[1], size, ROOTS[5], [])


def test_hashes_of_another_length_are_refused() -> None:
    with pytest.raises(errors.LogHashError):
        root_from_inclusion(0, 2, LEAVES[0], [b"short"])
    with pytest.raises(errors.LogHashError):
        root_from_inclusion(0, 1, b"", [])
    with pytest.raises(errors.LogHashError):
        verify_consistency(1, ROOTS[1][:31], 1, ROOTS[1][:31], [])


def test_consistency_of_every_pair_of_sizes() -> None:
    for new in range(1, len(LEAVES) + 1):
        for old in range(1, new + 1):
            path = signer.consistency_path(old, LEAVES[:new])
            verify_consistency(old, ROOTS[old], new, ROOTS[new], path)


def test_every_log_extends_the_empty_one() -> None:
    verify_consistency(0, rfc6962.EMPTY_ROOT, 0, rfc6962.EMPTY_ROOT, [])
    verify_consistency(0, rfc6962.EMPTY_ROOT, 9, ROOTS[9], [])
    with pytest.raises(errors.OldRootMismatchError):
        verify_consistency(0, ROOTS[1], 9, ROOTS[9], [])


def test_shrunken_log_is_refused() -> None:
    with pytest.raises(errors.LogSizeError):
        verify_consistency(9, ROOTS[9], 8, ROOTS[8], [])


def test_split_view_of_one_size_is_refused() -> None:
    with pytest.raises(errors.NewRootMismatchError):
        verify_consistency(9, ROOTS[9], 9, ROOTS[8], [])


def test_consistency_path_of_another_length_is_refused() -> None:
    for new in range(2, 40):
        for old in range(1, new):
            path = signer.consistency_path(old, LEAVES[:new])
            with pytest.raises(errors.PathTooLongError):
                verify_consistency(old, ROOTS[old], new, ROOTS[new], [*path, LEAVES[0]])
            with pytest.raises(errors.PathTooShortError):
                verify_consistency(old, ROOTS[old], new, ROOTS[new], path[:-1])
    for old in (0, 7):
        with pytest.raises(errors.PathTooLongError):
            verify_consistency(old, ROOTS[old], 7, ROOTS[7], [LEAVES[0]])


def test_rewritten_history_is_refused() -> None:
    """An entry altered after the older root was seen, with an honest path of the new log."""
    for new in range(2, 40):
        for old in range(1, new):
            forged = [rfc6962.leaf_hash(b"forged"), *LEAVES[1:new]]
            path = signer.consistency_path(old, forged)
            with pytest.raises((errors.OldRootMismatchError, errors.NewRootMismatchError)):
                verify_consistency(old, ROOTS[old], new, signer.log_root(forged), path)


def test_another_new_root_is_refused() -> None:
    path = signer.consistency_path(5, LEAVES[:9])
    with pytest.raises(errors.NewRootMismatchError):
        verify_consistency(5, ROOTS[5], 9, ROOTS[8], path)
