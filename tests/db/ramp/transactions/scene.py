"""A provider with faults, callbacks as the simulator signs them, sessions at any age."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from secrets import token_bytes
from typing import Any
from uuid import UUID

from tests.support.ramp import make_transaction, row_of

from proof.core.secrets import Vault
from proof.db import Database
from proof.partners.types import Environment
from proof.ramp.providers.accounts import account_of
from proof.ramp.providers.protocols import (
    Account,
    Adapter,
    CredentialField,
    Observation,
    PaymentMethod,
    Reach,
    Subject,
)
from proof.ramp.providers.receiving import CallbackReceiver
from proof.ramp.providers.registry import Providers
from proof.ramp.providers.simulator import wire
from proof.ramp.transactions.reconciler import Reconciler

# Where rows are dated by the database, a scene of its own years would not fit.
START = datetime.now(UTC)


class TurnedClock:
    """Stands still but when turned."""

    def __init__(self, moment: datetime = START) -> None:
        self.moment = moment

    def now(self) -> datetime:
        return self.moment

    def turn(self, **how: float) -> None:
        self.moment += timedelta(**how)


@dataclass
class FakeProvider:
    """Answers polls with what it was told to, or raises it; keeps whom it was asked about."""

    answers: dict[UUID, Sequence[Observation] | Exception] = field(default_factory=dict)
    asked: list[Subject] = field(default_factory=list)
    fields: tuple[CredentialField, ...] = ()

    def adapter(self, name: str) -> Adapter:
        return self

    async def poll(self, account: Account, subject: Subject) -> Sequence[Observation]:
        self.asked.append(subject)
        answer = self.answers.get(subject.merchant_transaction_id, ())
        if isinstance(answer, Exception):
            raise answer
        return answer


@dataclass
class Reconciliation:
    """A sandbox, and a provider that is asked about its transactions."""

    run: Callable[[Any], Any]
    database: Database
    vault: Vault
    sandbox: int
    provider: FakeProvider = field(default_factory=FakeProvider)
    clock: TurnedClock = field(default_factory=TurnedClock)

    def __post_init__(self) -> None:
        self.reconciler = self.asking(self.provider)

    def asking(self, provider: FakeProvider) -> Reconciler:
        """A worker that asks another provider."""
        return Reconciler(self.database, self.vault, provider, self.clock)

    def made(self, kind: str = "buy", *, opened: bool = True) -> UUID:
        """A transaction with a session; `opened` is whether its widget was opened at once."""
        made: UUID = self.run(
            make_transaction(self.database, self.vault, self.sandbox, kind=kind, at=START)
        )
        self.run(open_session(self.database, made, exchanged=opened))
        return made

    def step(self) -> None:
        """What is due is looked at."""
        self.run(self.reconciler.step())

    def row(self, transaction: UUID) -> dict[str, Any]:
        """As it is stored now."""
        found: dict[str, Any] = self.run(row_of(self.database, transaction))
        return found


def providers(database: Database) -> Providers:
    """The real ones; none of them has a network."""
    nowhere: Any = None
    return Providers(Reach(nowhere, database, TurnedClock()))


async def call_back(
    database: Database,
    vault: Vault,
    owner: int,
    transaction: UUID,
    *said: str,
    extra: str = "",
    at: datetime = START,
) -> None:
    """The simulator posts `leg status` about a transaction, each a second after the one before."""
    async with database.connection() as connection:
        account = await account_of(connection, vault, owner)
    assert account is not None
    receiver = CallbackReceiver(database, vault, providers(database), TurnedClock(at))
    receiver.start()
    try:
        for second, words in enumerate(said):
            body = _body(transaction, words, at + timedelta(seconds=second))
            if extra:
                body = body[:-1] + b',"note":' + json.dumps(extra).encode() + b"}"
            headers = {wire.SIGNATURE_HEADER: wire.sign(account.credentials["sign_key"], body)}
            how = ("sandbox", account.id, Environment.SANDBOX, headers, body)
            await receiver.receive(*how)
    finally:
        await receiver.close()


def _body(transaction: UUID, words: str, at: datetime) -> bytes:
    leg, status = words.split()
    return wire.encode(
        wire.CallbackBody(
            id=f"op-{transaction}",
            merchant_transaction_id=transaction,
            leg=leg,
            status=status,
            crypto_amount="50.000000000000000001",
            fiat_currency="EUR",
            fiat_amount="46.10",
            updated_at=at,
            payment_method=PaymentMethod.CARD,
        )
    )


async def open_session(
    database: Database,
    transaction: UUID,
    *,
    at: datetime = START,
    exchanged: bool = False,
    redirect_url: str = "",
) -> None:
    """A widget session; `exchanged` is whether the widget was opened at once."""
    async with database.connection() as connection:
        await connection.execute(
            "INSERT INTO ramp_sessions (id, transaction_id, signing_key_id, parameters, created_at,"
            " init_expires_at, exchanged_at, expires_at)"
            " VALUES ($1, $2, gen_random_uuid(), $3, $4, $5, $6, $7)",
            token_bytes(32),
            transaction,
            json.dumps({"currency": "USDT", "redirect_url": redirect_url}),
            at,
            at + timedelta(hours=1),
            at if exchanged else None,
            at + timedelta(hours=24) if exchanged else None,
        )


async def execute(database: Database, statement: str, *values: Any) -> None:
    async with database.connection() as connection:
        await connection.execute(statement, *values)


async def callbacks(database: Database) -> list[dict[str, Any]]:
    """Those stored, in their order."""
    async with database.connection() as connection:
        rows = await connection.fetch("SELECT * FROM provider_callbacks ORDER BY id")
    return [dict(row) for row in rows]
