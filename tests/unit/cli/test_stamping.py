"""proof stamp: chunks of hashes, and what is refused before anything is asked."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.middleman import Middleman
from tests.unit.cli.conftest import Proof

from proof.cli.proofs.stamping import chunks


@given(st.integers(0, 100), st.integers(1, 20))
def test_chunks_are_all_and_as_few_as_can_be(count: int, size: int) -> None:
    digests = [str(n) for n in range(count)]
    found = list(chunks(digests, size))
    assert [item for chunk in found for item in chunk] == digests
    assert len(found) == -(-count // size)
    assert all(len(chunk) <= size for chunk in found)


def test_the_largest_request_fits_its_limits() -> None:
    largest = next(iter(chunks(["a" * 64] * 25_000)))
    assert len(largest) == 10_000
    assert len(json.dumps({"sha256": largest})) <= 1024 * 1024


def test_the_only_file_is_named_when_it_cannot_be_read(proof: Proof) -> None:
    done = proof("stamp", "nofile")
    assert done.exit_code == 1
    assert "cannot read nofile: " in done.stderr
    assert "nothing to stamp could be read" in done.stderr


def test_nothing_to_stamp_asks_no_server(proof: Proof, stranger: Middleman) -> None:
    assert proof("stamp").exit_code == 2
    assert proof("stamp", "gone").exit_code == 1
    assert proof("stamp", "--sha256", "abc").exit_code == 2
    assert not stranger.asked


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("a", "a/b"), "would lie inside a folder"),
        (("a", "--manifest", "a/m.json"), "would lie inside a folder"),
        (("a", "--manifest", "a/../a/m.json"), "would lie inside a folder"),
        (("a", "c", "--manifest", "m.json"), "one folder"),
        (("file", "--manifest", "m.json"), "one folder"),
        (("/",), "give --manifest"),
    ],
)
def test_manifests_have_a_place_of_their_own(
    proof: Proof, stranger: Middleman, tmp_path: Path, arguments: tuple[str, ...], reason: str
) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "c").mkdir()
    (tmp_path / "file").write_bytes(b"")
    done = proof("stamp", *arguments)
    assert done.exit_code == 2
    assert reason in done.stderr
    assert not stranger.asked
