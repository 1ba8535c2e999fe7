"""Links that show secrets one time, within a day.

The token stands in the link's fragment, which no browser sends: not in a request line, not in a
Referer, so in no log. Opening the link changes nothing; only the page's button sends the token, as a
body. So whatever fetches links by itself, a mail scanner or a chat's preview, uses up none.
"""

import hashlib
from datetime import datetime, timedelta
from typing import NamedTuple

from proof.core.clock import readable_text
from proof.core.errors import CallerError
from proof.core.ids import base62_width, random_base62
from proof.core.secrets import Vault
from proof.db import Connection
from proof.mail import Sender
from proof.partners.audit import Actor, record
from proof.partners.records.types import PartnerRecord

PATH = "/handover"

# The associated data of the sealed secrets.
IDENTITY = "handover {token_sha256}"
LIFE = timedelta(hours=24)
_TOKEN_BITS = 256
TOKEN_CHARACTERS = base62_width(_TOKEN_BITS)
_TAKE = """
UPDATE handovers h SET sealed = NULL, viewed_at = $2
FROM (SELECT token_sha256, sealed FROM handovers
      WHERE token_sha256 = $1 AND sealed IS NOT NULL AND expires_at > $2 FOR UPDATE) AS held
WHERE h.token_sha256 = held.token_sha256
RETURNING h.partner_id, held.sealed
"""
_IS_OPEN = """
SELECT true FROM handovers WHERE token_sha256 = $1 AND sealed IS NOT NULL AND expires_at > $2
"""
_SUBJECT = "Your credentials, shown once"


class HandoverGoneError(CallerError):
    """The link was opened already, is too old, or never was; only the first is told apart."""

    code = "gone"


class HandoverLink(NamedTuple):
    """A link as given away; only a hash of its token is kept."""

    url: str
    expires_at: datetime

    def __repr__(self) -> str:
        return f"HandoverLink(expires_at={self.expires_at!r})"


class OpenedLink(NamedTuple):
    """Whose it was, and what it held."""

    partner_id: str
    secrets: str

    def __repr__(self) -> str:
        return f"OpenedLink(partner_id={self.partner_id!r})"


async def make_link(
    tx: Connection,
    vault: Vault,
    partner_id: str,
    secrets: str,
    base_url: str,
    now: datetime,
    actor: Actor,
) -> HandoverLink:
    """Seal the secrets until their link is opened or a day has passed; then it is erased.

    `base_url` is production's.
    """
    await erase_expired(tx, now)
    token, expires_at = random_base62(_TOKEN_BITS), now + LIFE
    sha256 = hashlib.sha256(token.encode()).digest()
    await tx.execute(
        "INSERT INTO handovers (token_sha256, partner_id, sealed, created_at, expires_at)"
        " VALUES ($1, $2, $3, $4, $5)",
        sha256,
        partner_id,
        vault.seal(secrets.encode(), _identity(sha256)),
        now,
        expires_at,
    )
    await record(
        tx, actor, "handover.link", partner_id, after={"expires_at": expires_at.isoformat()}
    )
    return HandoverLink(f"{base_url}{PATH}#{token}", expires_at)


async def open_link(
    tx: Connection, vault: Vault, token: str, now: datetime, actor: Actor
) -> OpenedLink:
    """What the link holds, which nobody can read again once this transaction is committed.

    Of two that open it at once, one gets it. Raises HandoverGoneError.
    """
    sha256 = hashlib.sha256(token.encode()).digest()
    row = await tx.fetchrow(_TAKE, sha256, now)
    if row is None:
        raise HandoverGoneError(await _why_gone(tx, sha256))
    await record(
        tx, actor, "handover.view", row["partner_id"], after={"viewed_at": now.isoformat()}
    )
    return OpenedLink(row["partner_id"], vault.open(row["sealed"], _identity(sha256)).decode())


async def require_link(connection: Connection, token: str, now: datetime) -> None:
    """Raises HandoverGoneError unless the link can still be opened. Changes nothing and locks nothing, so
    that whoever tries made-up ones costs one read of an index."""
    sha256 = hashlib.sha256(token.encode()).digest()
    if not await connection.fetchval(_IS_OPEN, sha256, now):
        raise HandoverGoneError(await _why_gone(connection, sha256))


async def erase_expired(tx: Connection, now: datetime) -> int:
    """Erase what nobody opened in time; how many."""
    status = await tx.execute(
        "UPDATE handovers SET sealed = NULL WHERE sealed IS NOT NULL AND expires_at <= $1", now
    )
    return int(status.rpartition(" ")[2])


async def _why_gone(connection: Connection, sha256: bytes) -> str:
    viewed_at = await connection.fetchval(
        "SELECT viewed_at FROM handovers WHERE token_sha256 = $1", sha256
    )
    if viewed_at is None:
        return "this link is not valid, or its day is over; ask the operator for another"
    return (
        f"this link was opened already, at {readable_text(viewed_at)}; if that was not you,"
        " tell the operator at once"
    )


def _identity(sha256: bytes) -> str:
    return IDENTITY.format(token_sha256=sha256.hex())


async def mail_link(sender: Sender, record: PartnerRecord, link: HandoverLink) -> str:
    """The address it was handed over for. Raises MailError; then the link is as good as before."""
    text = (
        f"Your credentials for {record.name} are ready:\n\n{link.url}\n\n"
        f"The page shows them one time, until {link.expires_at:%Y-%m-%d %H:%M} UTC."
        " Open it where you can store them in a safe place.\n"
    )
    await sender.send(record.contact_email, _SUBJECT, text)
    return record.contact_email
