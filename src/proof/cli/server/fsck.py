"""proof fsck: rebuild everything from the leaves and compare."""

from dataclasses import asdict

import typer
from rich.progress import Progress, TaskID

from proof.cli.arguments import Data
from proof.cli.installation import Opener, ServerOptions
from proof.cli.output import FAILED, Json, err, out, print_json, stated_errors
from proof.timestamps.proofs.audit import Audit, fsck


def register(app: typer.Typer, open_installation: Opener) -> None:
    """Add the command."""

    @app.command(name="fsck")
    def check(data: Data = None, as_json: Json = False) -> None:
        """Rebuild every tree and log from the submitted hashes, and compare, with what witnesses hold too.

        Changes nothing. Exits 1 when something differs, naming it.
        """
        with stated_errors(), Progress(console=err, transient=True) as bars:
            audit = open_installation(ServerOptions(data)).with_database(
                lambda database: fsck(database, _Bars(bars))
            )
        if as_json:
            print_json(asdict(audit))
        else:
            _print(audit)
        if audit.findings:
            raise typer.Exit(FAILED)


class _Bars:
    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, what: str, done: int, total: int) -> None:
        if what not in self._tasks:
            self._tasks[what] = self._progress.add_task(what, total=total)
        self._progress.update(self._tasks[what], completed=done)


def _print(audit: Audit) -> None:
    out.print(
        f"{audit.rounds} rounds with {audit.leaves} leaves, {audit.entries} log entries and"
        f" {audit.checkpoints} checkpoints rebuilt and compared"
    )
    for witness in audit.witnesses:
        held = "shows nothing of it" if witness.size is None else f"holds {witness.size} entries"
        out.print(f"{witness.log} log: the witness {witness.url} {held}", markup=False)
    for finding in audit.findings:
        out.print(f"{finding.where}: {finding.what}", style="red", markup=False)
    out.print("nothing differs" if not audit.findings else f"{len(audit.findings)} differ")
