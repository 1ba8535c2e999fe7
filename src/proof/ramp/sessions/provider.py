"""What a widget session needs of its provider: the account, a widget of its own, how far the user is."""

import time
from dataclasses import replace
from datetime import datetime
from uuid import UUID

import msgspec

from proof.core.secrets import Vault
from proof.db import Connection, Database
from proof.partners.access.networks import Address
from proof.partners.types import Environment, PartnerEnvironment
from proof.ramp.errors import NoProviderError, ProviderError
from proof.ramp.personal import Kind
from proof.ramp.providers.accounts import account, account_of, providers_by_owner
from proof.ramp.providers.protocols import (
    Account,
    ActsForUser,
    Handover,
    OnBehalf,
    OpensSessions,
    Progress,
    Quotes,
)
from proof.ramp.providers.registry import Providers, simulation
from proof.ramp.sessions.admission import Admission
from proof.ramp.sessions.errors import NotPossibleNowError
from proof.ramp.sessions.state import ProviderView, WidgetState, state_of
from proof.ramp.types import Status

_NAMES_S = 1.0


class ProviderNames:
    """Which provider an environment's sessions are opened for, as known no longer ago than `_NAMES_S`: all
    of them are read by one statement, at most once in that time, so opening a session costs none."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._names: dict[int, str] = {}
        self._read_at = float("-inf")

    async def of(self, owner: PartnerEnvironment) -> str:
        """The provider's name; a sandbox without an account has the one that simulates. Raises
        NoProviderError."""
        if owner.environment is Environment.SANDBOX:
            return await self._known(owner.id) or simulation().name
        # The names are read again before a partner is refused: its provider may have been added just now.
        name = await self._known(owner.id) or await self._known(owner.id, 0.0)
        if name is None:
            raise NoProviderError
        return name

    async def _known(self, owner_id: int, older_than_s: float = _NAMES_S) -> str | None:
        if time.monotonic() - self._read_at > older_than_s:
            asked_at = time.monotonic()
            async with self._database.connection() as connection:
                self._names = await providers_by_owner(connection)
            self._read_at = asked_at
        return self._names.get(owner_id)


class SessionProviders:
    """The providers of one process, for its widget sessions."""

    def __init__(self, database: Database, vault: Vault, providers: Providers) -> None:
        self._database = database
        self._vault = vault
        self._providers = providers

    async def account(
        self, connection: Connection, partner_environment_id: int, used: UUID | None
    ) -> Account:
        """The account a session was opened with, or the one it would be. Raises ProviderError where
        there is none, SealError."""
        if used is not None:
            return await account(connection, self._vault, used)
        found = await account_of(connection, self._vault, partner_environment_id)
        if found is None:
            raise NoProviderError
        return found

    async def handover(self, used: Account, to: Admission, address: Address) -> Handover | None:
        """The provider's own widget for a browser at this address; None where the page is ours, or there
        is nothing left to do. Raises ProviderError."""
        adapter = self._providers.adapter(used.provider)
        if isinstance(adapter, ActsForUser) or to.held.status is not Status.PENDING:
            return None
        if not isinstance(adapter, OpensSessions):
            raise ProviderError(f"the provider {used.provider} opens no widget")
        return await adapter.open(used, replace(to.subject, client_ip=str(address)))

    def for_user(self, used: Account) -> ActsForUser:
        """Who acts for the user. Raises NotPossibleNowError with a provider whose widget is its own."""
        adapter = self._providers.adapter(used.provider)
        if not isinstance(adapter, ActsForUser):
            raise NotPossibleNowError("this is done in the provider's own widget")
        return adapter

    async def state(
        self, used: Account, of: Admission, now: datetime, handover: Handover | None = None
    ) -> WidgetState:
        """How the session stands at its environment's `now`; the first call begins the operation
        of a provider whose widget is our page. Raises ProviderError."""
        adapter = self._providers.adapter(used.provider)
        address = of.personal.get(Kind.ADDRESS, "")
        seen = ProviderView(now=now, provider=used.provider, address=address, handover=handover)
        if isinstance(adapter, ActsForUser):
            progress = await self._progress(adapter, used, of, now)
            quote = await adapter.quote(used, of.subject) if isinstance(adapter, Quotes) else None
            seen = msgspec.structs.replace(seen, progress=progress, quote=quote)
        return state_of(of.held, of.owner, seen)

    async def _progress(
        self, adapter: ActsForUser, used: Account, of: Admission, now: datetime
    ) -> Progress | None:
        async with self._database.connection() as connection:
            progress = await adapter.progress(connection, used, of.subject)
        if progress is not None or not of.held.open:
            return progress
        async with self._database.transaction() as tx:
            return await adapter.choose_outcome(OnBehalf(tx, used, of.subject, now))
