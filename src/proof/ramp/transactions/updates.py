"""Status changes as a backend that watches a transaction gets them: a view of the records.

A reader of a transaction is known before its present state is read, and what is not newer than that state
is dropped, so nothing is missed and nothing comes twice (ramp API contract, "WebSocket").
"""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Sequence
from itertools import islice
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from proof.core.clock import moment_text
from proof.core.errors import NotFoundError
from proof.db import Database
from proof.events import Stream
from proof.ramp.amounts import amount_text
from proof.ramp.transactions.events import EVENT_TYPE
from proof.ramp.types import FailureReason, Status

# A transaction has a handful of changes in its life: a reader with this many unsent ones reads nothing.
WAITING_AT_MOST = 64
_READ_AT_ONCE = 1_000

_PRESENT = """
SELECT transaction.id, type, status, currency, crypto_amount, created_at,
       coalesce(sequence, 0) AS sequence, record
FROM ramp_transactions transaction LEFT JOIN LATERAL (
    SELECT sequence, record FROM ramp_records
    WHERE transaction_id = transaction.id AND kind = 'transaction.status'
    ORDER BY sequence DESC LIMIT 1) newest ON true
WHERE id = $1 AND ($2::integer IS NULL OR partner_environment_id = $2)
"""

_NEWER = """
SELECT transaction_id, ramp_records.sequence, record
FROM unnest($1::uuid[], $2::integer[]) AS known (id, sequence)
JOIN ramp_records ON transaction_id = known.id AND ramp_records.sequence > known.sequence
WHERE kind = 'transaction.status'
ORDER BY transaction_id, ramp_records.sequence
"""


class UpdateMessage(Struct, kw_only=True):
    """One message of `/ws`."""

    event: Annotated[Literal["tx.update"], Meta(description="what the message is")] = "tx.update"
    merchant_transaction_id: UUID
    type: str
    status: Status
    payment_method: Annotated[
        str | UnsetType, Meta(description="how the user pays; left out while it is not known")
    ] = UNSET
    currency: str
    fiat_currency: Annotated[str, Meta(description="empty until `processing`")]
    fiat_amount: Annotated[
        str, Meta(description="all the user pays, or gets; empty until `processing`")
    ]
    fiat_fee: Annotated[str, Meta(description="all fees, within `fiat_amount`; empty if not told")]
    rate: Annotated[str, Meta(description="one coin before fees; empty if not told")]
    crypto_amount: Annotated[str, Meta(description="a decimal string")]
    failure_reason: Annotated[FailureReason, Meta(description="empty unless it failed")]
    chain_transaction: Annotated[str, Meta(description="of the delivery or deposit, else empty")]
    chain_transaction_url: Annotated[str, Meta(description="where to look it up, else empty")]
    occurred_at: Annotated[str, Meta(description="when the status changed, ISO 8601")]


class _Record(Struct):
    """What the view takes from a record; those of version 1 lack what has a default."""

    merchant_transaction_id: UUID
    type: str
    status: Status
    currency: str
    fiat_currency: str
    fiat_amount: str
    crypto_amount: str
    updated_at: str
    payment_method: str
    fiat_fee: str = ""
    rate: str = ""
    failure_reason: FailureReason = FailureReason.NONE
    chain_transaction: str = ""
    chain_transaction_url: str = ""


class Update(NamedTuple):
    """One message. `sequence` is that of the newest record it tells of, 0 for none yet; after a `terminal`
    one there are no more."""

    sequence: int
    terminal: bool
    message: bytes


_encode = msgspec.json.Encoder().encode
_decode_record = msgspec.json.Decoder(_Record).decode


def update_of(sequence: int, record: bytes) -> Update:
    """The view of a record."""
    told = _decode_record(record)
    message = UpdateMessage(
        merchant_transaction_id=told.merchant_transaction_id,
        type=told.type,
        status=told.status,
        currency=told.currency,
        fiat_currency=told.fiat_currency,
        fiat_amount=told.fiat_amount,
        fiat_fee=told.fiat_fee,
        rate=told.rate,
        crypto_amount=told.crypto_amount,
        failure_reason=told.failure_reason,
        chain_transaction=told.chain_transaction,
        chain_transaction_url=told.chain_transaction_url,
        occurred_at=told.updated_at,
        payment_method=told.payment_method or UNSET,
    )
    return Update(sequence, told.status.terminal, _encode(message))


