"""Mail about alerts: written with them, bundled, sent through a real relay, tried again, and told once."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from tests.support.partners import issued, onboard
from tests.support.ramp import ADDRESS, BEGUN, EMAIL, USER, hear, make_transaction, said
from tests.support.relay import relay

from proof.core.secrets import Vault
from proof.db import Database
from proof.mail import Mailer, MailError, Security
from proof.partners.types import Environment
from proof.ramp.providers.protocols import ProviderStatus
from proof.ramp.transactions.alerts import raise_alerts
from proof.ramp.transactions.mailing import AlertMail
from proof.ramp.transactions.transitions import Alert

Run = Callable[[Any], Any]
OPERATOR = "operator@proof.example"
UNDELIVERABLE = Alert.UNDELIVERABLE


class Hand:
    """A clock that is turned by hand."""

    def __init__(self) -> None:
        self.moment = BEGUN + timedelta(days=1)

    def now(self) -> Any:
        return self.moment

    def turn(self, **by: int) -> None:
        self.moment += timedelta(**by)


class Sent:
    """Keeps what it is told to send; may fail each time."""

    def __init__(self) -> None:
        self.mails: list[tuple[str, str, str]] = []
        self.error: BaseException | None = None

    async def send(self, recipient: str, subject: str, text: str) -> None:
        if self.error is not None:
            raise self.error
        self.mails.append((recipient, subject, text))


class Desk:
    """A partner's transactions, and whoever mails about them."""

    def __init__(self, run: Run, database: Database, vault: Vault) -> None:
        self._run, self.database, self.vault = run, database, vault
        self.clock, self.sent = Hand(), Sent()
        self.mail = AlertMail(database, self.clock, self.sent, OPERATOR)
        partner = run(onboard(database, vault))
        self.owner = issued(partner).partner_environment_id
        self.sandbox = issued(partner, Environment.SANDBOX).partner_environment_id

    def transaction(self, owner: int | None = None) -> UUID:
        made: UUID = self._run(make_transaction(self.database, self.vault, owner or self.owner))
        return made

    def alert(self, *transactions: UUID, alert: Alert = UNDELIVERABLE) -> None:
        async def raised() -> None:
            async with self.database.transaction() as tx:
                await raise_alerts(tx, dict.fromkeys(transactions, alert), self.clock.now())

        self._run(raised())

    def send(self, mail: AlertMail | None = None) -> bool:
        return bool(self._run((mail or self.mail).send()))

    def outcomes(self) -> list[str | None]:
        async def read() -> list[Any]:
            async with self.database.connection() as connection:
                return await connection.fetch("SELECT outcome FROM ramp_alert_notices ORDER BY id")

        return [row["outcome"] for row in self._run(read())]


@pytest.fixture
def desk(run: Run, database: Database, vault: Vault) -> Desk:
    return Desk(run, database, vault)


def test_an_alert_is_mailed_once_without_the_person(run: Run, desk: Desk) -> None:
    made = desk.transaction()
    run(
        hear(
            desk.database,
            desk.vault,
            said(made, ProviderStatus.UNDELIVERABLE),
            now=desk.clock.now(),
        )
    )
    with relay() as found:
        mailer = Mailer("127.0.0.1", found.port, Security.NONE, "Proof <proof@proof.example>")
        mail = AlertMail(desk.database, desk.clock, mailer, OPERATOR)
        assert not desk.send(mail), "others may come within the minute"
        desk.clock.turn(minutes=1)
        assert desk.send(mail)
        desk.clock.turn(days=1)
        assert not desk.send(mail)
    assert found.text.count("Subject: ") == 1
    assert f"rcpt TO:<{OPERATOR}>" in found.text
    for told in (str(made), "undeliverable", "proof tx list --alerted", "proof tx show"):
        assert told in found.text
    for personal in (EMAIL, ADDRESS, USER, "50.0"):
        assert personal not in found.text
    assert desk.outcomes() == ["sent"]


