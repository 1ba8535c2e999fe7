"""Whoever follows a how-to has a provider, or a chain, that passes the suite of all of them."""

from pathlib import Path

import pytest
from tests.support.howto import Copy


@pytest.mark.parametrize("page", ["add-a-provider.md", "add-a-chain.md"])
def test_what_the_page_adds_passes_the_suite(page: str, tmp_path: Path) -> None:
    copy = Copy(page, tmp_path)
    assert copy.lint() == ""
    done = copy.run()
    assert done.returncode == 0, done.stdout[-5_000:] + done.stderr[-2_000:]
    assert " passed" in done.stdout