class Reader:
    """Whoever watches one transaction. Made by `Updates`."""

    __slots__ = ("_ended", "_known", "_waiting", "_woken", "lagging", "transaction_id")

    def __init__(self, transaction_id: UUID) -> None:
        self.transaction_id = transaction_id
        # Whether it was ended because it did not read its updates.
        self.lagging = False
        self._ended = False
        self._known = 0
        self._waiting: list[Update] = []
        self._woken: asyncio.Future[None] | None = None

    @property
    def known(self) -> int:
        """The sequence of the newest event it was given."""
        return self._known

    async def next(self) -> Update | None:
        """The next update, as soon as there is one; None after the end. For one caller at a time."""
        while not self._waiting and not self._ended:
            self._woken = asyncio.get_running_loop().create_future()
            try:
                await self._woken
            finally:
                self._woken = None
        return None if self._ended else self._waiting.pop(0)

    def begin(self, present: Update) -> None:
        """The present state comes first, and of what came in the meantime only what is newer."""
        newer = [update for update in self._waiting if update.sequence > present.sequence]
        self._waiting = [present, *newer]
        self._known = max(self._known, present.sequence)
        self._wake()

    def take(self, update: Update) -> None:
        """One more, unless it is known."""
        if update.sequence <= self._known or self._ended:
            return
        if len(self._waiting) == WAITING_AT_MOST:
            self.lagging = True
            self.end()
            return
        self._known = update.sequence
        self._waiting.append(update)
        self._wake()

    def end(self) -> None:
        """Nothing more is given, what waits included."""
        self._ended = True
        self._waiting.clear()
        self._wake()

    def _wake(self) -> None:
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)


class Updates:
    """All readers of one process, over one stream."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # By the subject of the events, which is the transaction's id.
        self._readers: defaultdict[str, set[Reader]] = defaultdict(set)
        self._stream = Stream(database, EVENT_TYPE, self._changed)

    async def run(self) -> None:
        """Give readers what is new until cancelled."""
        await self._stream.run()

    async def open(self, transaction_id: UUID, partner_environment_id: int | None) -> Reader:
        """A reader whose first update is the present state; to be closed.

        Raises NotFoundError when there is no such transaction, or it is another's; None looks at anybody's.
        """
        reader = Reader(transaction_id)
        self._readers[str(transaction_id)].add(reader)
        try:
            reader.begin(await self._present(transaction_id, partner_environment_id))
        except BaseException:
            self.close(reader)
            raise
        return reader

    def close(self, reader: Reader) -> None:
        """Forget a reader."""
        reader.end()
        subject = str(reader.transaction_id)
        readers = self._readers[subject]
        readers.discard(reader)
        if not readers:
            del self._readers[subject]

    async def _present(self, transaction_id: UUID, partner_environment_id: int | None) -> Update:
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_PRESENT, transaction_id, partner_environment_id)
        if row is None:
            raise NotFoundError(f"there is no transaction {transaction_id}")
        return _first(row) if row["record"] is None else update_of(row["sequence"], row["record"])

    async def _changed(self, subjects: Collection[str] | None) -> None:
        known = self._readers if subjects is None else subjects
        wanted = iter([subject for subject in known if subject in self._readers])
        while some := list(islice(wanted, _READ_AT_ONCE)):
            await self._hand_on(some)

    async def _hand_on(self, wanted: Sequence[str]) -> None:
        known = [
            min((reader.known for reader in self._readers.get(subject, ())), default=0)
            for subject in wanted
        ]
        async with self._database.connection() as connection:
            rows = await connection.fetch(_NEWER, list(map(UUID, wanted)), known)
        for transaction_id, sequence, record in rows:
            update = update_of(sequence, record)
            for reader in self._readers.get(str(transaction_id), ()):
                reader.take(update)


def _first(row: Any) -> Update:
    """The state of a transaction that has no event yet."""
    message = UpdateMessage(
        merchant_transaction_id=row["id"],
        type=row["type"],
        status=Status(row["status"]),
        currency=row["currency"],
        fiat_currency="",
        fiat_amount="",
        fiat_fee="",
        rate="",
        crypto_amount=amount_text(row["crypto_amount"]),
        failure_reason=FailureReason.NONE,
        chain_transaction="",
        chain_transaction_url="",
        occurred_at=moment_text(row["created_at"]),
    )
    return Update(0, message.status.terminal, _encode(message))
