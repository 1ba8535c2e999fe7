"""proof tx: the ramp's transactions, deciding about those that need a person, and their receipts."""

import asyncio
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import msgspec
import typer

from proof.cli.arguments import Data
from proof.cli.installation import Opener, ServerOptions
from proof.cli.invoker import invoker
from proof.cli.output import (
    FAILED,
    Json,
    err,
    out,
    print_columns,
    print_json,
    print_json_text,
    printable,
    stated_errors,
    write_atomically,
)
from proof.core.clock import SystemClock, second_text
from proof.core.errors import InvalidInputError, UnavailableError
from proof.core.secrets import Vault
from proof.db import Database
from proof.partners.types import Environment
from proof.ramp.amounts import fiat_text, parse_amount
from proof.ramp.transactions.chains import FIELDS
from proof.ramp.transactions.reading import (
    LIST_AT_MOST,
    TransactionHistory,
    TransactionSummary,
    list_transactions,
    show_transaction,
)
from proof.ramp.transactions.service import ObservationResult, refund, resolve
from proof.ramp.transactions.state import TransactionState
from proof.ramp.transactions.updates import Update, Updates
from proof.ramp.types import RefundStatus, Status
from proof.ramp.wire import refund_fields

if TYPE_CHECKING:
    # Only for type checkers: it brings the timestamps, which the other commands do without.
    from proof.receipts.service import Receipts

Transaction = Annotated[
    str, typer.Argument(metavar="ID", help="The merchant_transaction_id, a UUID.")
]
OutFile = Annotated[
    Path | None,
    typer.Option("--out", metavar="FILE", help="Write it there instead of printing it."),
]
Show = Callable[[Update], None]


def register(app: typer.Typer, open_installation: Opener) -> None:
    """Add the commands."""
    tx = typer.Typer(
        no_args_is_help=True, help="Transactions of the ramp: look, decide, hand out receipts."
    )
    app.add_typer(tx, name="tx")
    _register_show(tx, open_installation)
    _register_list(tx, open_installation)
    _register_resolve(tx, open_installation)
    _register_refund(tx, open_installation)
    _register_watch(tx, open_installation)
    _register_receipt(tx, open_installation)
    _register_disclose(tx, open_installation)


def _register_show(tx: typer.Typer, open_installation: Opener) -> None:
    @tx.command()
    def show(transaction: Transaction, data: Data = None, as_json: Json = False) -> None:
        """One transaction with its events and what its provider said. Nothing personal is shown.

        Example: proof tx show 5b2c7d0e-7f0b-4a43-9f0c-0d6f6f3a1c55
        """

        async def read(database: Database) -> TransactionHistory:
            async with database.connection() as connection:
                return await show_transaction(connection, transaction_id)

        with stated_errors(FAILED):
            transaction_id = _id(transaction)
            found = open_installation(ServerOptions(data)).with_database(read)
        if as_json:
            print_json(msgspec.to_builtins(found))
            return
        for label, value in msgspec.to_builtins(found.transaction).items():
            if value not in {None, ""}:
                out.print(f"{label:20}{printable(str(value))}", markup=False)
        _print_history(found)


def _register_list(tx: typer.Typer, open_installation: Opener) -> None:
    @tx.command("list")
    def list_some(
        partner: Annotated[str | None, typer.Option(help="One partner's only.")] = None,
        env: Annotated[Environment | None, typer.Option("--env", help="One environment's.")] = None,
        status: Annotated[Status | None, typer.Option(help="Those at this status.")] = None,
        alerted: Annotated[
            bool, typer.Option("--alerted", help="Those that need a person.")
        ] = False,
        limit: Annotated[int, typer.Option(min=1, max=LIST_AT_MOST, help="How many.")] = 50,
        data: Data = None,
        as_json: Json = False,
    ) -> None:
        """Transactions, the newest first.

        Example: proof tx list --alerted
        """

        async def read(database: Database) -> list[TransactionSummary]:
            async with database.connection() as connection:
                return await list_transactions(
                    connection,
                    partner_id=partner,
                    environment=env,
                    status=status,
                    alerted=alerted,
                    limit=limit,
                )

        with stated_errors(FAILED):
            found = open_installation(ServerOptions(data)).with_database(read)
        if as_json:
            print_json(msgspec.to_builtins(found))
            return
        _print_list(found)


