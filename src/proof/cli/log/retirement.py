"""proof log retire: closing a log for good, and going on with another."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from proof.cli.arguments import Data, Env
from proof.cli.installation import Installation, Opener, ServerOptions
from proof.cli.invoker import invoker
from proof.cli.log.following import checkpoint_in
from proof.cli.output import (
    USAGE,
    Json,
    fail,
    is_interactive,
    out,
    print_json,
    printable,
    stated_errors,
    time_text,
)
from proof.core.errors import InvalidInputError
from proof.db import Database
from proof.partners.types import Environment
from proof.verify.strict_json import MAX_BYTES as MAX_PROOF_BYTES

if TYPE_CHECKING:
    # Only for type checkers: the module brings the HTTP client, which most commands do without.
    from proof.timestamps.anchors.log.retired import RetiredLog
    from proof.timestamps.anchors.log.retirement import Order, Plan

_NEXT = (
    "Next: have each witness add the successor's key, and tell verifiers to take the policy anew from"
    " /log/policy; proofs of both logs verify with it"
)


def register(log: typer.Typer, open_installation: Opener) -> None:
    """Add the command."""

    @log.command()
    def retire(
        origin: Annotated[
            str | None,
            typer.Argument(metavar="LOG", help="Origin of the log to close: the current one."),
        ] = None,
        env: Env = Environment.PRODUCTION,
        reason: Annotated[
            str, typer.Option(help="Why, in a line that everybody will read.")
        ] = "rotation",
        successor: Annotated[
            str | None,
            typer.Option(
                "--origin", help="Origin of the next log. [default: the first log's and a number]"
            ),
        ] = None,
        checkpoint: Annotated[
            Path | None,
            typer.Option(
                help="The last published checkpoint, or a proof that has it, when it was lost here and"
                " witnesses cannot tell."
            ),
        ] = None,
        yes: Annotated[bool, typer.Option("--yes", help="Do not ask; LOG must be given.")] = False,
        data: Data = None,
        as_json: Json = False,
    ) -> None:
        """Close a log for good, and go on with a successor that has a new origin and new keys.

        For entries that are lost for good, and to rotate a log's keys. Its last published checkpoint is
        found here or at its witnesses and stays served with the reason; the private keys are destroyed.
        Run again with the same LOG, it does nothing more.

        Example: proof log retire proof.example/log --reason "database lost on 3 May" --yes
        """
        with stated_errors():
            asks = not yes
            if asks and (as_json or not is_interactive()):
                raise fail("nobody is here to confirm; name LOG and use --yes", USAGE)
            installation = open_installation(ServerOptions(data))
            task = _Task(
                installation, env, _order(origin, reason, successor, checkpoint), asks=asks
            )
            found, vkey = installation.with_database(task.run)
        if as_json:
            print_json(_wire(found) | {"successor_vkey": vkey})
            return
        for line in _lines(found):
            out.print(line, markup=False)
        out.print(f"its key    {vkey}", markup=False, soft_wrap=True)
        out.print(_NEXT, markup=False)


class _Task:
    def __init__(
        self, installation: Installation, environment: Environment, order: "Order", *, asks: bool
    ) -> None:
        self._installation = installation
        self._environment = environment
        self._order = order
        self._asks = asks

    async def run(self, database: Database) -> "tuple[RetiredLog, str]":
        """The log as it is closed, and the verifier key of its successor."""
        from proof.timestamps.anchors.log.retirement import vkey_of

        found = await self._closed(database)
        return found, await vkey_of(database, found.successor)

    async def _closed(self, database: Database) -> "RetiredLog":
        from proof.timestamps.anchors.log.retirement import Plan

        retirement = self._installation.retirement(database, self._environment)
        found = await retirement.plan(self._order)
        if not isinstance(found, Plan):
            return found
        if self._order.log is None and not self._asks:
            raise InvalidInputError(
                f"LOG: name the log to close, which is {found.head.origin} now; so the same command run"
                " again closes no other"
            )
        if self._asks:
            for line in _planned(found):
                out.print(line, markup=False)
            typer.confirm("Close it for good?", abort=True)
        return await retirement.carry_out(replace(self._order, log=found.head.origin), invoker())


def _order(
    origin: str | None, reason: str, successor: str | None, checkpoint: Path | None
) -> "Order":
    """Raises InvalidInputError."""
    from proof.timestamps.anchors.log.retirement import Order

    return Order(reason, origin, successor, None if checkpoint is None else _read(checkpoint))


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return checkpoint_in(file.read(MAX_PROOF_BYTES))
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise InvalidInputError(
            f"--checkpoint: {path}: {why}; name a file with the last published checkpoint, or the newest"
            " proof"
        ) from None


def _planned(plan: "Plan") -> list[str]:
    return [
        f"log        {plan.head.origin}, {plan.head.size} entries here",
        f"closes at  {plan.final.body.size} entries, the last that were published",
        f"kept       {plan.kept_size} of them are here",
        f"again      {plan.again} rounds are logged in the successor",
        f"successor  {plan.successor}",
        f"reason     {printable(plan.reason)}",
    ]


def _lines(found: "RetiredLog") -> list[str]:
    return [
        f"closed     {found.origin} at {found.size} entries, {time_text(found.retired_at)}",
        f"kept       {found.kept_size}",
        f"reason     {printable(found.reason)}",
        f"successor  {found.successor}",
    ]


def _wire(found: "RetiredLog") -> dict[str, Any]:
    members = asdict(found) | {
        "root": found.root.hex(),
        "note": found.note.decode(),
        "retired_at": time_text(found.retired_at),
    }
    del members["log_id"]
    return members
