"""The hosted page's session: opening it once, and what its user does in it.

Opening, in order; each step leaves nothing undone if we stop after it:

1. The init token, signature and options are held against the stored session. Nothing is written.
2. A provider with a widget of its own mints its session. Stopped here, the init token is as good as before.
3. The init token is exchanged for the tab's own token, by one guarded statement. Stopped here, only the tab
   that got the answer goes on; nobody else can.
4. The simulator's operation begins, at the first look at the state. Stopped here, the next look begins it.
"""

import hmac
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from proof.core.clock import Clock
from proof.core.errors import NotFoundError
from proof.core.secrets import Vault
from proof.db import Connection, Database
from proof.partners import signing
from proof.partners.errors import ScopeError
from proof.partners.networks import Address
from proof.partners.signing import SessionParameters, SignatureError
from proof.partners.types import Environment
from proof.partners.widgets import WidgetOwner, widget_owner
from proof.ramp import personal
from proof.ramp.errors import CurrencyNotAllowedError, ProviderError
from proof.ramp.personal import Kind
from proof.ramp.providers.accounts import account, account_of
from proof.ramp.providers.protocols import (
    Account,
    ActsForUser,
    Handover,
    OpensSessions,
    PaymentMethod,
    Progress,
    Quotes,
    Subject,
)
from proof.ramp.providers.registry import Providers
from proof.ramp.sessions import widget_queries
from proof.ramp.sessions.errors import (
    InitTokenExpiredError,
    InitTokenUsedError,
    NotPossibleNowError,
    SignatureInvalidError,
    UnauthorisedError,
)
from proof.ramp.sessions.options import require_same
from proof.ramp.sessions.state import Seen, State, state_of
from proof.ramp.sessions.tokens import init_token, new_session_token, token_sha256
from proof.ramp.sessions.widget_queries import Held
from proof.ramp.types import Status

SESSION_LIFETIME = timedelta(hours=24)

_Act = Callable[[ActsForUser, Connection, Account, Subject, datetime], Awaitable[Progress]]


class Opening(NamedTuple):
    """What the page presents. `address` is the browser's as the edge saw it; `session_token` that of a tab
    that opened this session before, None in a new one."""

    widget_id: str
    init_token: str
    merchant_transaction_id: str
    signature: str
    options: Mapping[str, Any]
    address: Address
    session_token: str | None


class OpenedWidget(msgspec.Struct, frozen=True):
    """The tab's own token, its end, and the state."""

    session_token: str
    expires_at: str
    state: State


class _Known(NamedTuple):
    """A session, its owner, and what is known of its user."""

    held: Held
    owner: WidgetOwner
    personal: Mapping[Kind, str]

    @property
    def subject(self) -> Subject:
        return self.held.subject(
            self.personal.get(Kind.EMAIL),
            self.personal.get(Kind.ADDRESS),
            self.personal.get(Kind.CLIENT_IP),
        )


