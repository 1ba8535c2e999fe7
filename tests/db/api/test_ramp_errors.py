"""The rows of the ramp's error table that no request of a partner's brings about by itself."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from asyncpg import UniqueViolationError
from tests.support.application import Answer, Platform, staged
from tests.support.sessions import open_session, ramp_partner

from proof.api.services import Services
from proof.core.errors import BusyError, DatabaseUnavailableError
from proof.core.secrets import SealError
from proof.db.embedded import EmbeddedCluster
from proof.partners.errors import DirectoryStaleError
from proof.ramp.errors import ProviderAnswerError, ProviderError, ProviderUnavailableError
from proof.ramp.sessions.service import Sessions

Run = Callable[[Any], Any]


class _Failing(Sessions):
    """Sessions that cannot be opened for a reason of the test's choosing."""

    error: Exception

    async def open(self, *_: Any, **__: Any) -> Any:
        raise self.error


def failing(error: Exception) -> Callable[[Services], Services]:
    def altered(services: Services) -> Services:
        sessions = _Failing(services.database, services.vault, services.clock)
        sessions.error = error
        return replace(services, sessions=sessions)

    return altered


@pytest.fixture(scope="module")
def answers(
    cluster: EmbeddedCluster, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Exception], Answer]:
    """What a partner is told of an exception."""
    folder: Path = tmp_path_factory.mktemp("keys")

    def told(error: Exception) -> Answer:
        with staged(cluster, folder, altered=failing(error)) as stage:

            async def scene(platform: Platform) -> Answer:
                return await open_session(platform, await ramp_partner(platform))

            answer: Answer = stage.run(scene(stage.platform))
            return answer

    return told


@pytest.mark.parametrize(
    ("error", "status", "slug", "code"),
    [
        (DatabaseUnavailableError("s3cret"), 503, "unavailable", "database_unavailable"),
        (DirectoryStaleError("s3cret"), 503, "unavailable", "database_unavailable"),
        (BusyError("others are before you"), 503, "unavailable", "busy"),
        (UniqueViolationError("s3cret"), 500, "internal_error", "db_error"),
        (SealError("s3cret"), 500, "internal_error", "token_error"),
        (RuntimeError("s3cret"), 500, "internal_error", "internal_error"),
        (ProviderError("it said no"), 502, "upstream_error", "provider_error"),
        (
            ProviderUnavailableError("it said nothing"),
            502,
            "upstream_unavailable",
            "upstream_unavailable",
        ),
        (
            ProviderAnswerError("it said what it does not document"),
            502,
            "upstream_unavailable",
            "upstream_invalid_response",
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_what_is_not_the_callers_fault(
    answers: Callable[[Exception], Answer], error: Exception, status: int, slug: str, code: str
) -> None:
    answer = answers(error)
    assert answer.status == status
    assert list(answer.json) == ["error", "code", "message"]
    assert (answer.json["error"], answer.json["code"]) == (slug, code)
    if status == 500:
        # Ours are told by the request id they are logged under.
        assert "s3cret" not in answer.json["message"]
        assert answer.headers["x-request-id"] in answer.json["message"]
    elif status == 503:
        assert "s3cret" not in answer.json["message"]
        assert answer.headers["retry-after"] == "1"
    else:
        assert answer.json["message"] == str(error)
