"""The check that nothing is used which Python 3.11.0 lacks."""

import pytest
from scripts.check_floor import later


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("archive.extractall(folder, filter='data')", [(1, "extractall(filter=…)", "3.11.4")]),
        ("\nfrom tarfile import data_filter", [(2, "data_filter", "3.11.4")]),
        ("unpack_archive(a, b, filter='tar')", [(1, "unpack_archive(filter=…)", "3.11.4")]),
        ("os.path.realpath(p, strict=os.path.ALLOW_MISSING)", [(1, "ALLOW_MISSING", "3.11.13")]),
        ("archive.extractall(folder)", []),
        ("query(rows, filter='data', strict=True)", []),
    ],
)
def test_what_a_later_patch_release_brought_is_found(
    source: str, found: list[tuple[int, str, str]]
) -> None:
    assert list(later(source)) == found
