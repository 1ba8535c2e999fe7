"""proof refusals: whom the gate turned away, and what would let them in."""

from typing import Annotated, Any

import typer

from proof.cli.arguments import Data, parse_duration
from proof.cli.installation import Opener, ServerOptions
from proof.cli.output import Json, out, print_columns, print_json, stated_errors
from proof.core.clock import SystemClock, second_text
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
        rows = [_row(refusal) for refusal in found]
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


def _row(refusal: Refusal) -> dict[str, Any]:
    return {
        "partner_id": refusal.partner_id,
        "name": refusal.name,
        "environment": refusal.environment,
        "kind": refusal.kind,
        "address": _address(refusal),
        "reason": refusal.reason,
        "key_id": refusal.key_id,
        "count": refusal.count,
        "last_at": second_text(refusal.last_at),
        "hint": _hint(refusal),
    }


def _address(refusal: Refusal) -> str:
    if refusal.network is None:
        return "others"
    return str(refusal.network).removesuffix("/32")


def _hint(refusal: Refusal) -> str:
    if refusal.reason in {Reason.ADDRESS, Reason.REPORTED}:
        hint = _MANY if refusal.network is None else _ADD
    else:
        hint = _HINTS[refusal.reason]
    other = {
        CredentialKind.API_KEY: CredentialKind.CLIENT_TOKEN,
        CredentialKind.CLIENT_TOKEN: CredentialKind.API_KEY,
    }[refusal.kind]
    return hint.format(
        partner=refusal.partner_id,
        environment=refusal.environment,
        kind=refusal.kind,
        network=_address(refusal),
        key_id=refusal.key_id,
        other=other,
    )
