"""What a receiver's answer decides, and what of it is kept."""

from datetime import timedelta

import pytest
from tests.db.webhooks.scene import (
    POLICY,
    Answer,
    FakeClient,
    TurnedClock,
    deliverer,
    deliveries,
    endpoint,
    happen,
    records,
    relay_all,
)
from tests.support.receiver import Receiver, Reply

from proof.db import Database
from proof.outbound import OutboundClient, OutboundError, OutboundReply, Reason
from proof.webhooks.attempts import KEPT_BODY_BYTES
from proof.webhooks.types import DeliveryState


def later(value: str, status: int = 503) -> OutboundReply:
    return OutboundReply(status, b"", False, 0, value)


@pytest.mark.parametrize(
    ("answer", "wait_s"),
    [
        (503, 5),
        (later("120"), 120),
        (later("120", 429), 120),
        (later("120", 302), 120),
        (later("2"), 5),
        (later("999999"), 86_400),
        (later("soon"), 5),
        (later("-1"), 5),
    ],
)
async def test_retry_after_puts_the_next_attempt_off(
    database: Database, answer: Answer, wait_s: float
) -> None:
    client, clock = FakeClient(answers={"one.example": answer}), TurnedClock()
    await endpoint(database, "https://one.example/")
    await happen(database)
    await relay_all(database)
    await deliverer(database, client, clock).run_once()
    (row,) = await deliveries(database)
    assert row["next_attempt_at"] - clock.now() == timedelta(seconds=wait_s)


async def test_retry_after_comes_through_a_real_reply(database: Database) -> None:
    with Receiver() as receiver:
        client, clock = (
            OutboundClient(POLICY, connect_timeout_s=120, timeout_s=120),
            TurnedClock(),
        )
        receiver.script(Reply(503, b"busy", {"retry-after": "77"}))
        await endpoint(database, receiver.url())
        await happen(database)
        await relay_all(database)
        await deliverer(database, client, clock).run_once()
        await client.aclose()
    (row,) = await deliveries(database)
    assert row["next_attempt_at"] - clock.now() == timedelta(seconds=77)
    assert (row["last_status"], row["last_body"]) == (503, b"busy")


async def test_after_the_last_attempt_retry_after_brings_no_other(database: Database) -> None:
    client, clock = FakeClient(answers={"one.example": later("5")}), TurnedClock()
    await endpoint(database, "https://one.example/")
    await happen(database)
    await relay_all(database)
    item = deliverer(database, client, clock)
    for _ in range(12):
        await item.run_once()
        clock.turn(90_000)
    (row,) = await deliveries(database)
    assert (row["state"], row["attempts"]) == ("failed", 10)


async def test_the_last_reply_is_kept_and_capped(database: Database) -> None:
    text = b"\xff" + b"x" * 10_000
    client, clock = FakeClient(), TurnedClock()
    await endpoint(database, "https://one.example/")
    await happen(database)
    await relay_all(database)
    item = deliverer(database, client, clock)
    for answer, status, body in (
        (OutboundReply(500, b"first", False, 0.25), 500, b"first"),
        (OutboundError("one.example", Reason.TIMEOUT), None, None),
        (OutboundReply(201, text, False, 0.5), 201, text[:KEPT_BODY_BYTES]),
    ):
        client.answers["one.example"] = answer
        made_at = clock.now()
        await item.run_once()
        (found,) = await records(database)
        assert (found.last_status, found.last_body) == (status, body)
        assert found.last_attempt_at == made_at
        clock.turn(301)
    assert found.last_elapsed_ms == 500
    assert (found.state, found.attempts) == (DeliveryState.DELIVERED, 3)


async def test_deliveries_are_found_by_what_they_are(database: Database) -> None:
    for to in (1, 2):
        await endpoint(database, f"https://e{to}.example/", to=to)
    events = await happen(database, 5)
    await happen(database, 2, to=2)
    await relay_all(database)
    client = FakeClient()
    await deliverer(database, client, TurnedClock()).run_once()
    await happen(database, 1, subject="s0")
    await relay_all(database)
    everything = await records(database)
    assert [number.sequence for number in everything if number.subject == "s0"] == [2, 1]
    assert len(everything) == 6
    assert [record.subject for record in await records(database, state=DeliveryState.PENDING)] == [
        "s0"
    ]
    assert len(await records(database, subject="s0")) == 2
    page = await records(database, before_id=everything[1].id, limit=2)
    assert page == everything[2:4]
    assert await records(database, to=2, endpoint_id=everything[0].endpoint_id) == []
    assert everything[-1].event_id == events[0].id
