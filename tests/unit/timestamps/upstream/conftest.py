"""An upstream in memory, and the laboratory over it."""

from collections.abc import Iterator

import pytest
from tests.support.upstream_lab import FakeUpstream, UpstreamLab, fake_lab


@pytest.fixture
def lab() -> Iterator[UpstreamLab]:
    with fake_lab() as found:
        yield found


@pytest.fixture
def upstream(lab: UpstreamLab) -> FakeUpstream:
    assert isinstance(lab.upstream, FakeUpstream)
    return lab.upstream
