"""proof log: the keys of a log, and watching and copying it."""

import asyncio

import typer

from proof.cli.installation import Opener
from proof.cli.log import export, following, retirement
from proof.cli.output import Json, err, print_json
from proof.cli.proofs.client import Target, Url, connected, stated_api_errors

_TRUST = (
    "Get these keys over a channel you trust, and keep them: a key that came with a proof proves"
    " nothing. Then: proof verify FILE --log-key KEYFILE"
)


def register(app: typer.Typer, open_installation: Opener) -> None:
    """Add the commands."""
    log = typer.Typer(no_args_is_help=True, help="The log that gives hashes their time.")
    app.add_typer(log, name="log")

    @log.command()
    def key(url: Url, as_json: Json = False) -> None:
        """Print the verifier keys of a server's log, for --log-key.

        Example: proof log key > log.key
        """
        with stated_api_errors():
            keys = asyncio.run(_keys(Target.checked(url)))
        if as_json:
            print_json({"keys": keys})
            return
        typer.echo("\n".join(keys))
        err.print(_TRUST, markup=False)

    following.register(log, open_installation)
    export.register(log, open_installation)
    retirement.register(log, open_installation)


async def _keys(target: Target) -> list[str]:
    async with connected(target) as api:
        return await api.log_keys()
