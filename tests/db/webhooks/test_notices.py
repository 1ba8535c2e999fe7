"""Mail about endpoints: written with the change, sent through a real relay, tried again, told to both."""

from datetime import timedelta
from typing import Any

import pytest
from tests.db.webhooks.scene import (
    FakeClient,
    FakeNotifier,
    TurnedClock,
    deliverer,
    endpoint,
    happen,
    relay_all,
    seen,
)
from tests.support.databases import FaultyDatabase
from tests.support.partners import issued, onboard
from tests.support.relay import relay

from proof.core.errors import DatabaseUnavailableError
from proof.core.secrets import Vault
from proof.db import Database
from proof.mail import Mailer, MailError, Security
from proof.webhooks import BreakerPolicy
from proof.webhooks.mail import NoticeMail
from proof.webhooks.types import Breaker

POLICY = BreakerPolicy(least=3, first_probe_s=30, probes=2, disable_after=timedelta(hours=1))
URL = "https://one.example/hook?token=secret"


class Sent:
    """Keeps what it is told to send; may fail each time."""

    def __init__(self) -> None:
        self.mails: list[tuple[str, str, str]] = []
        self.error: MailError | None = None

    async def send(self, recipient: str, subject: str, text: str) -> None:
        if self.error is not None:
            raise self.error
        self.mails.append((recipient, subject, text))


async def failing(
    database: Database, vault: Vault, clock: TurnedClock, answer: int = 500
) -> tuple[int, Any]:
    """A partner whose only endpoint has just failed too often; the deliverer that saw it."""
    owner = issued(await onboard(database, vault)).partner_environment_id
    await endpoint(database, URL, to=owner)
    await happen(database, 3, to=owner)
    await relay_all(database)
    client = FakeClient(answers={"one.example": answer})
    item = deliverer(database, client, clock, breaker=POLICY, notifier=FakeNotifier())
    await item.run_once()
    return owner, item


async def notices(database: Database) -> list[Any]:
    async with database.connection() as connection:
        return await connection.fetch("SELECT * FROM webhook_notices ORDER BY id")


async def send_all(mail: NoticeMail) -> int:
    count = 0
    while await mail.send_next():
        count += 1
    return count


async def test_both_get_mail_through_a_real_relay(database: Database, vault: Vault) -> None:
    async def scene(port: int) -> None:
        clock = TurnedClock()
        await failing(database, vault, clock)
        mailer = Mailer("127.0.0.1", port, Security.NONE, "Proof <partners@proof.example>")
        mail = NoticeMail(database, clock, mailer, "operator@proof.example")
        assert await send_all(mail) == 2
        assert await send_all(mail) == 0
        assert [row["outcome"] for row in await notices(database)] == ["sent", "sent"]

    with relay() as found:
        await scene(found.port)
    assert "rcpt TO:<operator@proof.example>" in found.text
    assert "rcpt TO:<dev@acme.example>" in found.text
    assert found.text.count("Subject: Webhook endpoint failing: ") == 2
    assert "too many failed, the last: 500" in found.text
    assert "one.example" in found.text
    assert "secret" not in found.text, "the rest of a URL may hold a token"


async def test_opening_and_disabling_are_told_and_probing_is_not(
    database: Database, vault: Vault
) -> None:
    clock, sent = TurnedClock(), Sent()
    owner, item = await failing(database, vault, clock)
    mail = NoticeMail(database, clock, sent, "operator@proof.example")
    await send_all(mail)
    clock.turn(30)
    await item.run_once()
    assert await send_all(mail) == 0
    clock.turn(3600)
    await item.run_once()
    assert (await seen(database, owner)).breaker is Breaker.DISABLED
    await send_all(mail)
    told = [(to, subject.partition(":")[0]) for to, subject, _ in sent.mails]
    assert told == [
        ("operator@proof.example", "Webhook endpoint failing"),
        ("dev@acme.example", "Webhook endpoint failing"),
        ("operator@proof.example", "Webhook endpoint disabled"),
        ("dev@acme.example", "Webhook endpoint disabled"),
    ]


async def test_an_endpoint_that_goes_on_and_off_is_told_once_in_a_while(
    database: Database, vault: Vault
) -> None:
    clock = TurnedClock()
    owner, item = await failing(database, vault, clock)
    for _ in range(3):
        item._client.answers["one.example"] = 200
        clock.turn(3600)
        while await item.run_once():
            pass
        assert (await seen(database, owner)).breaker is Breaker.CLOSED
        item._client.answers["one.example"] = 500
        await happen(database, 30, to=owner)
        await relay_all(database)
        while (await seen(database, owner)).breaker is Breaker.CLOSED:
            await item.run_once()
    assert len(await notices(database)) == 2
    item._client.answers["one.example"] = 200
    clock.turn(7 * 3600)
    while await item.run_once():
        pass
    item._client.answers["one.example"] = 500
    await happen(database, 30, to=owner)
    await relay_all(database)
    await item.run_once()
    assert len(await notices(database)) == 4


async def test_a_relay_that_is_away_is_tried_again_and_given_up_in_the_end(
    database: Database, vault: Vault
) -> None:
    clock, sent = TurnedClock(), Sent()
    await failing(database, vault, clock)
    sent.error = MailError("the mail relay is away")
    mail = NoticeMail(database, clock, sent, "operator@proof.example")
    assert await send_all(mail) == 2
    assert await mail.send_next() is False, "not before a minute is over"
    clock.turn(60)
    assert await send_all(mail) == 2
    clock.turn(60)
    assert await mail.send_next() is False, "each wait is twice the one before"
    sent.error = None
    clock.turn(60)
    assert await send_all(mail) == 2
    assert len(sent.mails) == 2
    await failing(database, vault, clock)
    sent.error = MailError("the mail relay is away")
    clock.turn(4 * 86_400)
    assert await send_all(mail) == 2
    clock.turn(10 * 86_400)
    assert await send_all(mail) == 0
    assert {row["outcome"] for row in await notices(database)} == {"sent", "given up"}
    clock.turn(90 * 86_400)
    await mail.forget()
    assert await notices(database) == []


async def test_stopped_before_it_was_recorded_it_is_sent_again(
    database: Database, vault: Vault
) -> None:
    clock, sent = TurnedClock(), Sent()
    await failing(database, vault, clock)
    away = iter([None, False])
    faulty = FaultyDatabase(database, lambda: next(away, None))
    mail = NoticeMail(faulty, clock, sent)
    with pytest.raises(DatabaseUnavailableError):
        await NoticeMail(faulty, clock, sent, "operator@proof.example").send_next()
    assert await send_all(mail) == 1
    clock.turn(300)
    again = NoticeMail(database, clock, sent, "operator@proof.example")
    assert await send_all(again) == 1
    assert [to for to, *_ in sent.mails].count("operator@proof.example") == 2


@pytest.mark.parametrize("with_relay", [True, False])
async def test_without_an_address_or_a_relay_nothing_is_kept_for_later(
    database: Database, vault: Vault, with_relay: bool
) -> None:
    clock, sent = TurnedClock(), Sent()
    await failing(database, vault, clock, answer=410)
    assert await send_all(NoticeMail(database, clock, sent if with_relay else None)) == 2
    assert [to for to, *_ in sent.mails] == (["dev@acme.example"] if with_relay else [])
    clock.turn(10 * 86_400)
    assert await send_all(NoticeMail(database, clock, Sent(), "operator@proof.example")) == 0
