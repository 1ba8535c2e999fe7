"""proof headers sync: the headers of Bitcoin's blocks in a file, to verify with and without a network."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from proof.cli.output import (
    FAILED,
    UNREACHABLE,
    USAGE,
    Json,
    err,
    fail,
    print_json,
    printable,
    progress,
)
from proof.cli.proofs.header_sync import (
    FileSource,
    NodeSource,
    SourceDownError,
    SourceError,
    SyncResult,
    read_credentials,
    sync,
)
from proof.verify import RefusedError
from proof.verify.evidence.bitcoin.evidence import work_text
from proof.verify.evidence.bitcoin.headers import MIN_MAIN_WORK, PERIOD
from proof.verify.evidence.bitcoin.networks import MAIN, NETWORKS


def register(app: typer.Typer) -> None:
    """Add the commands."""
    headers = typer.Typer(no_args_is_help=True, help="Headers of Bitcoin's blocks, for verifying.")
    app.add_typer(headers, name="headers")

    @headers.callback()
    def group() -> None:
        pass

    @headers.command("sync")
    def sync_command(
        file: Annotated[Path, typer.Argument(help="The header file, made when missing.")],
        bitcoin_node: Annotated[
            str,
            typer.Option(
                envvar="PROOF_BITCOIN_NODE", help="URL of a bitcoind, without credentials."
            ),
        ] = "",
        bitcoin_credentials: Annotated[
            Path | None, typer.Option(help="File with user:password; bitcoind's .cookie is one.")
        ] = None,
        given: Annotated[
            Path | None, typer.Option("--from", help="A header file of somebody's instead.")
        ] = None,
        network: Annotated[str, typer.Option(help="Which network of Bitcoin.")] = MAIN,
        start: Annotated[
            int, typer.Option(min=0, help=f"Begin a new file here, at a multiple of {PERIOD}.")
        ] = 0,
        as_json: Json = False,
    ) -> None:
        """Bring a header file up to date from a bitcoind, or from a file you were given.

        Proof of work, linkage and targets are checked, of what the file holds too; a run that was
        stopped is resumed. Exits 1 when a header is wrong, 4 when the node cannot be reached.

        Example: proof headers sync main.headers --bitcoin-node http://127.0.0.1:8332
        --bitcoin-credentials ~/.bitcoin/.cookie
        """
        if network not in NETWORKS:
            raise fail(f"there is no network {network!r}; there are {', '.join(NETWORKS)}", USAGE)
        if bool(bitcoin_node) == (given is not None):
            raise fail(
                "there is no source, or there are two; give --bitcoin-node URL or --from FILE",
                USAGE,
            )
        try:
            synced = asyncio.run(
                _sync(file, bitcoin_node, bitcoin_credentials, given, network, start)
            )
        except SourceDownError as error:
            raise fail(error.message, UNREACHABLE) from None
        except SourceError as error:
            raise fail(error.message, USAGE) from None
        except RefusedError as error:
            raise fail(
                f"the headers are refused: {error}; take them from another source", FAILED
            ) from None
        except OSError as error:
            raise fail(
                f"cannot write {printable(str(file))}: {error.strerror};"
                " name another place, or make room there",
                FAILED,
            ) from None
        _tell(file, synced, as_json=as_json)


async def _sync(
    file: Path, url: str, credentials: Path | None, given: Path | None, network: str, start: int
) -> SyncResult:
    if given is not None:
        return await sync(file, FileSource(given), network, start, progress)
    said = None if credentials is None else read_credentials(credentials)
    async with NodeSource(url, said) as source:
        return await sync(file, source, network, start, progress)


def _tell(file: Path, synced: SyncResult, *, as_json: bool) -> None:
    enough = synced.network != MAIN or synced.work >= MIN_MAIN_WORK
    if as_json:
        print_json(
            {
                "file": printable(str(file)),
                "network": synced.network,
                "start": synced.start,
                "end": synced.end,
                "added": synced.added,
                "replaced": synced.replaced,
                "keptOurs": synced.kept,
                "work": str(synced.work),
                "enoughWork": enough,
            }
        )
        return
    if synced.end == synced.start:
        typer.echo(f"{printable(str(file))} holds no header yet")
        return
    typer.echo(
        f"{printable(str(file))}: {synced.network} headers {synced.start} to {synced.end - 1},"
        f" {synced.added} added, {synced.replaced} replaced; they took {work_text(synced.work)} hashes"
    )
    if synced.kept:
        err.print("The source's chain differs from ours and took no more work; ours is kept.")
    if not enough:
        err.print(
            f"That is under the {work_text(MIN_MAIN_WORK)} that the main chain must show: sync from a"
            " node that has all of it."
        )
