"""Receiving callbacks: verified, told from those known, sealed and stored, and only then acknowledged.

Group commit, as with hashes: callbacks that wait while a commit runs share the next one. What cannot be
verified is counted, and of each account the first KEPT_A_DAY bodies of a day are kept, so that an operator
can see why; whatever a stranger sends adds no more than that to the disk.
"""

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from time import monotonic
from uuid import UUID, uuid4

import structlog
from prometheus_client import Counter

from proof.core.clock import Clock
from proof.core.errors import NotFoundError
from proof.core.secrets import Vault
from proof.db import Connection, Database
from proof.db.group_commit import Lanes
from proof.partners.types import Environment
from proof.ramp.errors import CallbackRefusedError
from proof.ramp.providers.accounts import account
from proof.ramp.providers.callbacks import REFUSED_IDENTITY, STORED, callback_identity
from proof.ramp.providers.protocols import Account, TranslatesCallbacks
from proof.ramp.providers.registry import Providers

KEPT_A_DAY = 100
MAX_BATCH = 500
# While one lane waits for the disk, the other gathers.
_LANES = 2
# An account's credentials are read anew after this time; an account that is not in memory is read at once.
_REMEMBERED_S = 5.0

# Rows are inserted in one order everywhere: in any other, two lanes with the same duplicates could
# deadlock. While callbacks wait, whoever applies them looks by itself, so only the first one's commit pays
# for a notice.
_STORE = """
INSERT INTO provider_callbacks (account_id, dedup_sha256, form, sealed, received_at)
SELECT callback.*
FROM unnest($1::uuid[], $2::bytea[], $3::text[], $4::bytea[], $5::timestamptz[])
         AS callback (account_id, dedup_sha256, form, sealed, received_at),
     (SELECT CASE WHEN NOT EXISTS (SELECT FROM provider_callbacks WHERE processed_at IS NULL)
                  THEN pg_notify($6, '') END) AS notice
ORDER BY account_id, dedup_sha256
ON CONFLICT (account_id, dedup_sha256) DO NOTHING
"""

_COUNT = """
INSERT INTO unverified_callbacks AS counted (account_id, day, count)
SELECT * FROM unnest($1::uuid[], $2::date[], $3::bigint[]) AS refused (account_id, day, count)
ORDER BY account_id, day
ON CONFLICT (account_id, day) DO UPDATE SET count = counted.count + excluded.count
RETURNING account_id, day, count
"""

_KEEP = """
INSERT INTO refused_callbacks (id, account_id, sealed, received_at)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bytea[], $4::timestamptz[])
"""

_callbacks = Counter(
    "proof_provider_callbacks", "Callbacks by the body their signature fitted", ["provider", "form"]
)
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _PendingCallback:
    """A callback on its way to the disk. `dedup_sha256` and `form` are None for an unverified one."""

    account_id: UUID
    received_at: datetime
    body: bytes = field(repr=False)
    dedup_sha256: bytes | None = None
    form: str | None = None
    done: "asyncio.Future[None]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future(), repr=False
    )

    @property
    def day(self) -> date:
        return self.received_at.date()


