"""Ids that rows are made with."""

from uuid import RFC_4122, UUID

import msgspec

from proof.db import random_id

COUNT = 2_000


def test_they_are_random_uuids_of_version_4() -> None:
    made = [random_id() for _ in range(COUNT)]
    assert {(each.version, each.variant) for each in made} == {(4, RFC_4122)}
    assert len(set(made)) == COUNT
    # Each of the 122 bits that are not fixed is 0 in some and 1 in others.
    ones, zeros = 0, 0
    for each in made:
        ones |= each.int
        zeros |= ~each.int
    assert (ones & zeros).bit_count() == 122


def test_they_equal_python_s_and_are_written_alike() -> None:
    made = random_id()
    known = UUID(int=made.int)
    assert (made, hash(made), str(made)) == (known, hash(known), str(known))
    assert msgspec.json.encode(made) == msgspec.json.encode(known)
