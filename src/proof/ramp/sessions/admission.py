"""Who may go on with a widget session: the page that presents its init token, and the tab that opened it.

Nothing is written here. Moments named `now` are the clock's own; a session's environment may be ahead.
"""

import hmac
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from proof.core.errors import NotFoundError
from proof.core.secrets import Vault
from proof.db import Connection
from proof.partners.access.networks import Address
from proof.partners.errors import SuspendedError
from proof.partners.keys import session_signing
from proof.partners.keys.session_signing import Ring, SessionParameters, SignatureError
from proof.partners.types import Environment
from proof.partners.widgets import WidgetOwner, widget_owner
from proof.ramp import personal
from proof.ramp.personal import Kind
from proof.ramp.providers.protocols import Subject
from proof.ramp.sessions import widget_queries
from proof.ramp.sessions.checks import require_same
from proof.ramp.sessions.errors import (
    InitTokenExpiredError,
    InitTokenUsedError,
    SignatureInvalidError,
    UnauthorisedError,
)
from proof.ramp.sessions.tokens import init_token, token_sha256
from proof.ramp.sessions.widget_queries import WidgetSession


class Opening(NamedTuple):
    """What the page presents. `address` is the browser's as the edge saw it; `session_token` the tab's own,
    the same whenever it tries again, None if it sent none."""

    widget_id: str
    init_token: str
    merchant_transaction_id: str
    signature: str
    options: Mapping[str, Any]
    address: Address
    session_token: str | None


class Admission(NamedTuple):
    """A session, its owner, and what is known of its user."""

    held: WidgetSession
    owner: WidgetOwner
    personal: Mapping[Kind, str]

    @property
    def subject(self) -> Subject:
        """The transaction as providers are told of it."""
        return self.held.subject(
            self.personal.get(Kind.EMAIL),
            self.personal.get(Kind.ADDRESS),
            self.personal.get(Kind.CLIENT_IP),
        )


async def admit_opening(
    connection: Connection,
    vault: Vault,
    environment: Environment,
    opening: Opening,
    now: datetime,
) -> Admission:
    """The session that the init token opens, if signature and options are those it was made with.

    Not checked: whether the token was used or is over (`resumes`). Raises NotFoundError for an unknown
    widget, UnauthorisedError, SignatureInvalidError, OptionsDifferError, SuspendedError for a suspended
    partner, SealError.
    """
    owner = await widget_owner(connection, opening.widget_id)
    if owner is None or owner.environment is not environment:
        raise NotFoundError("widget_id: there is no such widget")
    _require_active(owner)
    held = await _named(connection, opening.merchant_transaction_id, owner)
    ring = await session_signing.open_ring(connection, vault, environment, now)
    if held is None or held.signing_key_id not in ring.ids:
        raise UnauthorisedError("init_token: it opens no session of this widget")
    expected = init_token(ring, held.signing_key_id, held.id)
    if not hmac.compare_digest(expected.encode(), opening.init_token.encode(errors="replace")):
        raise UnauthorisedError("init_token: it opens no session of this widget")
    known = await personal.read(connection, vault, held.transaction_id)
    _require_signed(ring, held, known, opening.signature)
    require_same(held.parameters, known.get(Kind.ADDRESS, ""), expected, opening.options)
    return Admission(held, owner, known)


async def admit_tab(
    connection: Connection, vault: Vault, environment: Environment, token: str, now: datetime
) -> Admission:
    """The session of the tab that has this token. Raises UnauthorisedError, SuspendedError, SealError."""
    over = UnauthorisedError("the widget's session is unknown or over; run the widget anew")
    held = await widget_queries.session_by_token(connection, token_sha256(token))
    if held is None or held.expires_at is None or now + held.offset >= held.expires_at:
        raise over
    owner = await widget_owner(connection, held.parameters.widget_id)
    if owner is None or owner.environment is not environment:
        raise over
    _require_active(owner)
    return Admission(held, owner, await personal.read(connection, vault, held.transaction_id))


def resumes(held: WidgetSession, session_token: str, now: datetime) -> bool:
    """Whether the session is the tab's already. Raises InitTokenUsedError when it is another tab's,
    InitTokenExpiredError when its time is over."""
    there = now + held.offset
    if held.exchanged_at is not None and held.expires_at is not None:
        presented = token_sha256(session_token)
        if not hmac.compare_digest(presented, held.token_sha256 or b""):
            raise InitTokenUsedError
        if there >= held.expires_at:
            raise InitTokenExpiredError("init_token: the session is over; open a new one")
        return True
    if there >= held.init_expires_at or not held.open:
        raise InitTokenExpiredError("init_token: it was not used in time; open a new session")
    return False


def _require_active(owner: WidgetOwner) -> None:
    if owner.suspended:
        raise SuspendedError


def _require_signed(
    ring: Ring, held: WidgetSession, known: Mapping[Kind, str], signature: str
) -> None:
    signed = SessionParameters(
        known.get(Kind.ADDRESS, ""), known.get(Kind.CLIENT_IP, ""), str(held.transaction_id)
    )
    try:
        ring.verify(signed, signature)
    except SignatureError:
        raise SignatureInvalidError("signature: it was not made over this session") from None


async def _named(
    connection: Connection, transaction_id: str, owner: WidgetOwner
) -> WidgetSession | None:
    try:
        identity = UUID(transaction_id)
    except ValueError:
        return None
    return await widget_queries.session_of(connection, identity, owner.partner_environment_id)
