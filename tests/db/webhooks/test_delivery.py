"""One attempt after another: what is sent, what it comes to, when it is tried again."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks import Webhook
from tests.db.webhooks.scene import (
    POLICY,
    SECRETS,
    FakeClient,
    TurnedClock,
    deliverer,
    deliveries,
    endpoint,
    happen,
    relay_all,
)
from tests.support.receiver import Receiver, Reply, documented_headers

from proof import __version__
from proof.core.errors import ProofError
from proof.core.secrets import SealError
from proof.db import Connection, Database
from proof.outbound import InvalidTargetError, OutboundClient, OutboundError, Reason
from proof.partners.keys.webhook_secrets import webhook_secret_text
from proof.webhooks.signing import x_signature


async def test_a_receiver_verifies_what_it_gets(database: Database) -> None:
    with Receiver() as receiver:
        client = OutboundClient(POLICY, connect_timeout_s=120, timeout_s=120)
        clock = TurnedClock()
        receiver.script(Reply(503), Reply(drop=True), Reply(204), path="/hook")
        await endpoint(database, receiver.url("/hook?token=t"))
        (event,) = await happen(database)
        await relay_all(database)
        item = deliverer(database, client, clock)
        for wait_s in (0, 5, 300):
            clock.turn(wait_s)
            assert await item.run_once() == 1
        assert await item.run_once() == 0
        await client.aclose()
        requests = receiver.requests
    clock.moment = datetime.now(UTC)
    assert [request.body for request in requests] == [event.body] * 3
    assert {request.headers["webhook-id"] for request in requests} == {f"msg_{event.id.hex}"}
    times = [int(request.headers["webhook-timestamp"]) for request in requests]
    assert [later - times[0] for later in times] == [0, 5, 305]
    for secret in SECRETS:
        Webhook(webhook_secret_text(secret)).verify(event.body, requests[0].headers)
    headers = requests[2].headers
    assert headers["x-signature"] == x_signature(SECRETS[0], event.body)
    assert headers["content-type"] == "application/json"
    assert headers["user-agent"] == f"Proof/{__version__}"
    (row,) = await deliveries(database)
    assert (row["state"], row["attempts"], row["last_outcome"]) == ("delivered", 3, "204")
    assert row["delivered_at"] is not None


@pytest.mark.parametrize("purpose", ["transaction", "timestamp.tree"])
async def test_every_webhook_has_every_header_of_the_page(database: Database, purpose: str) -> None:
    client = FakeClient()
    await endpoint(database, "https://one.example/", purpose)
    (event,) = await happen(database, type=purpose)
    await relay_all(database)
    await deliverer(database, client, TurnedClock()).run_once()
    ((_, _, headers),) = client.sent
    assert headers.keys() == documented_headers()
    assert headers["x-signature"] == x_signature(SECRETS[0], event.body)


async def test_a_day_and_more_of_failures_ends_in_failed(database: Database) -> None:
    client, clock = FakeClient(answers={"one.example": 500}), TurnedClock()
    await endpoint(database, "https://one.example/")
    await happen(database)
    await relay_all(database)
    item = deliverer(database, client, clock)
    waits = [5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400]
    for attempt, wait_s in enumerate(waits, start=1):
        assert await item.run_once() == 1
        (row,) = await deliveries(database)
        assert (row["state"], row["attempts"]) == ("pending", attempt)
        assert row["next_attempt_at"] == clock.now() + timedelta(seconds=wait_s)
        clock.turn(wait_s - 1)
        assert await item.run_once() == 0
        clock.turn(1)
    assert await item.run_once() == 1
    (row,) = await deliveries(database)
    assert (row["state"], row["attempts"], row["last_outcome"]) == ("failed", 10, "500")
    clock.turn(10**6)
    assert await item.run_once() == 0


@pytest.mark.parametrize(
    ("answer", "state", "outcome"),
    [
        (200, "delivered", "200"),
        (299, "delivered", "299"),
        (199, "pending", "199"),
        (301, "pending", "301"),
        (304, "pending", "304"),
        (410, "pending", "410"),
        *[(OutboundError("one.example", reason), "pending", reason.value) for reason in Reason],
        (InvalidTargetError("closed since"), "pending", "refused target"),
        (RuntimeError("a fault of ours"), "pending", "internal error"),
    ],
)
async def test_what_an_attempt_comes_to(
    database: Database, answer: int | Exception, state: str, outcome: str
) -> None:
    client = FakeClient(answers={"one.example": answer})
    await endpoint(database, "https://one.example/")
    await happen(database)
    await relay_all(database)
    await deliverer(database, client, TurnedClock()).run_once()
    (row,) = await deliveries(database)
    assert (row["state"], row["last_outcome"]) == (state, outcome)
    assert (row["delivered_at"] is not None) == (state == "delivered")


@pytest.mark.parametrize("error", [None, SealError("does not open")])
async def test_without_a_secret_only_its_own_deliveries_wait(
    database: Database, error: ProofError | None
) -> None:
    async def secrets(_: Connection, environment: int) -> Sequence[bytes]:
        if environment == 1 and error:
            raise error
        return () if environment == 1 else SECRETS

    client = FakeClient()
    for to in (1, 2):
        await endpoint(database, f"https://e{to}.example/", to=to)
        await happen(database, to=to)
    await relay_all(database)
    assert await deliverer(database, client, TurnedClock(), secrets=secrets).run_once() == 2
    rows = await deliveries(database)
    assert [(row["state"], row["last_outcome"]) for row in rows] == [
        ("pending", "no webhook secret"),
        ("delivered", "200"),
    ]
    assert [host for host, _, _ in client.sent] == ["e2.example"]


async def test_a_changed_url_gets_what_is_pending(database: Database) -> None:
    client, clock = FakeClient(answers={"old.example": 404}), TurnedClock()
    await endpoint(database, "https://old.example/")
    await happen(database)
    await relay_all(database)
    item = deliverer(database, client, clock)
    await item.run_once()
    await endpoint(database, "https://new.example/")
    clock.turn(5)
    await item.run_once()
    assert [host for host, _, _ in client.sent] == ["old.example", "new.example"]
