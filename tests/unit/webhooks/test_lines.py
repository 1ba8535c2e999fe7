"""Who may hold how many deliveries, and whose turn it is."""

import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest

from proof.webhooks.attempts import Result
from proof.webhooks.breaker import BreakerPolicy
from proof.webhooks.delivery import Lines
from proof.webhooks.types import ClaimedDelivery, Limits

NOW = datetime(2026, 3, 1, tzinfo=UTC)
GOOD, BAD = Result(NOW, "200", delivered=True), Result(NOW, "timeout")
LIMITS = Limits(in_flight=8, per_endpoint=4, reserve=4, ahead=20, waiting=30)
A, B, C = UUID(int=1), UUID(int=2), UUID(int=3)


def claimed(
    to: UUID, count: int, first: int = 0, url: str = "https://one.example/", owner: int = 1
) -> list[ClaimedDelivery]:
    return [
        ClaimedDelivery(
            to.int * 1000 + n,
            1,
            0,
            NOW,
            to,
            None,
            url,
            "timestamp.proof",
            False,
            owner,
            UUID(int=n),
            1,
            b"",
        )
        for n in range(first, first + count)
    ]


def lines() -> Lines:
    return Lines(LIMITS, BreakerPolicy())


def taken(found: Lines) -> list[UUID]:
    item: list[UUID] = []
    while (delivery := found.take()) is not None:
        item.append(delivery.endpoint_id)
    return item


def answered(found: Lines, to: UUID, result: Result | None) -> None:
    found.add(claimed(to, 1, 900))
    delivery = found.take()
    assert delivery is not None
    found.done(delivery, result)


def room(found: Lines, to: UUID) -> int:
    _, rooms, unknown, _ = found.rooms()
    return rooms.get(to, unknown)


def test_endpoints_take_turns_and_none_has_more_than_its_places() -> None:
    found = lines()
    found.add([*claimed(A, 6), *claimed(B, 2)])
    assert taken(found) == [A, B, A, B, A, A]
    assert found.in_flight == 6
    assert found.waiting == 2


def test_an_owner_has_a_share_however_many_endpoints_it_has() -> None:
    found = Lines(replace(LIMITS, per_owner=3), BreakerPolicy())
    found.add([*claimed(A, 4), *claimed(B, 4), *claimed(C, 4, owner=2)])
    places = taken(found)
    assert Counter(places) == {A: 2, B: 1, C: 3}
    assert found.in_flight == 6


def test_a_place_of_an_owner_is_free_when_its_attempt_ends() -> None:
    found = Lines(replace(LIMITS, per_owner=1), BreakerPolicy())
    found.add([*claimed(A, 1), *claimed(B, 1)])
    delivery = found.take()
    assert delivery is not None
    assert found.take() is None
    found.done(delivery, GOOD)
    following = found.take()
    assert following is not None
    assert following.endpoint_id == B


def test_an_unknown_endpoint_gets_its_places_and_nothing_ahead() -> None:
    found = lines()
    assert room(found, A) == 4
    found.add(claimed(A, 3))
    assert room(found, A) == 1


def test_one_that_answers_keeps_deliveries_ahead() -> None:
    found = lines()
    answered(found, A, GOOD)
    assert room(found, A) == 4 + 20
    answered(found, B, GOOD)
    assert room(found, A) == room(found, B) == 4 + 15, "they share what may wait"


def test_what_one_that_answers_holds_is_no_room_of_it() -> None:
    found = lines()
    answered(found, A, GOOD)
    before = room(found, A)
    found.add(claimed(A, 3))
    assert room(found, A) == before - 3


def test_one_that_fails_keeps_two() -> None:
    found = lines()
    answered(found, A, BAD)
    assert room(found, A) == 2
    answered(found, A, GOOD)
    assert room(found, A) > 4


@pytest.mark.parametrize("result", [None, Result(NOW, "no webhook secret", ours=True)])
def test_a_fault_of_ours_says_nothing_about_it(result: Result | None) -> None:
    found = lines()
    answered(found, A, result)
    assert room(found, A) == 4


def test_failing_endpoints_share_a_quarter_of_the_places() -> None:
    found = lines()
    for to in (A, B):
        answered(found, to, BAD)
    found.add(claimed(A, 2))
    assert len(taken(found)) == 2
    assert room(found, B) == 0
    assert room(found, C) == 4


def test_places_taken_by_silence_leave_the_reserve_to_those_who_answer() -> None:
    found = lines()
    answered(found, C, GOOD)
    found.add([*claimed(A, 4), *claimed(B, 4)])
    assert len(taken(found)) == 8
    found.add([*claimed(UUID(int=4), 4), *claimed(C, 6)])
    assert taken(found) == [C] * 4
    assert room(found, UUID(int=5)) == 0
    assert room(found, C) > 0


def test_what_waits_behind_an_attempt_that_hangs_is_given_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = lines()
    answered(found, A, GOOD)
    found.add(claimed(A, 10))
    found.add(claimed(B, 2))
    assert taken(found) == [A, B, A, B, A, A]
    assert found.shed_slow() == []
    later = time.monotonic() + 3
    monkeypatch.setattr("proof.webhooks.delivery.time.monotonic", lambda: later)
    assert [delivery.endpoint_id for delivery in found.shed_slow()] == [A] * 6
    assert found.waiting == 0
    assert room(found, A) == 0


def test_a_delivery_claimed_again_while_it_is_in_flight() -> None:
    """Its lease ran out: both attempts end, and no place is lost."""
    found = lines()
    found.add([*claimed(A, 1), *claimed(A, 1)])
    first, second = found.take(), found.take()
    assert first is not None
    assert second is not None
    found.done(second, GOOD)
    found.done(first, BAD)
    assert found.in_flight == found[A].held == 0


def test_another_url_is_another_endpoint() -> None:
    found = lines()
    answered(found, A, BAD)
    found.add(claimed(A, 1, url="https://two.example/"))
    assert room(found, A) == 4 - 1


def test_a_line_that_got_all_it_had_room_for_wants_more_when_half_is_gone() -> None:
    found = lines()
    answered(found, A, GOOD)
    _, rooms, _, _ = found.rooms()
    more = claimed(A, rooms[A])
    found.add(more)
    found.note_filled(more, rooms)
    assert not found.wants_more(found[A])
    wanted = []
    for _ in range(rooms[A]):
        delivery = found.take()
        assert delivery is not None
        wanted.append(found.wants_more(found.done(delivery, GOOD)))
    assert wanted == [False] * 13 + [True] * 11
    found.note_filled([], rooms)
    assert not found.wants_more(found[A])
