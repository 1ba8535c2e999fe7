"""What needs no credential is counted: for each address, for all strangers, and not for who proved good."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from tests.db.api.table import OPERATIONS, RAMP_OPERATIONS
from tests.db.api.test_widget import Page, page_of
from tests.support.application import Stage, staged

from proof.api import refusals
from proof.api.operations import Operation
from proof.core.pace import Pace
from proof.db.embedded import EmbeddedCluster
from proof.partners.access.anonymous import AnonymousRates
from proof.partners.types import Environment

STRANGER, OTHER = "198.51.100.7", "198.51.100.8"
PARAMETERS = {
    "level": "0",
    "position": "000",
    "old": "1",
    "new": "1",
    "commitment": "ab",
    "name": "sandbox",
}
PAGES = ("/w/none", "/widget.2.0.js", "/widget.2.0.json", "/w/static/x", "/handover")


@contextmanager
def strangers(
    cluster: EmbeddedCluster, folder: Path, rates: AnonymousRates, **changes: Any
) -> Iterator[Stage]:
    def altered(services: Any) -> Any:
        return replace(services, anonymous=rates, **changes)

    with staged(cluster, folder, altered=altered) as stage:
        yield stage


def open_operations() -> dict[str, Operation]:
    return {
        name: operation
        for name, operation in (OPERATIONS | RAMP_OPERATIONS).items()
        if not operation.gated and Environment.PRODUCTION in operation.family.environments
    }


def target_of(operation: Operation) -> str:
    return operation.path.replace(":path", "").format_map(_Some())


class _Some(dict[str, str]):
    def __missing__(self, name: str) -> str:
        return PARAMETERS.get(name, "00000000-0000-0000-0000-000000000000")


def test_every_open_path_is_limited_for_each_address(
    cluster: EmbeddedCluster, tmp_path: Path
) -> None:
    rates = AnonymousRates(10, 1_000_000, now=lambda: 0.0)
    with strangers(cluster, tmp_path, rates) as stage:
        asked = [(each.method, target_of(each)) for each in open_operations().values()]
        asked += [("GET", page) for page in PAGES]
        assert len(asked) > 20
        for number, (method, target) in enumerate(asked):
            # Of IPv6: each path is asked from a site of its own.
            address = f"2001:db8:{number + 1:x}::1"
            statuses = [
                stage.run(stage.platform.call(method, target, address=address)).status
                for _ in range(6)
            ]
            assert statuses[-1] == 429, (target, statuses)
            assert statuses[0] != 429, (target, statuses)


def test_strangers_together_have_a_budget_and_health_is_told_beyond_it(
    cluster: EmbeddedCluster, tmp_path: Path
) -> None:
    rates = AnonymousRates(1_000_000, 1, now=lambda: 0.0)
    with strangers(cluster, tmp_path, rates) as stage:
        answers = [stage.run(stage.platform.call("GET", "/log/checkpoint")) for _ in range(3)]
        assert [answer.status for answer in answers] == [404, 404, 503]
        assert answers[-1].headers["retry-after"] == "1"
        for vital in ("/healthz", "/readyz"):
            assert stage.run(stage.platform.call("GET", vital, address=OTHER)).status == 200


def test_a_guessed_widget_id_asks_no_database(cluster: EmbeddedCluster, tmp_path: Path) -> None:
    rates = AnonymousRates(1_000_000, 1_000_000)
    with strangers(cluster, tmp_path, rates, database=None) as stage:
        stage.run(stage.platform.poll())
        for prefix in ("", "/sandbox"):
            answer = stage.run(stage.platform.call("GET", f"{prefix}/w/wgt_guessed"))
            assert answer.status == 404


def test_a_session_that_proved_good_is_counted_no_more(
    cluster: EmbeddedCluster, tmp_path: Path
) -> None:
    rates = AnonymousRates(20, 1_000_000, now=lambda: 0.0)
    with strangers(cluster, tmp_path, rates) as stage:
        page = stage.run(page_of(stage.platform))
        assert stage.run(page.open()).status == 200
        for _ in range(9):
            assert stage.run(page.call("GET", "state")).status == 200
        # At another address the same token has to prove itself again, and a guess never does.
        guess = Page(stage.platform, page.session, token=page.token[:-1] + "~")
        statuses = [stage.run(guess.call("GET", "state", address=OTHER)).status for _ in range(3)]
        assert statuses == [401, 401, 429]
        assert stage.run(page.call("GET", "state", address=OTHER)).status == 429
        assert stage.run(page.call("GET", "state")).status == 200


def test_callbacks_of_unknown_accounts_are_counted(
    cluster: EmbeddedCluster, tmp_path: Path
) -> None:
    rates = AnonymousRates(20, 1_000_000, now=lambda: 0.0)
    with strangers(cluster, tmp_path, rates) as stage:
        target = f"/providers/sandbox/{uuid4()}/callback"
        answers = [
            stage.run(stage.platform.call("POST", target, {}, address=STRANGER)) for _ in range(3)
        ]
        assert [answer.status for answer in answers] == [404, 404, 429]
        assert answers[-1].json["error"] == "rate_limited"


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/healthz", 200),
        ("/w/static/none", 404),
        ("/nothing", 404),
        (f"/v1/timestamp/{'ab' * 32}", 401),
    ],
)
async def test_a_crowd_has_a_part_of_each_turn_of_the_event_loop(
    platform: Any, monkeypatch: pytest.MonkeyPatch, target: str, status: int
) -> None:
    """Whatever it asks, and whether or not it is refused; so others' calls need not wait for all of it."""
    monkeypatch.setattr(refusals, "_pace", Pace(1e9, 1e9, 1.0))

    crowd = [asyncio.create_task(platform.call("GET", target)) for _ in range(50)]
    most, done = 0, 0
    while done < len(crowd):
        await asyncio.sleep(0)
        now = sum(task.done() for task in crowd)
        most, done = max(most, now - done), now
    assert {task.result().status for task in crowd} == {status}
    assert most <= 2
