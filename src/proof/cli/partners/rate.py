"""proof rate: how fast a partner may call."""

from typing import Annotated, Any

import typer

from proof.cli.arguments import Data, Env, Partner, parse_duration
from proof.cli.installation import Opener, ServerOptions
from proof.cli.invoker import invoker
from proof.cli.output import Json, out, print_columns, print_json, stated_errors
from proof.core.errors import InvalidInputError
from proof.db import Database
from proof.partners.access import rates
from proof.partners.access.buckets import Rate
from proof.partners.access.rates import CallClass
from proof.partners.types import Environment

# Given in place of a number, it restores the default.
_DEFAULT = "default"


def register(app: typer.Typer, open_installation: Opener) -> None:
    """Add the commands."""
    rate = typer.Typer(no_args_is_help=True, help="Rates: how fast a partner may call.")
    app.add_typer(rate, name="rate")

    @rate.command("set")
    def set_(
        partner: Partner,
        env: Env,
        call_class: Annotated[CallClass, typer.Option("--class", help="What is limited.")],
        calls: Annotated[
            str,
            typer.Option(help="How many calls in --per on average; or `default`."),
        ],
        per: Annotated[str, typer.Option(help="Seconds, minutes or hours: 1s, 60s, 1h.")] = "60s",
        burst: Annotated[
            int | None, typer.Option(help="How many at once; as many as --calls.")
        ] = None,
        data: Data = None,
        as_json: Json = False,
    ) -> None:
        """Limit a class of calls, over all processes together, within a second.

        Example: proof rate set ptr_3mF8… --env production --class submit --calls 600 --per 60s
        """

        async def act(database: Database) -> None:
            async with database.transaction() as tx:
                await rates.set_rate(tx, partner, env, call_class, wanted, invoker())

        with stated_errors():
            wanted = _rate(calls, per, burst)
            open_installation(ServerOptions(data)).with_database(act)
        if as_json:
            rate = None if wanted is None else _json(wanted)
            print_json({"environment": env, "class": call_class, "rate": rate})
        else:
            out.print(f"{env}  {call_class}  {_text(wanted)}", markup=False)

    @rate.command()
    def show(partner: Partner, data: Data = None, as_json: Json = False) -> None:
        """The limits of both environments: those set, and the defaults.

        `proof rate set` with --calls default goes back to the default.

        Example: proof rate show ptr_3mF8…
        """

        async def act(database: Database) -> dict[Environment, dict[CallClass, Rate]]:
            async with database.connection() as connection:
                return {
                    environment: await rates.rates(connection, partner, environment)
                    for environment in Environment
                }

        with stated_errors():
            found = open_installation(ServerOptions(data)).with_database(act)
        if as_json:
            print_json(
                {
                    env: {name: _json(item) for name, item in all_.items()}
                    for env, all_ in found.items()
                }
            )
            return
        lines = [
            (env, name, _text(limit))
            for env, limits in found.items()
            for name, limit in limits.items()
        ]
        print_columns(("environment", "class", "rate"), lines)


def _rate(calls: str, per: str, burst: int | None) -> Rate | None:
    if calls == _DEFAULT:
        return None
    if not calls.isascii() or not calls.isdigit() or len(calls) > len(str(rates.CALLS_MAX)):
        raise InvalidInputError(f"--calls: {calls!r} is no rate; give a number or `{_DEFAULT}`")
    window_s = int(parse_duration("--per", per).total_seconds())
    return Rate(int(calls), window_s, int(calls) if burst is None else burst)


def _json(rate: Rate) -> dict[str, Any]:
    return {"calls": rate.calls, "window_s": rate.window_s, "burst": rate.burst}


def _text(rate: Rate | None) -> str:
    if rate is None:
        return "the default"
    return f"{rate.calls} calls in {rate.window_s} s, {rate.burst} at once"
