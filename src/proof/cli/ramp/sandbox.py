"""proof sandbox: the outcomes that a sandbox plays."""

from typing import Any

import typer

from proof.cli.output import Json, out, print_columns, print_json
from proof.ramp.providers.outcomes import OUTCOMES, outcome_rows

_TITLES = ("outcome", "card", "amount", "e-mail", "types", "ends")


def register(app: typer.Typer) -> None:
    """Add the command."""
    sandbox = typer.Typer(no_args_is_help=True, help="What a sandbox plays.")
    app.add_typer(sandbox, name="sandbox")

    @sandbox.callback()
    def group() -> None:
        pass

    @sandbox.command()
    def script(as_json: Json = False) -> None:
        """Print every outcome that a sandbox transaction can come to, and what chooses it."""
        rows = outcome_rows()
        if as_json:
            print_json([_row(row) for row in rows])
            return
        print_columns(_TITLES, [row[:-1] for row in rows])
        out.print()
        for outcome in OUTCOMES:
            out.print(f"{outcome.name}: {outcome.description}", markup=False)


def _row(row: tuple[str, ...]) -> dict[str, Any]:
    return dict(zip((*_TITLES, "description"), row, strict=True))
