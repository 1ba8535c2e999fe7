"""proof webhook: endpoints, deliveries, sending again, trying out; the secrets have a file of their own."""

from typing import Annotated, Any
from uuid import UUID

import msgspec
import typer

from proof.cli.arguments import Data, Env, Partner, optional_moment
from proof.cli.installation import Opener, ServerOptions
from proof.cli.invoker import invoker
from proof.cli.output import Json, out, print_columns, print_json, printable, stated_errors
from proof.cli.webhooks import secret, trial
from proof.core.clock import SystemClock, second_text
from proof.core.errors import InvalidInputError
from proof.db import Database
from proof.partners.environments import environment_names
from proof.partners.types import Environment
from proof.webhooks.administration import (
    EndpointChange,
    Place,
    Replay,
    ReplayResult,
    change_endpoint,
    replay_webhooks,
)
from proof.webhooks.inspection import (
    DELIVERIES_AT_MOST,
    DeliveryView,
    EndpointView,
    Search,
    delivery_view,
    endpoint_views,
    search_deliveries,
)
from proof.webhooks.replay import Standing
from proof.webhooks.types import DeliveryState, Ordering, Subscription, Waiting

_ID_MAX = 2**53 - 1


_WAITING = {
    Waiting.DISABLED: "wait: the endpoint is disabled; to call it again: proof webhook change {1} --enable",
    Waiting.BREAKER: "wait until a probe of the endpoint is answered{0}; proof webhook endpoints says why;"
    " to call it at once: proof webhook change {1} --enable",
    Waiting.ORDER: "wait for an earlier event of the same object",
    Waiting.SCHEDULE: "wait for their next attempt{0}; to make it now: proof webhook change {1} --enable",
    Waiting.UNDER_WAY: "are being sent",
    Waiting.WORKER: "are due now; a worker sends them",
}


OfPartner = Annotated[str | None, typer.Option("--partner", help="One partner's only.")]

InEnv = Annotated[Environment | None, typer.Option("--env", help="One environment's only.")]

OfEndpoint = Annotated[UUID | None, typer.Option("--endpoint", help="One endpoint's only.")]


def register(app: typer.Typer, open_installation: Opener) -> None:
    """Add the commands."""
    webhook = typer.Typer(no_args_is_help=True, help="Webhooks: look, send again, try out.")
    app.add_typer(webhook, name="webhook")
    _register_views(webhook, open_installation)
    _register_change(webhook, open_installation)
    _register_replay(webhook, open_installation)
    trial.register(webhook, open_installation)
    secret.register(webhook, open_installation)


def _register_views(webhook: typer.Typer, open_installation: Opener) -> None:
    @webhook.command()
    def endpoints(
        partner: OfPartner = None, env: InEnv = None, data: Data = None, as_json: Json = False
    ) -> None:
        """Where events go, and whether the breaker of each endpoint lets them.

        Example: proof webhook endpoints --partner ptr_3mF8…
        """
        with stated_errors():
            found = open_installation(ServerOptions(data)).with_database(
                lambda database: _endpoints(database, partner, env)
            )
        if as_json:
            print_json(msgspec.to_builtins(found))
        else:
            _print_endpoints(found)

    @webhook.command()
    def deliveries(
        partner: OfPartner = None,
        env: InEnv = None,
        endpoint: OfEndpoint = None,
        state: Annotated[
            DeliveryState | None, typer.Option(help="Those in one state only.")
        ] = None,
        since: Annotated[
            str | None,
            typer.Option(help="Of events that happened since: 90m, 24h, 7d, or an ISO 8601 time."),
        ] = None,
        subject: Annotated[str | None, typer.Option(help="Of one object's events only.")] = None,
        limit: Annotated[
            int,
            typer.Option(help="How many at most, the newest first.", min=1, max=DELIVERIES_AT_MOST),
        ] = 100,
        data: Data = None,
        as_json: Json = False,
    ) -> None:
        """What was sent, and what came of it: state, attempts, the last answer.

        Example: proof webhook deliveries --partner ptr_3mF8… --state failed --since 24h
        """

        async def act(database: Database) -> list[DeliveryView]:
            async with database.connection() as connection:
                names = await environment_names(connection, partner, env)
                wanted = Search([*names], endpoint, state, start, limit=limit, subject=subject)
                rows = await search_deliveries(connection, wanted)
            return [delivery_view(*names[row.partner_environment_id], row) for row in rows]

        with stated_errors():
            start = optional_moment("--since", since)
            found = open_installation(ServerOptions(data)).with_database(act)
        if as_json:
            print_json(msgspec.to_builtins(found))
        else:
            _print_deliveries(found)


