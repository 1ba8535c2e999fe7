"""proof webhook test: a test event, and what the receiver made of it."""

from collections.abc import Mapping
from typing import Annotated, Any
from uuid import UUID

import typer

from proof.cli.arguments import Data, Env, Partner
from proof.cli.installation import Opener, ServerOptions
from proof.cli.invoker import invoker
from proof.cli.output import FAILED, OPEN, Json, out, print_json, printable, stated_errors
from proof.core.errors import NotFoundError
from proof.db import Database
from proof.webhooks.administration import Place, endpoints_of, first_attempts, send_test
from proof.webhooks.inspection import DeliveryRecord
from proof.webhooks.signing import webhook_id
from proof.webhooks.types import DeliveryState

# An attempt takes ten seconds at most; the rest is for making it due.
_WAIT_S = 15.0

_WAIT_MAX_S = 300.0


Sent = Mapping[UUID, UUID]

Found = Mapping[UUID, DeliveryRecord]


def register(webhook: typer.Typer, open_installation: Opener) -> None:
    """Add the command to `proof webhook`."""

    @webhook.command()
    def test(
        partner: Partner,
        env: Env,
        endpoint: Annotated[
            UUID | None, typer.Option("--endpoint", help="One endpoint's only.")
        ] = None,
        wait: Annotated[
            float,
            typer.Option(
                help="Seconds to wait for the first attempt; 0: only queue it.",
                min=0,
                max=_WAIT_MAX_S,
            ),
        ] = _WAIT_S,
        data: Data = None,
        as_json: Json = False,
    ) -> None:
        """Send an event of the type webhook.test to every endpoint of an environment, or to one.

        Then tells what the receivers answered. Exits 1 when one did not take it, 3 when nothing is known
        within --wait. It is tried again as any other.

        Example: proof webhook test ptr_3mF8… --env sandbox
        """
        place = Place(partner, env)

        async def act(database: Database) -> tuple[Sent, Found]:
            sent = await _send(database, place, endpoint)
            return sent, await first_attempts(database, place, sent, wait) if wait else {}

        with stated_errors():
            sent, found = open_installation(ServerOptions(data)).with_database(act)
        if as_json:
            print_json([_row(to, event, found.get(to)) for to, event in sent.items()])
        else:
            for to, event in sent.items():
                out.print(_told(to, event, found.get(to), waited=bool(wait)), markup=False)
        if wait and (code := max(_code(found.get(to)) for to in sent)):
            raise typer.Exit(FAILED if any(_failed(record) for record in found.values()) else code)


async def _send(database: Database, place: Place, endpoint: UUID | None) -> Sent:
    """The event's id for each endpoint. Raises NotFoundError."""
    async with database.transaction() as tx:
        chosen = [record.id for record in await endpoints_of(tx, place)]
        if not chosen and endpoint is None:
            raise NotFoundError(
                f"{place.partner_id} has no webhook endpoint in {place.environment};"
                " `proof partner edit --webhook` sets one"
            )
        named = chosen if endpoint is None else [endpoint]
        return {record: await send_test(tx, place, record, invoker()) for record in named}


def _failed(record: DeliveryRecord | None) -> bool:
    if record is None or record.state is DeliveryState.DELIVERED:
        return False
    return record.state is DeliveryState.FAILED or record.last_outcome is not None


def _code(record: DeliveryRecord | None) -> int:
    if record is not None and record.state is DeliveryState.DELIVERED:
        return 0
    return FAILED if _failed(record) else OPEN


def _row(to: UUID, event: UUID, record: DeliveryRecord | None) -> dict[str, Any]:
    row: dict[str, Any] = {"endpoint_id": str(to), "webhook_id": webhook_id(event)}
    if record is None:
        return row | {"state": DeliveryState.PENDING.value, "last_outcome": None, "last_body": None}
    body = None if record.last_body is None else record.last_body.decode("utf-8", "replace")
    return row | {
        "state": record.state.value,
        "last_outcome": record.last_outcome,
        "last_body": body,
    }


def _told(to: UUID, event: UUID, record: DeliveryRecord | None, *, waited: bool) -> str:
    head = f"{webhook_id(event)} to {to}: "
    if record is not None and record.state is DeliveryState.DELIVERED:
        return f"{head}delivered, answered {record.last_outcome} in {record.last_elapsed_ms} ms"
    if record is not None and _failed(record):
        said = printable((record.last_body or b"").decode("utf-8", "replace"))
        how = f"not taken: {record.last_outcome or 'given up'}" + (f" {said}" if said else "")
        again = "; it is tried again, see `proof webhook deliveries`"
        return head + how + (again if record.state is DeliveryState.PENDING else "")
    if not waited:
        return f"{head}on its way"
    return (
        f"{head}not tried yet; does a worker run, and is its breaker closed"
        " (`proof webhook endpoints`)?"
    )
