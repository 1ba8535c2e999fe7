"""The link under which a user finds the receipt of a transaction: whoever has its token may read it.

The token comes from the transaction's secret, so that the widget shows the same link however often it is
asked. Its SHA-256 is stored when the link is first made, so that the link goes on after the secret was
erased, for as long as the transaction is kept.
"""

import hashlib
import hmac
import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec

from proof.core.errors import NotFoundError
from proof.core.secrets import Vault
from proof.db import Connection
from proof.partners.types import Environment
from proof.ramp import personal
from proof.ramp.personal import Kind
from proof.ramp.sessions.state import masked
from proof.ramp.sessions.types import StoredParameters
from proof.ramp.types import TransactionType

_LABEL = b"receipt link"
# 256 bits in base64url.
_token = re.compile(r"[A-Za-z0-9_-]{43}").fullmatch
_uuid = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch

_SAVE = """
INSERT INTO ramp_receipt_links (transaction_id, token_sha256) VALUES ($1, $2) ON CONFLICT DO NOTHING
"""

# Nothing more is read before the token is known to be right: whoever guesses waits as long for a link that
# is there as for one that is not.
_STORED = "SELECT token_sha256 FROM ramp_receipt_links WHERE transaction_id = $1"

_FIND = """
SELECT t.partner_environment_id, t.type, p.name, s.parameters
FROM ramp_transactions t JOIN partner_environments e ON e.id = t.partner_environment_id
JOIN partners p ON p.id = e.partner_id
LEFT JOIN ramp_sessions s ON s.transaction_id = t.id
WHERE t.id = $1 AND e.environment = $2
"""


@dataclass(frozen=True, slots=True)
class ReceiptLink:
    """Where a receipt is. The token stands in the fragment, which reaches no server, log or referrer."""

    transaction_id: UUID
    token: str

    @property
    def path(self) -> str:
        """Below the environment's base URL."""
        return f"/r/{self.transaction_id}#{self.token}"


@dataclass(frozen=True, slots=True)
class LinkedTransaction:
    """What a link leads to, and what its page says that no record does: the partner's name, the language
    that the session was opened in, and the ends of the wallet that coins were bought to, which is empty
    once its user was erased."""

    transaction_id: UUID
    partner_environment_id: int
    partner_name: str
    lang: str
    address: str


async def make_link(tx: Connection, vault: Vault, transaction_id: UUID) -> ReceiptLink:
    """The link of a transaction, which works once this is committed. Raises NotFoundError for one whose
    secret was erased, SealError."""
    secret = await personal.secret_of(tx, vault, transaction_id)
    if secret is None:
        raise NotFoundError("no link can be made to this receipt any more: its secret was erased")
    mac = hmac.digest(secret, _LABEL, "sha256")
    link = ReceiptLink(transaction_id, urlsafe_b64encode(mac).rstrip(b"=").decode())
    await tx.execute(_SAVE, transaction_id, _sha256(link.token))
    return link


async def follow_link(
    connection: Connection,
    vault: Vault,
    environment: Environment,
    transaction_id: str,
    token: str,
) -> LinkedTransaction:
    """What the link leads to. Raises NotFoundError, the same for a transaction that is not there, one
    without a link and one with another token; SealError."""
    gone = NotFoundError("this link leads to no receipt")
    if not _uuid(transaction_id) or not _token(token):
        raise gone
    stored: bytes | None = await connection.fetchval(_STORED, UUID(transaction_id))
    if not hmac.compare_digest(stored or bytes(32), _sha256(token)) or stored is None:
        raise gone
    row: Any = await connection.fetchrow(_FIND, UUID(transaction_id), environment)
    if row is None:
        raise gone
    known = await personal.read(connection, vault, UUID(transaction_id))
    buying = row["type"] == TransactionType.BUY
    return LinkedTransaction(
        transaction_id=UUID(transaction_id),
        partner_environment_id=row["partner_environment_id"],
        partner_name=row["name"],
        lang=_lang(row["parameters"]),
        address=masked(known.get(Kind.ADDRESS, "")) if buying else "",
    )


def _lang(parameters: Any) -> str:
    if parameters is None:
        return ""
    return msgspec.json.decode(parameters, type=StoredParameters).lang


def _sha256(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
