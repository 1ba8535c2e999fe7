"""Refused tries are told, and a flood of them writes few lines."""

import asyncio
from ipaddress import ip_address
from typing import Any

import pytest
from structlog.testing import capture_logs

from proof.partners.access import refused_tries
from proof.partners.access.refused_tries import RefusedTries, TryReason

ADDRESS = ip_address("203.0.113.9")


def lines(act: Any) -> list[tuple[Any, ...]]:
    """Reason, key id and count of each line that `act` leaves."""

    async def scene() -> None:
        tries = RefusedTries()
        act(tries)
        tries.flush()
        tries.flush()

    with capture_logs() as logs:
        asyncio.run(scene())
    return [(log["reason"], log["key_id"], log["count"]) for log in logs]


async def test_one_try_is_told_at_once_with_all_there_is_to_it() -> None:
    with capture_logs() as logs:
        RefusedTries().note(TryReason.EXPIRED, ADDRESS, "req_1", "1EbwoC8TaZVOC")
    assert logs == [
        {
            "event": "operator.refused",
            "log_level": "warning",
            "reason": "token_expired",
            "key_id": "1EbwoC8TaZVOC",
            "address": "203.0.113.9",
            "request_id": "req_1",
            "count": 1,
        }
    ]


def test_a_flood_of_strangers_is_two_lines_whatever_they_send() -> None:
    def flood(tries: RefusedTries) -> None:
        for number in range(1000):
            address = ip_address(f"198.51.100.{number % 250}")
            tries.note(TryReason.UNKNOWN, address, f"req_{number}", f"{number:013}")

    assert lines(flood) == [
        ("unknown_token", "0000000000000", 1),
        ("unknown_token", "0000000000001", 999),
    ]


def test_a_flood_hides_no_other_reason_and_no_other_holder() -> None:
    def flood(tries: RefusedTries) -> None:
        for _ in range(100):
            tries.note(TryReason.MISSING, ADDRESS, "req_1")
        tries.note(TryReason.MALFORMED, ADDRESS, "req_1")
        for key_id in ("a", "b", "b"):
            tries.note(TryReason.REVOKED, ADDRESS, "req_1", key_id)

    assert sorted(lines(flood), key=str) == [
        ("malformed_token", None, 1),
        ("missing_token", None, 1),
        ("missing_token", None, 99),
        ("token_revoked", "a", 1),
        ("token_revoked", "b", 1),
        ("token_revoked", "b", 1),
    ]


@pytest.mark.parametrize(
    ("next_s", "counts"),
    # The flood is over when a time passes in which nobody tries; then the next try is a first one.
    [(0.0, [1, 2, 1]), (3600.0, [1, 2])],
)
async def test_what_follows_is_told_when_its_time_is_over(
    monkeypatch: pytest.MonkeyPatch, next_s: float, counts: list[int]
) -> None:
    with capture_logs() as logs:
        tries = RefusedTries()
        monkeypatch.setattr(refused_tries, "EVERY_S", 0.0)
        for _ in range(3):
            tries.note(TryReason.MISSING, ADDRESS, "req_1")
        monkeypatch.setattr(refused_tries, "EVERY_S", next_s)
        for _ in range(5):
            await asyncio.sleep(0)
        tries.note(TryReason.MISSING, ADDRESS, "req_2")
    assert [log["count"] for log in logs] == counts


def test_a_line_a_second_is_what_is_promised() -> None:
    assert refused_tries.EVERY_S == 1.0
