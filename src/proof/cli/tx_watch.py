"""proof tx watch: a transaction's status changes, as its partner's backend gets them over /ws."""

import asyncio
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Any
from uuid import UUID

import msgspec
import typer

from proof.cli.installation import Opener, ServerOptions
from proof.cli.output import Json, out, stated_errors
from proof.cli.server import Data
from proof.cli.terminal import printable
from proof.core.errors import UnavailableError
from proof.db import Database
from proof.ramp.transactions.updates import Update, Updates

Show = Callable[[Update], None]


def register(tx: typer.Typer, open_installation: Opener) -> None:
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
