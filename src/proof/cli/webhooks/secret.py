"""proof webhook secret: putting a new webhook secret beside the old one, and showing them."""

from typing import Annotated, Any

import typer

from proof.cli.arguments import Data, Env, Partner, parse_duration
from proof.cli.installation import Opener, ServerOptions
from proof.cli.invoker import invoker
from proof.cli.output import Json, out, print_json, stated_errors, time_text
from proof.core.clock import SystemClock
from proof.db import Database
from proof.partners.keys.webhook_secrets import (
    WebhookSecret,
    rotate_webhook_secret,
    show_webhook_secrets,
)


def register(webhook: typer.Typer, open_installation: Opener) -> None:
    """Add the commands."""
    secret = typer.Typer(no_args_is_help=True, help="What webhooks are signed with.")
    webhook.add_typer(secret, name="secret")

    @secret.command()
    def rotate(
        partner: Partner,
        env: Env,
        grace: Annotated[
            str, typer.Option(help="How long the old secrets sign along; 0: end now.")
        ] = "24h",
        data: Data = None,
        as_json: Json = False,
    ) -> None:
        """Make a new webhook secret and print it. Old ones sign along until their grace is over.

        Example: proof webhook secret rotate ptr_3mF8… --env production
        """
        with stated_errors():
            lasting = parse_duration("--grace", grace)
            installation = open_installation(ServerOptions(data))

            async def act(database: Database) -> tuple[WebhookSecret, ...]:
                now = SystemClock().now()
                async with database.transaction() as tx:
                    return await rotate_webhook_secret(
                        tx, installation.vault(), partner, env, invoker(), now, lasting
                    )

            new, *old = installation.with_database(act)
        if as_json:
            ending = {str(secret.id): time_text(secret.ends_at) for secret in old}
            print_json({"id": str(new.id), "secret": new.text, "ending": ending})
            return
        out.print(new.text, markup=False)
        for secret in old:
            out.print(f"{secret.id} signs along until {time_text(secret.ends_at)}", markup=False)
        out.print("\nHand it over on a safe way, before the old one ends.", style="yellow")

    @secret.command()
    def show(partner: Partner, env: Env, data: Data = None, as_json: Json = False) -> None:
        """Print the live webhook secrets, the newest first. That you looked is in the audit log.

        Example: proof webhook secret show ptr_3mF8… --env production
        """
        with stated_errors():
            installation = open_installation(ServerOptions(data))

            async def act(database: Database) -> list[WebhookSecret]:
                async with database.transaction() as tx:
                    return await show_webhook_secrets(
                        tx, installation.vault(), partner, env, invoker()
                    )

            found = installation.with_database(act)
        rows = [_row(secret) for secret in found]
        if as_json:
            print_json(rows)
            return
        for row in rows:
            until = f"  until {row['ends_at']}" if row["ends_at"] else ""
            out.print(f"{row['secret']}  since {row['created_at']}{until}", markup=False)


def _row(secret: WebhookSecret) -> dict[str, Any]:
    return {
        "id": str(secret.id),
        "secret": secret.text,
        "created_at": time_text(secret.created_at),
        "ends_at": time_text(secret.ends_at),
    }