class Widgets:
    """The widget sessions of one process."""

    def __init__(
        self, database: Database, vault: Vault, clock: Clock, providers: Providers
    ) -> None:
        self._database = database
        self._vault = vault
        self._clock = clock
        self._providers = providers

    async def open(self, environment: Environment, opening: Opening) -> OpenedWidget:
        """Exchange an init token for the tab's session, or go on in the tab that did.

        Raises NotFoundError for an unknown widget, UnauthorisedError or a kind of it,
        SignatureInvalidError, OptionsDifferError, ScopeError for a suspended partner, ProviderError when
        no provider opens it.
        """
        async with self._database.connection() as connection:
            known = await self._presented(connection, environment, opening)
            resumed = self._resumes(known.held, opening)
            used = known.held.provider_account_id if resumed else None
            found = await self._account(connection, known.held.partner_environment_id, used)
        handover = await self._handover(found, known, opening.address)
        token = opening.session_token
        if not resumed or token is None:
            token = new_session_token()
            known = await self._exchanged(known, found, opening, token)
        state = await self._state(known, found, handover)
        return OpenedWidget(token, state.session_expires_at, state)

    async def state(self, environment: Environment, token: str) -> State:
        """How the session stands. Raises UnauthorisedError, ProviderError."""
        known, found = await self._session(environment, token)
        return await self._state(known, found)

    async def choose_fiat(self, environment: Environment, token: str, fiat_currency: str) -> State:
        """Pay, or be paid, in another of the session's currencies; nothing once it is not pending.

        Raises CurrencyNotAllowedError and what `state` does.
        """
        known, found = await self._session(environment, token)
        possible = known.held.parameters.fiat_currencies
        if fiat_currency not in possible:
            raise CurrencyNotAllowedError(
                f"fiat_currency: one of {', '.join(possible)} is required"
            )
        if known.held.open:
            async with self._database.connection() as connection:
                await widget_queries.choose_fiat(connection, known.held.id, fiat_currency)
            known = known._replace(held=replace(known.held, fiat_currency=fiat_currency))
        return await self._state(known, found)

    async def submit_kyc(self, environment: Environment, token: str, document: str) -> State:
        """The user's papers and face. Raises NotPossibleNowError with a provider whose widget is its
        own, and what `state` does; so do all that follow."""

        async def act(
            adapter: ActsForUser, tx: Connection, used: Account, subject: Subject, now: datetime
        ) -> Progress:
            return await adapter.submit_kyc(tx, used, subject, document, now)

        return await self._acted(environment, token, act)

    async def pay(
        self,
        environment: Environment,
        token: str,
        attempt_id: UUID,
        method: PaymentMethod,
        outcome: str | None,
    ) -> State:
        """One attempt to pay; said twice it is one. Raises InvalidInputError for an unknown outcome."""

        async def act(
            adapter: ActsForUser, tx: Connection, used: Account, subject: Subject, now: datetime
        ) -> Progress:
            return await adapter.pay(tx, used, subject, attempt_id, method, outcome, now)

        return await self._acted(environment, token, act)

    async def answer_challenge(
        self, environment: Environment, token: str, attempt_id: UUID, *, passed: bool
    ) -> State:
        """What the user told the bank."""

        async def act(
            adapter: ActsForUser, tx: Connection, used: Account, subject: Subject, now: datetime
        ) -> Progress:
            return await adapter.answer_challenge(
                tx, used, subject, attempt_id, passed=passed, now=now
            )

        return await self._acted(environment, token, act)

    async def show_deposit(self, environment: Environment, token: str) -> State:
        """Show where a sell's coins go; its six hours begin with the first time."""

        async def act(
            adapter: ActsForUser, tx: Connection, used: Account, subject: Subject, now: datetime
        ) -> Progress:
            return await adapter.show_deposit(tx, used, subject, now)

        return await self._acted(environment, token, act)

    async def cancel(self, environment: Environment, token: str) -> State:
        """The user gives up."""

        async def act(
            adapter: ActsForUser, tx: Connection, used: Account, subject: Subject, now: datetime
        ) -> Progress:
            return await adapter.cancel(tx, used, subject, now)

        return await self._acted(environment, token, act)

    async def _acted(self, environment: Environment, token: str, act: _Act) -> State:
        known, found = await self._session(environment, token)
        adapter = self._providers.adapter(found.provider)
        if not isinstance(adapter, ActsForUser):
            raise NotPossibleNowError("this is done in the provider's own widget")
        # What comes too late changes nothing, and the page sees why.
        if known.held.open:
            now = self._now(known.held)
            async with self._database.transaction() as tx:
                await act(adapter, tx, found, known.subject, now)
        return await self.state(environment, token)

    async def _presented(
        self, connection: Connection, environment: Environment, opening: Opening
    ) -> _Known:
        owner = await widget_owner(connection, opening.widget_id)
        if owner is None or owner.environment is not environment:
            raise NotFoundError("widget_id: there is no such widget")
        if owner.suspended:
            raise ScopeError("this partner is suspended; ask the operator")
        held = await _named(connection, opening.merchant_transaction_id, owner)
        now = self._clock.now()
        ring = await signing.open_ring(connection, self._vault, environment, now)
        if held is None or held.signing_key_id not in ring.ids:
            raise UnauthorisedError("init_token: it opens no session of this widget")
        expected = init_token(ring, held.signing_key_id, held.id)
        if not hmac.compare_digest(expected.encode(), opening.init_token.encode(errors="replace")):
            raise UnauthorisedError("init_token: it opens no session of this widget")
        found = await personal.read(connection, self._vault, held.transaction_id)
        address = found.get(Kind.ADDRESS, "")
        signed = SessionParameters(address, found.get(Kind.CLIENT_IP, ""), str(held.transaction_id))
        try:
            ring.verify(signed, opening.signature)
        except SignatureError:
            raise SignatureInvalidError("signature: it was not made over this session") from None
        require_same(held.parameters, address, expected, opening.options)
        return _Known(held, owner, found)

    def _resumes(self, held: Held, opening: Opening) -> bool:
        """Whether the tab has the session already. Raises InitTokenUsedError when another has it,
        InitTokenExpiredError when nobody may have it any more."""
        now = self._now(held)
        if held.exchanged_at is not None and held.expires_at is not None:
            presented = token_sha256(opening.session_token or "")
            if not hmac.compare_digest(presented, held.token_sha256 or b""):
                raise InitTokenUsedError(
                    "init_token: the session was opened in another tab or browser; only that one goes on"
                )
            if now >= held.expires_at:
                raise InitTokenExpiredError("init_token: the session is over; open a new one")
            return True
        if now >= held.init_expires_at or not held.open:
            raise InitTokenExpiredError("init_token: it was not used in time; open a new session")
        return False

    async def _exchanged(
        self, known: _Known, found: Account, opening: Opening, token: str
    ) -> _Known:
        now = self._now(known.held)
        expires_at, sha256 = now + SESSION_LIFETIME, token_sha256(token)
        differs = _differs(known.personal.get(Kind.CLIENT_IP), opening.address)
        async with self._database.connection() as connection:
            if not await widget_queries.exchange(
                connection, known.held.id, now, sha256, expires_at, differs, found.id
            ):
                raise InitTokenUsedError(
                    "init_token: the session was opened in another tab or browser; only that one goes on"
                )
        return known._replace(held=replace(known.held, expires_at=expires_at, exchanged_at=now))

    async def _session(self, environment: Environment, token: str) -> tuple[_Known, Account]:
        over = UnauthorisedError("the widget's session is unknown or over; run the widget anew")
        async with self._database.connection() as connection:
            held = await widget_queries.session_by_token(connection, token_sha256(token))
            if held is None or held.expires_at is None or self._now(held) >= held.expires_at:
                raise over
            owner = await widget_owner(connection, held.parameters.widget_id)
            if owner is None or owner.environment is not environment:
                raise over
            if owner.suspended:
                raise ScopeError("this partner is suspended; ask the operator")
            found = await personal.read(connection, self._vault, held.transaction_id)
            used = await self._account(
                connection, held.partner_environment_id, held.provider_account_id
            )
        return _Known(held, owner, found), used

    async def _account(
        self, connection: Connection, partner_environment_id: int, used: UUID | None
    ) -> Account:
        """The account a session was opened with, or the one it would be."""
        if used is not None:
            return await account(connection, self._vault, used)
        found = await account_of(connection, self._vault, partner_environment_id)
        if found is None:
            raise ProviderError(
                "no payment provider is set up for this partner's production environment; the operator"
                " adds one with `proof provider add`"
            )
        return found

    async def _handover(self, found: Account, known: _Known, seen: Address) -> Handover | None:
        adapter = self._providers.adapter(found.provider)
        if isinstance(adapter, ActsForUser) or known.held.status is not Status.PENDING:
            return None
        if not isinstance(adapter, OpensSessions):
            raise ProviderError(f"the provider {found.provider} opens no widget")
        return await adapter.open(found, replace(known.subject, client_ip=str(seen)))

    async def _state(
        self, known: _Known, found: Account, handover: Handover | None = None
    ) -> State:
        adapter = self._providers.adapter(found.provider)
        seen = Seen(
            provider=found.provider, address=known.personal.get(Kind.ADDRESS, ""), handover=handover
        )
        if isinstance(adapter, ActsForUser):
            progress = await self._progress(adapter, known, found)
            quote = None
            if isinstance(adapter, Quotes):
                quote = await adapter.quote(found, known.subject)
            seen = msgspec.structs.replace(seen, progress=progress, quote=quote)
        return state_of(known.held, known.owner, seen)

    async def _progress(
        self, adapter: ActsForUser, known: _Known, found: Account
    ) -> Progress | None:
        async with self._database.connection() as connection:
            progress = await adapter.progress(connection, found, known.subject)
        if progress is not None or not known.held.open:
            return progress
        async with self._database.transaction() as tx:
            return await adapter.choose_outcome(tx, found, known.subject, self._now(known.held))

    def _now(self, held: Held) -> datetime:
        return self._clock.now() + held.offset


async def _named(connection: Connection, transaction_id: str, owner: WidgetOwner) -> Held | None:
    try:
        identity = UUID(transaction_id)
    except ValueError:
        return None
    return await widget_queries.session_of(connection, identity, owner.partner_environment_id)


def _differs(told: str | None, seen: Address) -> bool | None:
    """Whether the partner's backend saw its user at another address than we do; None if it told none."""
    if not told:
        return None
    address = ip_address(told)
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address) != seen
