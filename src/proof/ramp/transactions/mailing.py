"""Mail to the operator about transactions that need a person.

A notice is a row, written in the statement that raises the alert. All that wait go into one mail, a minute
after the first of them and at most once in ten minutes. What is true if the process stops after a step:

1. Claimed: leased to this worker. Stop here and another claims it when the lease ends.
2. Handed to the relay. Stop here and it is sent once more when the lease ends.
3. Ended: sent, or given up after three days of a relay that takes nothing. It is not read again.

No transaction is open over step 2. A mail names transactions, reasons and partners, and nothing of a
payment or a person: it goes through relays that keep what they see.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog

from proof.core.clock import Clock, readable_text
from proof.core.loop import Loop
from proof.db import Connection, Database
from proof.mail import MailError, Sender
from proof.mail.schedule import FORGET_S, GIVE_UP, KEPT, LEASE, POLL_S, next_try

_PACE = timedelta(minutes=10)
# A mail lists so many transactions and counts the others: nobody reads more.
_LINES = 50

_CLAIM = """
WITH claimed AS (
    UPDATE ramp_alert_notices SET attempts = attempts + 1, leased_until = $2
    WHERE id IN (SELECT id FROM ramp_alert_notices
                 WHERE ended_at IS NULL AND (leased_until IS NULL OR leased_until <= $1)
                 FOR UPDATE SKIP LOCKED)
      AND EXISTS (SELECT FROM ramp_alert_notices WHERE ended_at IS NULL AND due_at <= $1
                  AND (leased_until IS NULL OR leased_until <= $1))
      AND NOT EXISTS (SELECT FROM ramp_alert_notices WHERE ended_at > $3 AND outcome = 'sent')
    RETURNING id, transaction_id, alert, at, attempts
)
SELECT claimed.*, partner_id FROM claimed
JOIN ramp_transactions transaction ON transaction.id = transaction_id
JOIN partner_environments owner ON owner.id = partner_environment_id
ORDER BY claimed.at, claimed.id
"""

# A notice that was not ended becomes due again.
_RECORD = """
UPDATE ramp_alert_notices SET leased_until = NULL, due_at = $2,
    outcome = coalesce($3, CASE WHEN at < $5 THEN 'given up' END),
    ended_at = CASE WHEN $3::text IS NOT NULL OR at < $5 THEN $4::timestamptz END
WHERE id = ANY($1::bigint[]) AND ended_at IS NULL
"""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class AlertMail:
    """Sends what waits, from any number of workers at once.

    Without a `sender` or an `operator` address notices end as they come, so that a relay set up later does
    not bring old ones.
    """

    database: Database
    clock: Clock
    sender: Sender | None
    operator: str = ""

    def loops(self) -> list[Loop]:
        """Sending, and forgetting what ended long ago."""
        return [
            Loop("alert mail", self.send, POLL_S),
            Loop("forget alert mail", self.forget, FORGET_S),
        ]

    async def send(self) -> bool:
        """Send what waits, if it is due; whether it was. Raises DatabaseUnavailableError."""
        now = self.clock.now()
        async with self.database.connection() as connection:
            rows = await connection.fetch(_CLAIM, now, now + LEASE, now - _PACE)
        if not rows:
            return False
        outcome = await self._outcome(rows)
        async with self.database.connection() as connection:
            await self._record(connection, rows, outcome)
        return True

    async def forget(self) -> bool:
        """Delete notices that ended 90 days ago; there is nothing more to do then."""
        async with self.database.connection() as connection:
            await connection.execute(
                "DELETE FROM ramp_alert_notices WHERE ended_at < $1", self.clock.now() - KEPT
            )
        return False

    async def _outcome(self, rows: Sequence[Any]) -> str | None:
        """How it ended; None when it is to be tried again."""
        if self.sender is None or not self.operator:
            return "nobody to mail"
        try:
            await self.sender.send(self.operator, _subject(rows), _text(rows))
        except MailError as error:
            _log.warning("ramp.alerts_unmailed", alerts=len(rows), error=error.message)
            return None
        return "sent"

    async def _record(
        self, connection: Connection, rows: Sequence[Any], outcome: str | None
    ) -> None:
        now, tries = self.clock.now(), max(row["attempts"] for row in rows)
        ids = [row["id"] for row in rows]
        due_at = next_try(now, tries)
        await connection.execute(_RECORD, ids, due_at, outcome, now, now - GIVE_UP)


def _subject(rows: Sequence[Any]) -> str:
    if len(rows) == 1:
        return f"A transaction needs a person: {rows[0]['alert']}"
    return f"{len(rows)} transactions need a person"


def _text(rows: Sequence[Any]) -> str:
    # Lines over 78 characters would be folded, and the ids in them broken.
    lines = [
        f"{row['transaction_id']}  {row['alert']}\n    {readable_text(row['at'])}  {row['partner_id']}\n"
        for row in rows[:_LINES]
    ]
    if more := Counter(row["alert"] for row in rows[_LINES:]):
        lines += ["\nand more:\n", *(f"{count:>6}  {alert}\n" for alert, count in more.items())]
    return (
        f"Alerts of production:\n\n{''.join(lines)}\n"
        "proof tx list --alerted   lists what still needs a person,\n"
        "proof tx show ID          shows what its provider said.\n"
        "/docs/operating says what each reason means and what to do.\n"
    )