class CallbackReceiver:
    """The callbacks of one process. `start` before use, `close` stores what was accepted."""

    def __init__(
        self, database: Database, vault: Vault, providers: Providers, clock: Clock
    ) -> None:
        self._database = database
        self._vault = vault
        self._providers = providers
        self._clock = clock
        self._accounts: dict[UUID, tuple[float, Account]] = {}
        self._told: set[tuple[UUID, date]] = set()
        self._lanes = Lanes("callbacks.store", database, _LANES, self._commit, MAX_BATCH)

    def start(self) -> None:
        self._lanes.start()

    async def close(self) -> None:
        await self._lanes.close()

    async def receive(
        self,
        provider: str,
        account_id: UUID,
        environment: Environment,
        headers: Mapping[str, str],
        body: bytes,
    ) -> None:
        """Store what a provider posted; it is durable when this returns. Header names are lower case.

        A body that is signed and makes no sense is stored too: it may be about money. Raises
        NotFoundError for an account that is not of this provider and environment, CallbackRefusedError for
        a signature that fits no form of the body, DatabaseUnavailableError when nothing is stored or nobody
        knows, BusyError when others hold what it needs.
        """
        found, adapter = await self._account(account_id, provider, environment)
        received_at = self._clock.now()
        try:
            form = adapter.verify(found, headers, body)
        except CallbackRefusedError:
            _callbacks.labels(provider, "none").inc()
            await self._stored(_PendingCallback(account_id, received_at, body))
            raise
        _callbacks.labels(provider, form).inc()
        await self._stored(
            _PendingCallback(account_id, received_at, body, _identity(adapter, body), form)
        )

    async def _account(
        self, account_id: UUID, provider: str, environment: Environment
    ) -> tuple[Account, TranslatesCallbacks]:
        read_at, found = self._accounts.get(account_id, (0.0, None))
        if found is None or monotonic() - read_at > _REMEMBERED_S:
            async with self._database.connection() as connection:
                found = await account(connection, self._vault, account_id)
            self._accounts[account_id] = monotonic(), found
        if (found.provider, found.environment) != (provider, environment):
            raise NotFoundError("there is no such provider account")
        adapter = self._providers.adapter(found.provider)
        if not isinstance(adapter, TranslatesCallbacks):
            raise NotFoundError("this provider posts no callbacks")
        return found, adapter

    async def _stored(self, pending: _PendingCallback) -> None:
        self._lanes.put(pending)
        await pending.done

    async def _commit(self, connection: Connection, batch: list[_PendingCallback]) -> None:
        async with connection.transaction():
            await self._store(connection, batch)
        for pending in batch:
            # Whoever posted may have hung up.
            if not pending.done.done():
                pending.done.set_result(None)

    async def _store(self, tx: Connection, batch: list[_PendingCallback]) -> None:
        verified = [pending for pending in batch if pending.dedup_sha256 is not None]
        if verified:
            sealed = [
                self._vault.seal(
                    pending.body, callback_identity(pending.account_id, pending.dedup_sha256 or b"")
                )
                for pending in verified
            ]
            await tx.execute(
                _STORE,
                [pending.account_id for pending in verified],
                [pending.dedup_sha256 for pending in verified],
                [pending.form for pending in verified],
                sealed,
                [pending.received_at for pending in verified],
                STORED,
            )
        if refused := [pending for pending in batch if pending.dedup_sha256 is None]:
            await self._count(tx, refused)

    async def _count(self, tx: Connection, refused: list[_PendingCallback]) -> None:
        groups: dict[tuple[UUID, date], list[_PendingCallback]] = {}
        for pending in refused:
            groups.setdefault((pending.account_id, pending.day), []).append(pending)
        accounts, days = [account_id for account_id, _ in groups], [day for _, day in groups]
        counts = [len(group) for group in groups.values()]
        kept: list[_PendingCallback] = []
        for account_id, day, total in await tx.fetch(_COUNT, accounts, days, counts):
            group = groups[account_id, day]
            room = KEPT_A_DAY - (total - len(group))
            kept += group[: max(room, 0)]
            if room < len(group):
                _tell_full(account_id, day, self._told)
        if kept:
            await self._keep(tx, kept)

    async def _keep(self, tx: Connection, kept: list[_PendingCallback]) -> None:
        ids = [uuid4() for _ in kept]
        sealed = [
            self._vault.seal(pending.body, REFUSED_IDENTITY.format(id=identifier))
            for identifier, pending in zip(ids, kept, strict=True)
        ]
        owners = [pending.account_id for pending in kept]
        await tx.execute(_KEEP, ids, owners, sealed, [pending.received_at for pending in kept])


def _identity(adapter: TranslatesCallbacks, body: bytes) -> bytes:
    try:
        return adapter.identity(body)
    except CallbackRefusedError:
        # A signature may cover the body without its white space, so bodies that differ in white space alone
        # are the same callback.
        return hashlib.sha256(b"".join(body.split())).digest()


def _tell_full(account_id: UUID, day: date, told: set[tuple[UUID, date]]) -> None:
    """Once a day in each process."""
    if (account_id, day) not in told:
        told.difference_update([full for full in told if full[1] < day])
        told.add((account_id, day))
        _log.warning("callbacks.refused_many", account=str(account_id), kept=KEPT_A_DAY)
