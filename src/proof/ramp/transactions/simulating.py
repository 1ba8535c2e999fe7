"""Acting as the user of a sandbox transaction, for partners' automated tests."""

from dataclasses import dataclass
from uuid import UUID

from proof.core.clock import Clock
from proof.core.errors import ConflictError, NotFoundError
from proof.core.secrets import Vault
from proof.db import Connection, Database
from proof.partners.types import PartnerEnvironment
from proof.ramp.providers.accounts import account, account_of
from proof.ramp.providers.protocols import Account, ActsForUser, OnBehalf
from proof.ramp.providers.registry import Providers
from proof.ramp.transactions.cases import Case, read_case
from proof.ramp.types import Status


@dataclass(frozen=True, slots=True)
class Simulations:
    """`POST /simulate` of one process."""

    database: Database
    vault: Vault
    providers: Providers
    clock: Clock

    async def simulate(
        self, caller: PartnerEnvironment, transaction_id: UUID, outcome: str
    ) -> None:
        """Have the provider act as the user from the start to the end of an outcome.

        The same call again, while the transaction is pending, changes nothing. Raises NotFoundError for one
        that is not the caller's, InvalidInputError for an outcome that there is not for its type,
        ConflictError when it is pending no more or its user began otherwise, or when the sandbox has
        a provider whose widget is its own.
        """
        async with self.database.transaction() as tx:
            case = await read_case(tx, self.vault, transaction_id)
            if case is None or case.partner_environment_id != caller.id:
                raise NotFoundError("there is no such transaction")
            found = await self._account(tx, case)
            adapter = None if found is None else self.providers.adapter(found.provider)
            if found is None or not isinstance(adapter, ActsForUser):
                raise ConflictError("this sandbox's provider plays no outcomes")
            if case.status is not Status.PENDING:
                raise ConflictError(f"this transaction is {case.status}; simulate a pending one")
            now = self.clock.now() + case.offset
            await adapter.simulate(OnBehalf(tx, found, case.subject, now), outcome)

    async def _account(self, tx: Connection, case: Case) -> Account | None:
        if case.account_id is not None:
            return await account(tx, self.vault, case.account_id)
        return await account_of(tx, self.vault, case.partner_environment_id)
