"""The hosted page's session: opening it once, and what its user does in it.

Opening, in order; each step leaves nothing undone if we stop after it:

1. The init token, signature and options are held against the stored session. Nothing is written.
2. A provider with a widget of its own mints its session. Stopped here, the init token is as good as before.
3. The session is given to the tab's own token, by one guarded statement. The tab made and kept that token
   before it asked: one whose answer is lost asks again and goes on; with the init token alone nobody can.
4. Where our page is the provider's widget, its operation begins when the state is first read. Stopped
   here, the next read begins it.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from ipaddress import ip_address
from uuid import UUID

import msgspec

from proof.core.clock import Clock
from proof.core.secrets import Vault
from proof.db import Database
from proof.partners.access.networks import Address
from proof.partners.types import Environment
from proof.ramp.errors import CurrencyNotAllowedError
from proof.ramp.personal import Kind
from proof.ramp.providers.protocols import Account, ActsForUser, OnBehalf, PaymentMethod, Progress
from proof.ramp.providers.registry import Providers
from proof.ramp.sessions import widget_queries
from proof.ramp.sessions.admission import Admission, Opening, admit_opening, admit_tab, resumes
from proof.ramp.sessions.errors import InitTokenUsedError
from proof.ramp.sessions.provider import SessionProviders
from proof.ramp.sessions.receipt_links import ReceiptLink, make_link
from proof.ramp.sessions.state import WidgetState
from proof.ramp.sessions.tokens import require_session_token, token_sha256
from proof.ramp.sessions.widget_queries import WidgetSession

SESSION_LIFETIME = timedelta(hours=24)


_Act = Callable[[ActsForUser, OnBehalf], Awaitable[Progress]]


class OpenedWidget(msgspec.Struct, frozen=True):
    """The end of the tab's session, and the state."""

    expires_at: str
    state: WidgetState


