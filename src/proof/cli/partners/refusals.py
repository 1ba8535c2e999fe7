"""proof refusals: whom the gate turned away, and what would let them in."""

from datetime import UTC
from typing import Annotated, Any

import typer

from proof.cli.arguments import Data, parse_duration
from proof.cli.installation import Opener, ServerOptions
from proof.cli.output import Json, out, print_columns, print_json, stated_errors
from proof.core.clock import SystemClock
from proof.db import Database
from proof.partners.access.refusals import Reason, Refusal, list_refusals
from proof.partners.types import CredentialKind

_MOST = 1_000

_HINTS = {
    Reason.KIND: "the token is of the other kind; the call needs the {other}",
    Reason.ENVIRONMENT: "the token is for {environment}; the call went to the other base URL",
    Reason.ORIGIN: "a browser sent the {kind}, so others can read it there: the partner's backend has to"
    " make the call; replace the token:"
    " proof token rotate {partner} --env {environment} --kind {kind} --grace 0",
    Reason.SUSPENDED: "proof partner resume {partner}",
    Reason.RATE: "proof rate show {partner}",
    Reason.EXPIRED: "token {key_id} has expired; its successor: proof token list {partner}",
    Reason.REVOKED: "token {key_id} is revoked; if that was not meant: proof token rotate {partner}"
    " --env {environment} --kind {kind}",
}

_ADD = "proof allowlist add {partner} {network} --env {environment} --kind {kind}"

_MANY = (
    "many addresses, not told apart; those that may call:"
    " proof allowlist show {partner} --env {environment} --kind {kind}"
)


def register(app: typer.Typer, open_installation: Opener) -> None:
    """Add the command."""

    @app.command()
    def refusals(
        partner: Annotated[str | None, typer.Option(help="One partner's only.")] = None,
        since: Annotated[str, typer.Option(help="How far back: 90m, 24h, 7d.")] = "24h",
        data: Data = None,
        as_json: Json = False,
    ) -> None:
        """Callers with a token who were turned away: who, from where, why, and what to do.

        An address on a list that only reports was let in. A token that was never one is not here.

        Example: proof refusals --partner ptr_3mF8…
        """

        async def act(database: Database) -> list[Refusal]:
            async with database.connection() as connection:
                start = SystemClock().now() - back
                return await list_refusals(connection, start, partner, _MOST)

        with stated_errors():
            back = parse_duration("--since", since)
            found = open_installation(ServerOptions(data)).with_database(act)
        rows = [_row(one) for one in found]
        if as_json:
            print_json(rows)
            return
        titles = (
            "partner",
            "name",
            "environment",
            "token",
            "address",
            "reason",
            "key id",
            "count",
            "last",
        )
        print_columns(titles, [list(row.values())[:-1] for row in rows])
        for hint in dict.fromkeys(row["hint"] for row in rows):
            out.print(hint, markup=False)


def _row(one: Refusal) -> dict[str, Any]:
    return {
        "partner_id": one.partner_id,
        "name": one.name,
        "environment": one.environment,
        "kind": one.kind,
        "address": _address(one),
        "reason": one.reason,
        "key_id": one.key_id,
        "count": one.count,
        "last_at": one.last_at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "hint": _hint(one),
    }


def _address(one: Refusal) -> str:
    if one.network is None:
        return "others"
    return str(one.network).removesuffix("/32")


def _hint(one: Refusal) -> str:
    if one.reason in {Reason.ADDRESS, Reason.REPORTED}:
        hint = _MANY if one.network is None else _ADD
    else:
        hint = _HINTS[one.reason]
    other = {
        CredentialKind.API_KEY: CredentialKind.CLIENT_TOKEN,
        CredentialKind.CLIENT_TOKEN: CredentialKind.API_KEY,
    }[one.kind]
    return hint.format(
        partner=one.partner_id,
        environment=one.environment,
        kind=one.kind,
        network=_address(one),
        key_id=one.key_id,
        other=other,
    )
