"""One serving platform for each module; its tests bring partners of their own."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.application import Platform, Stage, staged

from proof.db.embedded import EmbeddedCluster


@pytest.fixture(scope="module")
def stage(cluster: EmbeddedCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with staged(cluster, tmp_path_factory.mktemp("keys")) as found:
        yield found


@pytest.fixture(scope="module")
def run(stage: Stage) -> Callable[[Any], Any]:
    """The loop the module's platform lives on."""
    return stage.run


@pytest.fixture(scope="module")
def platform(stage: Stage) -> Platform:
    return stage.platform


@pytest.fixture
def alone(cluster: EmbeddedCluster, tmp_path: Path) -> Iterator[Stage]:
    """A platform for one test only, where sizes and totals matter."""
    with staged(cluster, tmp_path) as found:
        yield found