class Widgets:
    """The widget sessions of one process."""

    def __init__(
        self, database: Database, vault: Vault, clock: Clock, providers: Providers
    ) -> None:
        self._database = database
        self._vault = vault
        self._clock = clock
        self._providers = SessionProviders(database, vault, providers)

    async def open(self, environment: Environment, opening: Opening) -> OpenedWidget:
        """Give the session to the tab whose token is presented, or go on in the tab that has it.

        Raises InvalidInputError without such a token, NotFoundError for an unknown widget,
        UnauthorisedError or a kind of it, SignatureInvalidError, OptionsDifferError, SuspendedError,
        ProviderError when no provider opens it.
        """
        token = require_session_token(opening.session_token)
        opened = await self._opened(environment, opening, token)
        if opened is None:
            # Another call exchanged the token first. If it was this tab's, the session is found now; if
            # not, the second try raises.
            opened = await self._opened(environment, opening, token)
        if opened is None:
            raise InitTokenUsedError
        return opened

    async def _opened(
        self, environment: Environment, opening: Opening, token: str
    ) -> OpenedWidget | None:
        """One try; None when the session was given away, or ended, meanwhile."""
        async with self._database.connection() as connection:
            now = self._clock.now()
            admitted = await admit_opening(connection, self._vault, environment, opening, now)
            held = admitted.held
            resumed = resumes(held, token, now)
            used = held.provider_account_id if resumed else None
            found = await self._providers.account(connection, held.partner_environment_id, used)
        handover = await self._providers.handover(found, admitted, opening.address)
        given = admitted if resumed else await self._given(admitted, found, opening.address, token)
        if given is None:
            return None
        state = await self._providers.state(found, given, self._now(given.held), handover)
        return OpenedWidget(state.session_expires_at, state)

    async def state(self, environment: Environment, token: str) -> WidgetState:
        """How the session stands. Raises UnauthorisedError, ProviderError."""
        admitted, found = await self._session(environment, token)
        return await self._providers.state(found, admitted, self._now(admitted.held))

    async def choose_fiat(
        self, environment: Environment, token: str, fiat_currency: str
    ) -> WidgetState:
        """Pay, or be paid, in another of the session's currencies; nothing once it is not pending.

        Raises CurrencyNotAllowedError and what `state` does.
        """
        admitted, found = await self._session(environment, token)
        held = admitted.held
        possible = held.parameters.fiat_currencies
        if fiat_currency not in possible:
            raise CurrencyNotAllowedError(
                f"fiat_currency: one of {', '.join(possible)} is required"
            )
        if held.open:
            async with self._database.connection() as connection:
                await widget_queries.choose_fiat(connection, held.id, fiat_currency)
            admitted = admitted._replace(held=replace(held, fiat_currency=fiat_currency))
        return await self._providers.state(found, admitted, self._now(held))

    async def submit_kyc(self, environment: Environment, token: str, document: str) -> WidgetState:
        """The user's papers and face. Raises NotPossibleNowError with a provider whose widget is its
        own, and what `state` does; so do all that follow."""
        return await self._acted(
            environment, token, lambda adapter, user: adapter.submit_kyc(user, document)
        )

    async def pay(
        self,
        environment: Environment,
        token: str,
        attempt_id: UUID,
        method: PaymentMethod,
        outcome: str | None,
    ) -> WidgetState:
        """One attempt to pay; said twice it is one. Raises InvalidInputError for an unknown outcome."""
        return await self._acted(
            environment,
            token,
            lambda adapter, user: adapter.pay(user, attempt_id, method, outcome),
        )

    async def answer_challenge(
        self, environment: Environment, token: str, attempt_id: UUID, *, passed: bool
    ) -> WidgetState:
        """What the user told the bank."""
        return await self._acted(
            environment,
            token,
            lambda adapter, user: adapter.answer_challenge(user, attempt_id, passed=passed),
        )

    async def show_deposit(self, environment: Environment, token: str) -> WidgetState:
        """Show where a sell's coins go; its six hours begin with the first time."""
        return await self._acted(
            environment, token, lambda adapter, user: adapter.show_deposit(user)
        )

    async def cancel(self, environment: Environment, token: str) -> WidgetState:
        """The user gives up."""
        return await self._acted(environment, token, lambda adapter, user: adapter.cancel(user))

    async def receipt_link(self, environment: Environment, token: str) -> ReceiptLink:
        """Where the user finds the receipt, from now on. Raises UnauthorisedError, NotFoundError once the
        user was erased."""
        async with self._database.connection() as connection:
            admitted = await admit_tab(
                connection, self._vault, environment, token, self._clock.now()
            )
        async with self._database.transaction() as tx:
            return await make_link(tx, self._vault, admitted.held.transaction_id)

    async def _acted(self, environment: Environment, token: str, act: _Act) -> WidgetState:
        admitted, found = await self._session(environment, token)
        adapter = self._providers.for_user(found)
        # An act that comes after the end changes nothing, and the state tells the page why.
        if admitted.held.open:
            now = self._now(admitted.held)
            async with self._database.transaction() as tx:
                await act(adapter, OnBehalf(tx, found, admitted.subject, now))
        return await self.state(environment, token)

    async def _given(
        self, admitted: Admission, found: Account, address: Address, token: str
    ) -> Admission | None:
        held, now = admitted.held, self._now(admitted.held)
        expires_at, sha256 = now + SESSION_LIFETIME, token_sha256(token)
        differs = _differs(admitted.personal.get(Kind.CLIENT_IP), address)
        async with self._database.connection() as connection:
            given = await widget_queries.exchange(
                connection, held.id, now, sha256, expires_at, differs, found.id
            )
        if not given:
            return None
        return admitted._replace(held=replace(held, expires_at=expires_at, exchanged_at=now))

    async def _session(self, environment: Environment, token: str) -> tuple[Admission, Account]:
        async with self._database.connection() as connection:
            now = self._clock.now()
            admitted = await admit_tab(connection, self._vault, environment, token, now)
            held = admitted.held
            used = await self._providers.account(
                connection, held.partner_environment_id, held.provider_account_id
            )
        return admitted, used

    def _now(self, held: WidgetSession) -> datetime:
        return self._clock.now() + held.offset


def _differs(told: str | None, seen: Address) -> bool | None:
    """Whether the partner's backend saw its user at another address than we do; None if it told none."""
    if not told:
        return None
    address = ip_address(told)
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address) != seen