def _register_resolve(tx: typer.Typer, open_installation: Opener) -> None:
    @tx.command("resolve")
    def resolve_one(
        transaction: Transaction,
        status: Annotated[Status, typer.Argument(metavar="completed|failed", help="How it ended.")],
        reason: Annotated[
            str, typer.Option(help="Why, for the audit log, which is never erased: name no person.")
        ],
        data: Data = None,
        as_json: Json = False,
    ) -> None:
        """End a transaction by your word, or confirm its end and clear its alert. Audited.

        The partner is told as of any other change. An end is final.

        Example: proof tx resolve 5b2c… failed --reason "sent back by hand, ticket 4711"
        """

        async def act(database: Database) -> ObservationResult:
            async with database.transaction() as unit:
                how = (status, reason, invoker(), SystemClock().now())
                return await resolve(unit, vault, transaction_id, *how)

        with stated_errors(FAILED):
            transaction_id = _id(transaction)
            installation = open_installation(ServerOptions(data))
            vault = installation.vault()
            outcome = installation.with_database(act)
        if as_json:
            told = [status.value for status in outcome.statuses]
            shown = {"merchant_transaction_id": str(transaction_id), "status": status.value}
            print_json(shown | {"events": told})
            return
        said = "is" if outcome.statuses else "was already"
        out.print(f"{transaction_id} {said} {status}; its alert is cleared", markup=False)


def _register_refund(tx: typer.Typer, open_installation: Opener) -> None:
    @tx.command("refund")
    def refund_one(
        transaction: Transaction,
        status: Annotated[
            RefundStatus,
            typer.Option(metavar="requested|refunded|charged_back", help="How far it is."),
        ],
        amount: Annotated[
            str, typer.Option(help="How much, in the currency that was paid; at most all of it.")
        ],
        reason: Annotated[
            str, typer.Option(help="Why, for the audit log, which is never erased: name no person.")
        ],
        data: Data = None,
        as_json: Json = False,
    ) -> None:
        """Tell that a buy's payment goes back. It moves no money: do that at the provider. Audited.

        First `requested`, then `refunded`; `charged_back`, by the payer's bank, at any time, and then
        nothing more. The transaction's status stays. Every step is a record of its own in the receipt;
        polling and the statement tell of it, and so does `transaction.refunded` at endpoints that asked for
        it (`proof webhook change --events`).

        Example: proof tx refund 5b2c… --status requested --amount 46.10 --reason "ticket 4711"
        """

        async def act(database: Database) -> TransactionState:
            async with database.transaction() as unit:
                how = (status, exact, reason, invoker(), SystemClock().now())
                return await refund(unit, vault, transaction_id, *how)

        with stated_errors(FAILED):
            transaction_id, exact = _id(transaction), parse_amount(amount)
            installation = open_installation(ServerOptions(data))
            vault = installation.vault()
            state = installation.with_database(act)
        if as_json:
            told = refund_fields(partial(getattr, state))
            print_json({"merchant_transaction_id": str(transaction_id), **told})
            return
        money = f"{fiat_text(exact)} {printable(state.fiat_currency)}"
        out.print(f"{transaction_id} stays {state.status}; {status}: {money}", markup=False)


def _register_receipt(tx: typer.Typer, open_installation: Opener) -> None:
    @tx.command()
    def receipt(transaction: Transaction, out_file: OutFile = None, data: Data = None) -> None:
        """A transaction's receipt: its records with their proofs so far, signed, as its partner gets it.

        `proof verify FILE` checks it. It grows: taken again, it has what came since.

        Example: proof tx receipt 5b2c7d0e-7f0b-4a43-9f0c-0d6f6f3a1c55 --out receipt.json
        """
        with stated_errors(FAILED):
            transaction_id = _id(transaction)
            installation = open_installation(ServerOptions(data))
            vault = installation.vault()
            found = installation.with_database(
                lambda database: _receipts(database, vault).receipt_of(transaction_id)
            )
            _hand_out(found, out_file)


def _register_disclose(tx: typer.Typer, open_installation: Opener) -> None:
    @tx.command()
    def disclose(
        transaction: Transaction,
        field: Annotated[
            list[str], typer.Option(help=f"What to show, as often as wanted: {', '.join(FIELDS)}.")
        ],
        out_file: OutFile = None,
        data: Data = None,
    ) -> None:
        """Show personal fields of a transaction's records, with the salts that tie them to it. Audited.

        Whoever has the receipt and this file sees that the records are of these very values:
        `proof verify RECEIPT --disclosure FILE`. Fields that are not named stay hidden. Once the person is
        erased nothing can be shown.

        Example: proof tx disclose 5b2c… --field address --out address.json
        """
        with stated_errors(FAILED):
            transaction_id, fields = _id(transaction), _fields(field)
            installation = open_installation(ServerOptions(data))
            vault = installation.vault()
            found = installation.with_database(
                lambda database: _receipts(database, vault).disclosure(
                    transaction_id, fields, invoker()
                )
            )
            _hand_out(found, out_file)


