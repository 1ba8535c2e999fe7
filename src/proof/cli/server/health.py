"""proof health: what is stopped, for alerts."""

import typer

from proof.cli.arguments import Data
from proof.cli.installation import Opener, ServerOptions
from proof.cli.output import FAILED, Json, out, print_json, printable, stated_errors
from proof.receipts.health import parts


def register(app: typer.Typer, open_installation: Opener) -> None:
    """Add the command."""

    @app.command()
    def health(data: Data = None, as_json: Json = False) -> None:
        """Tell of each part whether it works: workers, their work, the logs, the chains, stamping.

        Exits 0 when all do, 1 when one is stopped, 4 when the database cannot be reached.
        """
        with stated_errors():
            found = open_installation(ServerOptions(data)).with_database(parts)
        stopped = [part for part in found if part.reason is not None]
        if as_json:
            rows = [
                {
                    "part": part.name,
                    "ok": not part.reason,
                    "reason": part.reason,
                    "note": part.note,
                }
                for part in found
            ]
            print_json({"ok": not stopped, "parts": rows})
        else:
            width = max(len(part.name) for part in found)
            for part in found:
                state = printable(part.reason or f"works{f', {part.note}' if part.note else ''}")
                out.print(f"{part.name:{width}}  {state}", markup=False)
        if stopped:
            raise typer.Exit(FAILED)
