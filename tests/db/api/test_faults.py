"""What a caller is told when the fault is ours: a request id, and nothing else."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs
from tests.db.api.table import OPERATIONS, TABLE, Stamped
from tests.db.webhooks.scene import until
from tests.support.application import Platform, Stage, staged
from tests.support.partners import issued

from proof.api.services import Services
from proof.core.errors import BusyError, DatabaseUnavailableError, ProofError
from proof.db.embedded import EmbeddedCluster
from proof.main.events import configure_logging
from proof.partners.errors import DirectoryStaleError

DETAIL = "secret-detail at /srv/keys, password hunter2"


class Faulty:
    """Stands in for a service; whatever is asked of it fails."""

    def __init__(self) -> None:
        self.error: Exception = RuntimeError(DETAIL)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        async def fail(*_: Any, **__: Any) -> Any:
            raise self.error

        return fail


FAULT = Faulty()
BY_NAME: dict[str, Any] = {"proofs": FAULT, "submissions": FAULT, "meter": FAULT}


def with_faults(services: Services) -> Services:
    return replace(services, **BY_NAME)


@pytest.fixture(scope="module")
def faulty(cluster: EmbeddedCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with staged(cluster, tmp_path_factory.mktemp("keys"), altered=with_faults) as found:
        yield found


FAULTS = [
    RuntimeError(DETAIL),
    KeyError(DETAIL),
    ProofError(DETAIL),
    AssertionError(),
    TimeoutError(DETAIL),
]
BROKEN = [
    "POST /v1/timestamp",
    "GET /v1/timestamp/{sha256}",
    "GET /v1/tree/{treeId}",
    "POST /v1/tree/status",
    "POST /v1/proof",
    "GET /v1/proof/{sha256}",
    "POST /v1/api-key/usage",
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
def test_a_fault_of_ours_is_opaque_and_logged_under_its_id(faulty: Stage, fault: Exception) -> None:
    token = issued(faulty.run(faulty.platform.onboard())).api_key
    FAULT.error = fault
    some = Stamped("ab" * 32, "6f1c1a4e-0f0b-4a39-9f6e-2f6f9f1c1a4e")
    for name in BROKEN:
        entry = TABLE[name]
        body = entry.body(some) if entry.body else None
        method, target = OPERATIONS[name].method, entry.target(some)
        with capture_logs() as logs:
            answer = faulty.run(faulty.platform.call(method, target, body, token=token))
        request_id = answer.headers["x-request-id"]
        assert answer.status == 500, name
        assert answer.message == f"something failed on our side; it is logged as {request_id}"
        assert [(entry["event"], entry["request_id"]) for entry in logs] == [
            ("request.failed", request_id)
        ]
        assert logs[0]["exc_info"] is fault, "a fault of ours is logged with its traceback"
        assert token not in str(logs)


AWAY = [
    (DatabaseUnavailableError(DETAIL), "the database is away for a moment; try again in 1 s"),
    (DirectoryStaleError(DETAIL), "the database is away for a moment; try again in 1 s"),
    (BusyError("others are before you"), "others are before you"),
]


@pytest.mark.parametrize(("error", "message"), AWAY, ids=lambda value: type(value).__name__)
def test_what_passes_is_503_and_says_when_to_try_again(
    faulty: Stage, error: Exception, message: str
) -> None:
    token = issued(faulty.run(faulty.platform.onboard())).api_key
    FAULT.error = error
    some = Stamped("ab" * 32, "6f1c1a4e-0f0b-4a39-9f6e-2f6f9f1c1a4e")
    for name in BROKEN:
        entry = TABLE[name]
        body = entry.body(some) if entry.body else None
        method, target = OPERATIONS[name].method, entry.target(some)
        answer = faulty.run(faulty.platform.call(method, target, body, token=token))
        assert (answer.status, answer.json) == (503, {"message": message}), name
        assert answer.headers["retry-after"] == "1"


async def test_every_reply_has_a_request_id_of_its_own(platform: Platform) -> None:
    targets = ["/healthz", "/nothing", "/v1/timestamp/x", "/log/tile/9/000", "/v1/timestamp"]
    answers = [await platform.call("GET", target) for target in targets * 3]
    assert [answer.status for answer in answers[:5]] == [200, 404, 401, 404, 405]
    assert len({answer.headers["x-request-id"] for answer in answers}) == len(answers)
    assert {answer.headers["x-content-type-options"] for answer in answers} == {"nosniff"}


async def test_a_caller_cannot_choose_the_request_id(platform: Platform) -> None:
    answer = await platform.call("GET", "/healthz", headers=[("x-request-id", "forged\r\nx: y")])
    assert answer.headers["x-request-id"].startswith("req_")


def test_no_credential_is_trusted_once_the_database_is_gone(
    cluster: EmbeddedCluster, tmp_path: Path
) -> None:
    with staged(cluster, tmp_path) as stage:
        token = issued(stage.run(stage.platform.onboard())).api_key
        call = ("GET", f"/v1/timestamp/{'ab' * 32}")

        async def refused() -> bool:
            answer = await stage.platform.call(*call, token=token)
            assert answer.status in {404, 503}
            return answer.status == 503

        async def scene() -> None:
            assert (await stage.platform.call(*call, token=token)).status == 404
            stage.platform.database._pool.terminate()
            await until(refused)
            answer = await stage.platform.call(*call, token=token)
            assert answer.message == "the database is away for a moment; try again in 1 s"
            assert answer.headers["retry-after"] == "1"
            assert (await stage.platform.call("GET", "/healthz")).status == 200

        stage.run(scene())


def test_no_token_reaches_the_log_as_the_server_writes_it(
    faulty: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    token = issued(faulty.run(faulty.platform.onboard())).api_key

    async def broken(_: str) -> None:
        raise RuntimeError("a fault in the gate")

    directory = faulty.platform._directory
    before = structlog.get_config()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(directory, "find", broken)
        configure_logging()
        try:
            answer = faulty.run(faulty.platform.call("GET", "/v1/tree/x", token=token))
        finally:
            structlog.configure(**before)
    assert answer.status == 500
    logged = capsys.readouterr().err
    assert answer.headers["x-request-id"] in logged
    assert "a fault in the gate" in logged
    assert token not in logged
    assert token.split("_")[3] not in logged
