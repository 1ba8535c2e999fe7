"""Mail to the operator and the partner's contact about an endpoint that is left alone or given up.

A notice is a row for each of the two, written in the statement that changed the endpoint. What is true if
the process stops after a step:

1. Claimed: its next try lies a lease ahead and counts as begun. Stop here and it is tried then.
2. Handed to the relay. Stop here and it is sent once more when the lease ends.
3. Ended: sent, or given up after three days of a relay that takes nothing. It is not read again.

No transaction is open over step 2, and nothing here is waited for by a delivery.
"""

from dataclasses import dataclass
from typing import Any

import structlog

from proof.core.clock import Clock, readable_text
from proof.core.loop import Loop
from proof.db import Connection, Database
from proof.mail import MailError, Sender
from proof.mail.schedule import FORGET_S, GIVE_UP, KEPT, LEASE, POLL_S, next_try
from proof.partners.environments import Contact, contact
from proof.webhooks.types import Change, EndpointNotice

_log = structlog.get_logger(__name__)
_OPERATOR = "operator"
_CLAIM = """
UPDATE webhook_notices SET attempts = attempts + 1, due_at = $2
WHERE id = (SELECT id FROM webhook_notices WHERE ended_at IS NULL AND due_at <= $1
            ORDER BY due_at, id LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING id, endpoint_id, partner_environment_id, purpose, host, change, reason, at, audience, attempts
"""

_SAID = {
    Change.OPENED: "has failed so often that it is left alone for now.",
    Change.DISABLED: "is disabled: it gets no more webhooks.",
}
_NEXT = {
    Change.OPENED: """\
Nothing is lost. One webhook at a time tries the endpoint, at least once
an hour; when one is answered with 2xx, all that waited follow. An
endpoint that stays silent for days is disabled.
""",
    Change.DISABLED: """\
What was to be sent waits as long as payloads are kept. It follows when
the operator enables the endpoint again (proof webhook change), or when
its URL is set anew. Until then GET /events gives the same events.
""",
}


class LogNotifier:
    """Tells the operator's log alone."""

    async def endpoint_changed(self, notice: EndpointNotice) -> None:
        say = _log.info if notice.change is Change.RECOVERED else _log.warning
        say(
            "webhook.endpoint_changed",
            change=str(notice.change),
            endpoint_id=str(notice.endpoint_id),
            partner_environment_id=notice.partner_environment_id,
            purpose=notice.purpose,
            host=notice.host,
            reason=notice.reason,
        )


@dataclass(frozen=True, slots=True)
class NoticeMail:
    """Sends the notices that are due, from any number of workers at once.

    Without a `sender` nobody is mailed, and without an `operator` address the contact alone is: such
    notices end as they come, so that a relay set up later does not bring old ones.
    """

    database: Database
    clock: Clock
    sender: Sender | None
    operator: str = ""

    def loops(self) -> list[Loop]:
        """Sending, and forgetting what ended long ago."""
        return [
            Loop("webhook notices", self.send_next, POLL_S),
            Loop("forget webhook notices", self.forget, FORGET_S),
        ]

    async def send_next(self) -> bool:
        """Send one notice that is due; whether there was one. Raises DatabaseUnavailableError."""
        now = self.clock.now()
        async with self.database.connection() as connection:
            row: Any = await connection.fetchrow(_CLAIM, now, now + LEASE)
            if row is None:
                return False
            found = await contact(connection, row["partner_environment_id"])
        outcome = await self._send(row, found)
        async with self.database.connection() as connection:
            await self._record(connection, row, outcome)
        return True

    async def forget(self) -> bool:
        """Delete notices that ended 90 days ago; there is nothing more to do then."""
        async with self.database.connection() as connection:
            await connection.execute(
                "DELETE FROM webhook_notices WHERE ended_at < $1", self.clock.now() - KEPT
            )
        return False

    async def _send(self, row: Any, found: Contact) -> str | None:
        """How it ended; None when it is to be tried again."""
        recipient = self.operator if row["audience"] == _OPERATOR else found.email
        if self.sender is None or not recipient:
            return "nobody to mail"
        try:
            await self.sender.send(recipient, _subject(row, found), _text(row, found))
        except MailError as error:
            over = self.clock.now() - row["at"] > GIVE_UP
            _log.warning(
                "webhook.notice_unmailed", notice_id=row["id"], error=error.message, given_up=over
            )
            return "given up" if over else None
        return "sent"

    async def _record(self, connection: Connection, row: Any, outcome: str | None) -> None:
        now = self.clock.now()
        await connection.execute(
            "UPDATE webhook_notices SET due_at = $2, outcome = $3,"
            " ended_at = CASE WHEN $3::text IS NULL THEN NULL ELSE $4::timestamptz END"
            " WHERE id = $1 AND ended_at IS NULL",
            row["id"],
            next_try(now, row["attempts"]),
            outcome,
            now,
        )


def _subject(row: Any, found: Contact) -> str:
    verb = "failing" if Change(row["change"]) is Change.OPENED else "disabled"
    return f"Webhook endpoint {verb}: {found.partner_id}, {found.environment}"


def _text(row: Any, found: Contact) -> str:
    # The URL may hold a token, so only its host is named.
    change, at = Change(row["change"]), readable_text(row["at"])
    return (
        f"A webhook endpoint {_SAID[change]}\n\n"
        f"partner   {found.name}\n          {found.partner_id}, {found.environment}\n"
        f"events    {row['purpose']}\nhost      {row['host']}\nendpoint  {row['endpoint_id']}\n"
        f"when      {at}\nwhy       {row['reason']}\n\n"
        f"{_NEXT[change]}"
    )