def test_many_at_once_are_one_mail_and_the_next_waits(desk: Desk) -> None:
    many = [desk.transaction() for _ in range(60)]
    desk.alert(*many[:59])
    desk.clock.turn(seconds=50)
    desk.alert(many[59], alert=Alert.STUCK)
    desk.clock.turn(seconds=10)
    assert desk.send()
    ((recipient, subject, text),) = desk.sent.mails
    assert (recipient, subject) == (OPERATOR, "60 transactions need a person")
    assert sum(str(each) in text for each in many) == 50
    assert "     9  undeliverable\n     1  stuck\n" in text
    desk.alert(many[0], alert=Alert.CONTRADICTION)
    desk.clock.turn(minutes=9)
    assert not desk.send()
    desk.clock.turn(minutes=1)
    assert desk.send()
    assert desk.sent.mails[1][1] == "A transaction needs a person: contradiction"


def test_the_same_alert_while_it_waits_is_one_and_later_another(desk: Desk) -> None:
    made = desk.transaction()
    desk.alert(made)
    desk.alert(made)
    desk.clock.turn(minutes=1)
    assert desk.send()
    desk.alert(made)
    desk.clock.turn(minutes=10)
    assert desk.send()
    assert [text.count(str(made)) for _, _, text in desk.sent.mails] == [1, 1]


def test_an_alert_that_is_rolled_back_is_not_mailed(run: Run, desk: Desk) -> None:
    made = desk.transaction()

    async def undone() -> None:
        async with desk.database.transaction() as tx:
            await raise_alerts(tx, {made: UNDELIVERABLE}, desk.clock.now())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(undone())
    desk.clock.turn(minutes=1)
    assert not desk.send()


def test_killed_between_relay_and_record_it_is_sent_again(desk: Desk) -> None:
    class Killed(BaseException):
        pass

    desk.alert(desk.transaction())
    desk.clock.turn(minutes=1)
    desk.sent.error = Killed()
    with pytest.raises(Killed):
        desk.send()
    desk.sent.error = None
    assert not desk.send(), "another worker may still be sending it"
    desk.clock.turn(minutes=5)
    assert desk.send()
    assert len(desk.sent.mails) == 1


def test_a_relay_that_is_away_gets_everything_when_it_is_back(desk: Desk) -> None:
    first, second = desk.transaction(), desk.transaction()
    desk.alert(first)
    desk.clock.turn(minutes=1)
    desk.sent.error = MailError("away")
    tries = 0
    for _ in range(60):
        tries += desk.send()
        desk.clock.turn(minutes=1)
    assert tries == 6
    desk.alert(second)
    desk.sent.error = None
    desk.clock.turn(minutes=5)
    assert desk.send()
    ((_, subject, text),) = desk.sent.mails
    assert subject == "2 transactions need a person"
    assert text.index(str(first)) < text.index(str(second))


def test_after_three_days_it_is_given_up(desk: Desk) -> None:
    desk.alert(desk.transaction())
    desk.sent.error = MailError("away")
    desk.clock.turn(days=3, minutes=1)
    assert desk.send()
    assert desk.outcomes() == ["given up"]


@pytest.mark.parametrize("unset", ["sender", "operator"])
def test_with_nobody_to_mail_it_ends(desk: Desk, unset: str) -> None:
    desk.alert(desk.transaction())
    desk.clock.turn(minutes=1)
    sender = None if unset == "sender" else desk.sent
    operator = "" if unset == "operator" else OPERATOR
    assert desk.send(AlertMail(desk.database, desk.clock, sender, operator))
    assert (desk.outcomes(), desk.sent.mails) == (["nobody to mail"], [])


def test_the_sandbox_mails_nobody(desk: Desk) -> None:
    desk.alert(desk.transaction(desk.sandbox))
    assert desk.outcomes() == []


def test_what_ended_long_ago_is_forgotten(run: Run, desk: Desk) -> None:
    desk.alert(desk.transaction())
    desk.clock.turn(minutes=1)
    assert desk.send()
    desk.alert(desk.transaction())
    desk.clock.turn(days=91)
    run(desk.mail.forget())
    assert desk.outcomes() == [None]
