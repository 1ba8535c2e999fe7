"""What a widget session needs of its provider: the account, a widget of its own, how far the user is."""

from dataclasses import replace
from datetime import datetime
from uuid import UUID

import msgspec

from proof.core.secrets import Vault
from proof.db import Connection, Database
from proof.partners.networks import Address
from proof.ramp.errors import ProviderError
from proof.ramp.personal import Kind
from proof.ramp.providers.accounts import account, account_of
from proof.ramp.providers.protocols import (
    Account,
    ActsForUser,
    Handover,
    OnBehalf,
    OpensSessions,
    Progress,
    Quotes,
)
from proof.ramp.providers.registry import Providers
from proof.ramp.sessions.admission import Admitted
from proof.ramp.sessions.errors import NotPossibleNowError
from proof.ramp.sessions.state import Seen, State, state_of
from proof.ramp.types import Status


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
            raise ProviderError(
                "no payment provider is set up for this partner's production environment; the operator"
                " adds one with `proof provider add`"
            )
        return found

    async def handover(self, used: Account, to: Admitted, address: Address) -> Handover | None:
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
        self, used: Account, of: Admitted, now: datetime, handover: Handover | None = None
    ) -> State:
        """How the session stands at its environment's `now`; the first look begins the simulator's
        operation. Raises ProviderError."""
        adapter = self._providers.adapter(used.provider)
        address = of.personal.get(Kind.ADDRESS, "")
        seen = Seen(now=now, provider=used.provider, address=address, handover=handover)
        if isinstance(adapter, ActsForUser):
            progress = await self._progress(adapter, used, of, now)
            quote = await adapter.quote(used, of.subject) if isinstance(adapter, Quotes) else None
            seen = msgspec.structs.replace(seen, progress=progress, quote=quote)
        return state_of(of.held, of.owner, seen)

    async def _progress(
        self, adapter: ActsForUser, used: Account, of: Admitted, now: datetime
    ) -> Progress | None:
        async with self._database.connection() as connection:
            progress = await adapter.progress(connection, used, of.subject)
        if progress is not None or not of.held.open:
            return progress
        async with self._database.transaction() as tx:
            return await adapter.choose_outcome(OnBehalf(tx, used, of.subject, now))