def _register_change(webhook: typer.Typer, open_installation: Opener) -> None:
    @webhook.command()
    def change(
        partner: Partner,
        env: Env,
        endpoint: Annotated[
            UUID, typer.Option("--endpoint", help="Which, from `proof webhook endpoints`.")
        ],
        ordering: Annotated[
            Ordering | None,
            typer.Option(
                help="subject: an object's events one after the other; none: as they come."
            ),
        ] = None,
        ed25519: Annotated[
            bool | None,
            typer.Option("--ed25519/--no-ed25519", help="Sign with the Ed25519 key too (v1a)."),
        ] = None,
        events: Annotated[
            str | None,
            typer.Option(
                help=f"What an endpoint of transactions gets, by commas: {', '.join(Subscription)}."
            ),
        ] = None,
        enable: Annotated[
            bool, typer.Option("--enable", help="Call it again: what waits for it is due.")
        ] = False,
        data: Data = None,
        as_json: Json = False,
    ) -> None:
        """Change how one endpoint is called: in order, with v1a signatures, for which events, again.

        Example: proof webhook change ptr_3mF8… --env production --endpoint 5f0c… --enable
        """
        with stated_errors():
            asked = None if events is None else _subscriptions(events)
            installation = open_installation(ServerOptions(data))

            async def act(database: Database) -> list[EndpointView]:
                place = Place(partner, env)
                wanted = EndpointChange(ordering, ed25519, enable, asked)
                async with database.transaction() as tx:
                    await change_endpoint(
                        tx, installation.vault(), place, endpoint, wanted, invoker()
                    )
                    names = await environment_names(tx, partner, env)
                    return await endpoint_views(tx, names)

            (found,) = (item for item in installation.with_database(act) if item.id == endpoint)
        if as_json:
            print_json(msgspec.to_builtins(found))
            return
        signing = ["v1", *(f"v1a {key}" for key in found.public_keys)]
        out.print(f"breaker   {found.breaker}\nordering  {found.ordering}", markup=False)
        out.print(f"signed    {', '.join(signing)}", markup=False)
        out.print(f"events    {', '.join(found.events)}", markup=False)


def _subscriptions(text: str) -> tuple[Subscription, ...]:
    try:
        return tuple(Subscription(word.strip()) for word in text.split(","))
    except ValueError:
        raise InvalidInputError(
            f"--events: {printable(text)} is no event; name some of {', '.join(Subscription)}"
        ) from None


def _register_replay(webhook: typer.Typer, open_installation: Opener) -> None:
    @webhook.command()
    def replay(
        partner: Partner,
        env: Env,
        delivery: Annotated[
            int | None,
            typer.Option(help="One, from `proof webhook deliveries`.", min=1, max=_ID_MAX),
        ] = None,
        since: Annotated[
            str | None,
            typer.Option(help="All of events that happened since; with --failed: tried since."),
        ] = None,
        until: Annotated[str | None, typer.Option(help="Of events before: as --since.")] = None,
        failed: Annotated[bool, typer.Option("--failed", help="Those that failed.")] = False,
        endpoint: OfEndpoint = None,
        data: Data = None,
        as_json: Json = False,
    ) -> None:
        """Send again, with the same webhook-id: one delivery, a range of time, or what failed.

        What is pending is left as it is, and counted with what it waits for.

        Example: proof webhook replay ptr_3mF8… --env production --failed --since 24h
        """

        async def act(database: Database) -> ReplayResult:
            now, place = SystemClock().now(), Place(partner, env)
            return await replay_webhooks(database, place, wanted, invoker(), now)

        with stated_errors():
            start, end = optional_moment("--since", since), optional_moment("--until", until)
            wanted = Replay(delivery, start, end, failed, endpoint)
            found = open_installation(ServerOptions(data)).with_database(act)
        if as_json:
            pending = [msgspec.to_builtins(standing) for standing in found.pending]
            print_json({"replayed": found.count, "pending": pending})
            return
        out.print(f"{found.count} pending again", markup=False)
        for standing in found.pending:
            out.print(
                _pending(standing, f"{partner} --env {env} --endpoint {standing.endpoint_id}"),
                markup=False,
            )


def _pending(standing: Standing, endpoint: str) -> str:
    next_at = "" if standing.next_at is None else f", {second_text(standing.next_at)}"
    waiting = _WAITING[standing.waiting].format(next_at, endpoint)
    return f"{standing.count} at {standing.endpoint_id} {waiting}"


async def _endpoints(
    database: Database, partner: str | None, env: Environment | None
) -> list[EndpointView]:
    async with database.connection() as connection:
        return await endpoint_views(connection, await environment_names(connection, partner, env))


def _print_endpoints(found: list[EndpointView]) -> None:
    rows = [
        _cells(
            view.id,
            view.partner_id,
            view.environment,
            view.type,
            view.url,
            view.breaker,
            view.reason,
        )
        for view in found
    ]
    print_columns(("id", "partner", "environment", "type", "URL", "breaker", "reason"), rows)


def _print_deliveries(found: list[DeliveryView]) -> None:
    titles = (
        "id", "partner", "environment", "type", "subject", "happened", "state", "attempts", "last", "answer"
    )  # fmt: skip
    rows = [
        [
            *_cells(view.id, view.partner_id, view.environment, view.type, view.subject),
            second_text(view.happened_at),
            *_cells(view.state, view.attempts, view.last_outcome, view.last_body),
        ]
        for view in found
    ]
    print_columns(titles, rows)


def _cells(*values: Any) -> list[str]:
    """Without anything a terminal would obey: much of it is a receiver's words."""
    return ["" if value is None else printable(str(value)) for value in values]
