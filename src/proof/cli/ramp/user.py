"""proof user: erasing a person."""

from dataclasses import asdict
from typing import Annotated

import typer

from proof.cli.arguments import Data, Partner
from proof.cli.installation import Opener, ServerOptions
from proof.cli.invoker import invoker
from proof.cli.output import FAILED, Json, out, print_json, stated_errors
from proof.core.clock import SystemClock
from proof.db import Database
from proof.ramp.transactions.erasure import ErasureCounts, erase_user
from proof.webhooks.pruning import forget_replies


def register(app: typer.Typer, open_installation: Opener) -> None:
    """Add the command."""
    user = typer.Typer(no_args_is_help=True, help="People who bought or sold: erase them.")
    app.add_typer(user, name="user")

    # A single command would take the group's own name.
    @user.callback()
    def group() -> None:
        pass

    @user.command()
    def erase(
        partner: Partner,
        user_id: Annotated[
            str, typer.Argument(metavar="USER", help="The partner_user_id the partner sends.")
        ],
        data: Data = None,
        as_json: Json = False,
    ) -> None:
        """Erase a partner's user: e-mail, addresses, id and raw callbacks, in both environments. Audited.

        Transactions and their events stay, without saying whose they were. There is no way back.

        Example: proof user erase ptr_3mF8… user-4711
        """

        async def act(database: Database) -> ErasureCounts:
            async with database.transaction() as tx:
                now = SystemClock().now()
                how = (invoker(), now, forget_replies)
                return await erase_user(tx, vault, partner, user_id, *how)

        with stated_errors(FAILED):
            installation = open_installation(ServerOptions(data))
            vault = installation.vault()
            erased = installation.with_database(act)
        if as_json:
            print_json(asdict(erased))
            return
        out.print(
            f"erased: {erased.values} values and {erased.callbacks} callbacks of"
            f" {erased.transactions} transactions",
            markup=False,
        )
