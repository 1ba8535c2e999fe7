"""proof ots: OpenTimestamps files, from our proofs and brought up to date from their calendars."""

import asyncio
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated

import typer

from proof.cli.output import (
    FAILED,
    OPEN,
    UNREACHABLE,
    USAGE,
    Json,
    err,
    fail,
    print_json,
    printable,
    write_atomically,
)
from proof.cli.proofs.fetching import PROOF_SUFFIX
from proof.cli.proofs.ots_upgrading import CalendarFailure, UpgradeResult, upgraded
from proof.cli.proofs.verifying import OTS_SUFFIX
from proof.outbound import OutboundPolicy
from proof.verify import RefusedError, to_ots
from proof.verify.evidence.ots.format import MAX_BYTES
from proof.verify.strict_json import MAX_BYTES as MAX_PAYLOAD_BYTES


def register(app: typer.Typer) -> None:
    """Add the commands."""
    ots = typer.Typer(no_args_is_help=True, help="OpenTimestamps files.")
    app.add_typer(ots, name="ots")

    @ots.command()
    def upgrade(
        file: Annotated[Path, typer.Argument(metavar="FILE.ots", help="Is changed in place.")],
        open_network: Annotated[
            list[str] | None,
            typer.Option(
                help="Network that may be called although it is not public, e.g. 127.0.0.0/8."
                " Repeat."
            ),
        ] = None,
        as_json: Json = False,
    ) -> None:
        """Ask the calendars of a pending .ots file for what they promised, and keep all of it.

        The calendars are those that the file names; only public https addresses are called. Exits 0
        when the file has an attestation of Bitcoin, 3 while it has none, 1 when a calendar sends
        something wrong, 4 when one cannot be reached. Check the result with `proof verify`.

        Example: proof ots upgrade report.pdf.ots
        """
        policy = _policy(open_network or [])
        raw = _read(file, MAX_BYTES)
        try:
            found = asyncio.run(upgraded(raw, policy))
        except RefusedError as error:
            raise fail(
                f"{printable(str(file))} is refused: {error}; nothing was changed, name an .ots file",
                FAILED,
            ) from None
        if found.raw != raw:
            _write(file, found.raw)
        code = _exit_code(found)
        if as_json:
            print_json(_wire(file, found, code))
        else:
            _tell(file, found, code)
        raise typer.Exit(code)

    @ots.command()
    def export(
        proof: Annotated[Path, typer.Argument(metavar="PROOF", help="FILE.proof.json.")],
        output: Annotated[
            Path | None, typer.Option("--output", "-o", help="Where to write it; FILE.ots.")
        ] = None,
        force: Annotated[
            bool, typer.Option("--force", help="Replace a file that is there.")
        ] = False,
    ) -> None:
        """Write a Bitcoin proof of ours as an .ots file, for OpenTimestamps clients.

        Example: proof ots export contract.pdf.proof.json
        """
        target = output or _target(proof)
        if target.exists() and not force:
            raise fail(f"{printable(str(target))} exists; --force replaces it", USAGE)
        try:
            raw = to_ots(_read(proof, MAX_PAYLOAD_BYTES))
        except RefusedError as error:
            raise fail(
                f"{printable(str(proof))} is refused: {error}; `proof fetch --chain btc` gets one",
                FAILED,
            ) from None
        _write(target, raw)
        typer.echo(printable(str(target)))


def _target(proof: Path) -> Path:
    return proof.with_name(proof.name.removesuffix(PROOF_SUFFIX) + OTS_SUFFIX)


def _policy(networks: list[str]) -> OutboundPolicy:
    try:
        return OutboundPolicy(tuple(map(ip_network, networks)))
    except ValueError as error:
        raise fail(f"--open-network: {error}; write one like 10.0.0.0/8", USAGE) from None


def _read(path: Path, limit: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(limit + 1)
    except OSError as error:
        raise fail(
            f"cannot read {printable(str(path))}: {error.strerror}; check its name and its mode",
            USAGE,
        ) from None


def _write(path: Path, raw: bytes) -> None:
    try:
        write_atomically(path, raw)
    except OSError as error:
        raise fail(
            f"cannot write {printable(str(path))}: {error.strerror};"
            " name another place, or make room there",
            FAILED,
        ) from None


def _exit_code(found: UpgradeResult) -> int:
    """A file that has what it needs is done, whatever another calendar did."""
    if found.heights:
        return 0
    failures = {failure.failure for failure in found.failures}
    if CalendarFailure.WRONG in failures:
        return FAILED
    return UNREACHABLE if failures else OPEN


def _wire(file: Path, found: UpgradeResult, code: int) -> dict[str, object]:
    return {
        "file": printable(str(file)),
        "exitCode": code,
        "heights": list(found.heights),
        "pending": [printable(uri) for uri in found.pending],
        "unasked": [printable(uri) for uri in found.unasked],
        "failures": [
            {"uri": printable(failure.uri), "message": printable(failure.message)}
            for failure in found.failures
        ],
    }


def _tell(file: Path, found: UpgradeResult, code: int) -> None:
    name = printable(str(file))
    for failure in found.failures:
        err.print(
            f"{printable(failure.uri)}: {printable(failure.message)}", markup=False, style="red"
        )
    if code == 0:
        blocks = ", ".join(map(str, found.heights))
        typer.echo(
            f"{name}: in Bitcoin, by the file's word, at height {blocks}; now `proof verify`"
        )
        return
    for uri in found.pending:
        typer.echo(f"{name}: pending at {printable(uri)}; ask again later")
    for uri in found.unasked:
        typer.echo(f"{name}: {printable(uri)} was not asked; a file's first 32 promises are")
    if not (found.pending or found.unasked or found.failures):
        typer.echo(f"{name}: names neither a Bitcoin block nor a calendar that could be asked")
