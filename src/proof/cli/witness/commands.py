"""proof witness: remember what logs said, and cosign only what extends it."""

import os
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

import typer

from proof.cli.output import (
    USAGE,
    Json,
    fail,
    out,
    print_json,
    printable,
    stated_errors,
    time_text,
)
from proof.witness.administration import Report, add_log, remove_log, report
from proof.witness.folder import create, policy_lines, state_directory
from proof.witness.store import LogRecord

_FOLDER = "witness"
Folder = Annotated[
    Path,
    typer.Option("--folder", envvar="PROOF_WITNESS_FOLDER", help="The witness's folder."),
]
Serve = Callable[[Path, str, int, Path | None], None]


def register(app: typer.Typer, serve_witness: Serve) -> None:
    """Add the commands."""
    witness = typer.Typer(
        no_args_is_help=True,
        help="Run a witness: it cosigns a log's checkpoint only if it extends the last one it saw.\n\n"
        "A log whose policy names witnesses cannot show two histories unless they forget. So a witness runs"
        " on another machine than the log, best another company's, and its folder is in no backup. Start"
        " with `proof witness init`, then `proof witness add` for each log, then `proof witness serve`.",
    )
    app.add_typer(witness, name="witness")
    _register_process(witness, serve_witness)
    _register_logs(witness)


def _register_process(witness: typer.Typer, serve_witness: Serve) -> None:
    @witness.command()
    def init(
        name: Annotated[
            str,
            typer.Option(help="What its signatures are named, as witness.example.com/w1."),
        ],
        folder: Annotated[
            Path,
            typer.Argument(
                envvar="PROOF_WITNESS_FOLDER", help="Where it is to live.", metavar="FOLDER"
            ),
        ] = Path(_FOLDER),
        as_json: Json = False,
    ) -> None:
        """Make a witness: a folder with an Ed25519 and an ML-DSA-44 key and an empty memory.

        Prints both verifier keys and the lines of a log's policy file that name them: its two keys are
        one party. The folder is never restored from a copy: a witness that lost its memory is replaced
        by another, with new keys.

        Example: proof witness init /srv/witness --name witness.example.com/w1
        """
        with stated_errors():
            identity = create(folder, name)
        lines = policy_lines(identity)
        if as_json:
            print_json({"name": name, "vkeys": list(identity.vkeys), "policy": lines})
            return
        out.print(f"the witness {name} is in {printable(str(folder))}; its keys:\n", markup=False)
        out.print("\n".join(identity.vkeys), markup=False)
        out.print("\nin the policy of a log, with the witness's URL, as members of your quorum:\n")
        out.print("\n".join(lines), markup=False)

    @witness.command()
    def serve(
        folder: Folder = Path(_FOLDER),
        host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
        port: Annotated[
            int, typer.Option(min=0, max=65_535, help="Port to listen on; 0 picks one.")
        ] = 8421,
    ) -> None:
        """Answer logs (POST /add-checkpoint) and their monitors (GET /HASH/checkpoint), until stopped.

        Put a proxy with TLS in front. /healthz and /metrics are for you. Logs that `proof witness add`
        and `remove` change meanwhile are picked up. Refuses to start from a folder that lost its memory
        or has an older one than this machine remembers.

        Example: proof witness serve --folder /srv/witness --host 0.0.0.0
        """
        serve_witness(folder, host, port, state_directory(os.environ))


def _register_logs(witness: typer.Typer) -> None:
    @witness.command()
    def add(
        vkey: Annotated[str, typer.Argument(help="A verifier key of the log.", metavar="VKEY")],
        origin: Annotated[
            str | None,
            typer.Argument(help="The log's origin, if the key has another name.", metavar="ORIGIN"),
        ] = None,
        start: Annotated[
            Path | None,
            typer.Option(
                "--from", help="File with a signed checkpoint to begin at.", metavar="CHECKPOINT"
            ),
        ] = None,
        folder: Folder = Path(_FOLDER),
        as_json: Json = False,
    ) -> None:
        """Cosign for a log from now on, or trust another key of it, as while it changes keys.

        Without --from the witness begins with the first checkpoint that the log sends it.

        Example: proof witness add "$(head -n 1 log.key)" --folder /srv/witness
        """
        with stated_errors():
            checkpoint = None if start is None else _read(start)
            named, new = add_log(folder, vkey.strip(), origin, checkpoint)
        if as_json:
            print_json({"origin": named, "added": new, "checkpoint_path": _path(named)})
            return
        done = "is trusted from now on" if new else "was trusted already"
        out.print(f"the key {done} for {printable(named)}", markup=False)

    @witness.command()
    def remove(
        name: Annotated[str, typer.Argument(help="A key, or an origin with all its keys.")],
        folder: Folder = Path(_FOLDER),
        as_json: Json = False,
    ) -> None:
        """Cosign for a log no longer, or trust one of its keys no longer.

        What the witness saw of the log is kept: added again, it goes on from there.

        Example: proof witness remove proof.example.com/log --folder /srv/witness
        """
        with stated_errors():
            removed = remove_log(folder, name.strip())
        if as_json:
            print_json([{"origin": origin, "vkey": vkey} for origin, vkey in removed])
            return
        for origin, vkey in removed:
            out.print(f"{printable(origin)} {vkey} is trusted no longer", markup=False)

    @witness.command("list")
    def show(folder: Folder = Path(_FOLDER), as_json: Json = False) -> None:
        """Show the witness's keys, its logs, and what it holds of each.

        A log that signed two roots for one size is shown as forked; --json has the checkpoints that
        prove it.
        """
        with stated_errors():
            found = report(folder)
        if as_json:
            print_json(_wire(found))
            return
        out.print(f"witness {found.identity.name}", markup=False)
        for vkey in found.identity.vkeys:
            out.print(f"  {vkey}", markup=False)
        for log in found.logs:
            _print_log(log)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise fail(
            f"cannot read {printable(str(path))}: {error.strerror}; name a file", USAGE
        ) from None


def _path(origin: str) -> str:
    return f"/{sha256(origin.encode()).hexdigest()}/checkpoint"


def _time(log: LogRecord) -> datetime | None:
    return datetime.fromtimestamp(log.head.time_s, UTC) if log.head.time_s else None


def _print_log(log: LogRecord) -> None:
    state = "" if log.keys else "  (removed; its size is kept)"
    out.print(f"\nlog {printable(log.origin)}{state}", markup=False)
    for key in log.keys:
        out.print(f"  {key.text}", markup=False)
    cosigned = time_text(_time(log))
    held = f"size {log.head.size}"
    out.print(f"  {held}, cosigned {cosigned}" if cosigned else f"  {held}, not cosigned yet")
    if log.forks:
        out.print(
            f"  FORKED: it signed other roots too, {log.forks} kept; --json shows them", style="red"
        )


def _wire(found: Report) -> dict[str, Any]:
    return {
        "name": found.identity.name,
        "vkeys": list(found.identity.vkeys),
        "policy": policy_lines(found.identity),
        "logs": [
            {
                "origin": log.origin,
                "vkeys": [key.text for key in log.keys],
                "size": log.head.size,
                "root": log.head.root.hex(),
                "cosigned_at": time_text(_time(log)),
                "checkpoint_path": _path(log.origin),
                "forks": [note.decode() for note in found.forks[log.origin]],
            }
            for log in found.logs
        ],
    }