def _receipts(database: Database, vault: Vault) -> "Receipts":
    from proof.receipts.service import Receipts
    from proof.timestamps.proofs.service import Proofs

    clock = SystemClock()
    return Receipts(database, vault, clock, Proofs(database, clock))


def _fields(names: list[str]) -> tuple[str, ...]:
    unknown = sorted(set(names) - set(FIELDS))
    if unknown:
        raise InvalidInputError(
            f"--field: no record has a {printable(unknown[0])}; there are {', '.join(FIELDS)}"
        )
    return tuple(dict.fromkeys(names))


def _hand_out(body: bytes, place: Path | None) -> None:
    """On standard output, or whole in a file. Raises InvalidInputError for a place that takes none."""
    if place is None:
        print_json_text(body.decode())
        return
    try:
        write_atomically(place, body + b"\n")
    except OSError as error:
        raise InvalidInputError(
            f"--out: {place}: {error.strerror}; name a file in a folder that you may write to"
        ) from None
    err.print(f"written: {place}", markup=False)


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise InvalidInputError(
            "a transaction's id is a UUID; `proof tx list` shows them"
        ) from None


def _print_list(found: list[TransactionSummary]) -> None:
    titles = (
        "id", "partner", "environment", "type", "status", "amount", "currency", "network", "updated",
        "alert",
    )  # fmt: skip
    rows = [
        [
            summary.id,
            summary.partner_id,
            summary.environment,
            summary.type,
            summary.status,
            summary.crypto_amount,
            printable(summary.currency),
            printable(summary.network),
            second_text(summary.updated_at),
            summary.alert,
        ]
        for summary in found
    ]
    print_columns(titles, rows)


def _print_history(found: TransactionHistory) -> None:
    if found.events:
        out.print("\nevents", style="bold")
        rows = [[event.sequence, event.status, event.occurred_at] for event in found.events]
        print_columns(("sequence", "status", "occurred"), rows)
    if found.statements:
        out.print("\nwhat the provider said", style="bold")
        said: list[list[Any]] = [
            [
                second_text(statement.occurred_at),
                printable(statement.said),
                statement.verdict,
                statement.alert,
            ]
            for statement in found.statements
        ]
        print_columns(("occurred", "said", "means", "alert"), said)


def _register_watch(tx: typer.Typer, open_installation: Opener) -> None:
    """Add the command."""

    @tx.command()
    def watch(
        transaction: Annotated[
            UUID, typer.Argument(metavar="ID", help="The merchant_transaction_id.")
        ],
        data: Data = None,
        as_json: Json = False,
    ) -> None:
        """Show a transaction's state and every change of it, until it has come to its end.

        With --json, one line for each: the very messages of /ws.

        Example: proof tx watch 6f1c…
        """
        show = _show_json if as_json else _show
        with stated_errors(), suppress(KeyboardInterrupt):
            open_installation(ServerOptions(data)).with_database(
                lambda database: _watch(database, transaction, show)
            )


async def _watch(database: Database, transaction: UUID, show: Show) -> None:
    updates = Updates(database)
    running = asyncio.create_task(updates.run())
    try:
        reader = await updates.open(transaction, None)
        while (update := await reader.next()) is not None:
            show(update)
            if update.terminal:
                break
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError, UnavailableError):
            await running


def _show_json(update: Update) -> None:
    sys.stdout.write(update.message.decode() + "\n")
    sys.stdout.flush()


def _show(update: Update) -> None:
    told: dict[str, Any] = msgspec.json.decode(update.message)
    crypto = f"{told['crypto_amount']} {told['currency']}"
    fiat = f"{told['fiat_amount']} {told['fiat_currency']}" if told["fiat_amount"] else ""
    paid = told.get("payment_method", "")
    words = (told["occurred_at"], told["status"], told["type"], crypto, fiat, paid)
    out.print(printable("  ".join(word for word in words if word)), markup=False)
