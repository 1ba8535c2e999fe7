"""What an operator does to webhooks, each act with its entry in the audit log."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from proof.core.errors import InvalidInputError, NotFoundError
from proof.core.secrets import Vault
from proof.db import Connection, Database
from proof.partners.audit import Actor, record
from proof.partners.environments import environment_id
from proof.partners.types import Environment
from proof.webhooks.inspection import DeliveryRecord, Search, search_deliveries
from proof.webhooks.replay import Selection, Standing, replay, replay_delivery, standing
from proof.webhooks.service import (
    enable_endpoint,
    endpoint,
    list_endpoints,
    send_test_event,
    set_ed25519,
    set_events,
    set_ordering,
)
from proof.webhooks.types import DeliveryState, Endpoint, Ordering, Subscription

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)

_POLL_S = 0.2

# What an endpoint of transactions is for.
_TRANSACTIONS = "transaction"


@dataclass(frozen=True, slots=True)
class Place:
    """One environment of one partner."""

    partner_id: str
    environment: Environment


@dataclass(frozen=True, slots=True)
class Replay:
    """What is to be sent again: one `delivery`; or all of events that happened from `since` until before
    `until`; or, when `failed`, all that failed, those whose last attempt was at `since` or later.

    `endpoint_id` narrows the latter two.
    """

    delivery: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    failed: bool = False
    endpoint_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """How many deliveries are pending again, and what all that are pending wait for."""

    count: int
    pending: list[Standing]


@dataclass(frozen=True, slots=True)
class EndpointChange:
    """What is to be different at an endpoint; None leaves it. `enable` closes its breaker; `events` is what
    an endpoint of transactions gets."""

    ordering: Ordering | None = None
    ed25519: bool | None = None
    enable: bool = False
    events: tuple[Subscription, ...] | None = None


async def endpoints_of(connection: Connection, place: Place) -> list[Endpoint]:
    """The endpoints of one environment. Raises NotFoundError when there is no such partner."""
    owner = await environment_id(connection, place.partner_id, place.environment)
    return await list_endpoints(connection, owner)


async def replay_webhooks(
    database: Database, place: Place, wanted: Replay, actor: Actor, now: datetime
) -> ReplayResult:
    """Make deliveries due at `now` that have ended; how many, and what of all that was meant is pending.

    A range is done in batches: the entry in the audit log is there before the first of them. Raises
    InvalidInputError for a selection that is none or cannot be sent again, NotFoundError, and
    DatabaseUnavailableError.
    """
    _require_one_way(wanted)
    entry = _entry(place, wanted)
    async with database.transaction() as tx:
        owner = await environment_id(tx, place.partner_id, place.environment)
        if wanted.endpoint_id is not None:
            await _require_own(tx, owner, wanted.endpoint_id)
        await record(tx, actor, "webhook.replay", place.partner_id, after=entry)
        if wanted.delivery is not None:
            count = await replay_delivery(tx, owner, wanted.delivery, now)
    if wanted.failed:
        selection = Selection(owner, wanted.endpoint_id, failed_since=wanted.since or _BEGINNING)
    else:
        selection = Selection(owner, wanted.endpoint_id, wanted.since, wanted.until)
    if wanted.delivery is None:
        count = await replay(database, selection, now)
    async with database.connection() as connection:
        return ReplayResult(count, await standing(connection, selection, now, wanted.delivery))


async def send_test(tx: Connection, place: Place, endpoint_id: UUID, actor: Actor) -> UUID:
    """Publish a test event for one endpoint; its id. Raises NotFoundError, also for another's endpoint."""
    owner = await environment_id(tx, place.partner_id, place.environment)
    await _require_own(tx, owner, endpoint_id)
    event_id = await send_test_event(tx, endpoint_id)
    after = {"environment": str(place.environment), "endpoint_id": str(endpoint_id)}
    await record(tx, actor, "webhook.test", place.partner_id, after=after)
    return event_id


async def change_endpoint(
    tx: Connection,
    vault: Vault,
    place: Place,
    endpoint_id: UUID,
    wanted: EndpointChange,
    actor: Actor,
) -> None:
    """Change how an endpoint is called. Raises NotFoundError, also for another's endpoint, and
    InvalidInputError when nothing is to be different."""
    if wanted == EndpointChange():
        raise InvalidInputError("ordering, ed25519, events or enable is required")
    owner = await environment_id(tx, place.partner_id, place.environment)
    before = await _require_own(tx, owner, endpoint_id)
    if wanted.ordering is not None:
        await set_ordering(tx, endpoint_id, wanted.ordering)
    if wanted.ed25519 is not None:
        await set_ed25519(tx, vault, endpoint_id, wanted.ed25519)
    if wanted.events is not None:
        _require_events(before, wanted.events)
        await set_events(tx, endpoint_id, wanted.events)
    if wanted.enable:
        await enable_endpoint(tx, endpoint_id)
    after = await endpoint(tx, endpoint_id)
    states = {"before": _state(place, before), "after": _state(place, after)}
    await record(tx, actor, "webhook.change", place.partner_id, **states)


async def _require_own(tx: Connection, owner: int, endpoint_id: UUID) -> Endpoint:
    found = await endpoint(tx, endpoint_id)
    if found.partner_environment_id != owner:
        raise NotFoundError(f"there is no webhook endpoint {endpoint_id}")
    return found


def _require_events(found: Endpoint, events: tuple[Subscription, ...]) -> None:
    if found.purpose != _TRANSACTIONS:
        raise InvalidInputError(
            f"events: an endpoint of {found.purpose} gets all of them; only one of transactions chooses"
        )
    if not events or len(set(events)) != len(events):
        raise InvalidInputError(
            f"events: name at least one, each once; there are {', '.join(Subscription)}"
        )


def _state(place: Place, found: Endpoint) -> dict[str, str | bool | list[str]]:
    return {
        "environment": str(place.environment),
        "endpoint_id": str(found.id),
        "ordering": str(found.ordering),
        "ed25519": found.ed25519,
        "events": [str(each) for each in found.events],
        "breaker": str(found.breaker),
    }


def _require_one_way(wanted: Replay) -> None:
    ways = (wanted.delivery is not None, wanted.failed, wanted.since is not None)
    if not any(ways):
        raise InvalidInputError("delivery, since or failed is required")
    others = (wanted.failed, wanted.since, wanted.until, wanted.endpoint_id)
    if wanted.delivery is not None and any(others):
        raise InvalidInputError("delivery: goes with nothing else")
    if wanted.failed and wanted.until is not None:
        raise InvalidInputError("until: does not go with failed")


def _entry(place: Place, wanted: Replay) -> dict[str, str | int | bool | None]:
    return {
        "environment": str(place.environment),
        "delivery": wanted.delivery,
        "since": _text(wanted.since),
        "until": _text(wanted.until),
        "failed": wanted.failed,
        "endpoint_id": None if wanted.endpoint_id is None else str(wanted.endpoint_id),
    }


def _text(moment: datetime | None) -> str | None:
    try:
        return None if moment is None else moment.astimezone(UTC).isoformat()
    except OverflowError:
        raise InvalidInputError("since, until: from the year 1 to 9999 in UTC") from None


async def first_attempts(
    database: Database, place: Place, sent: Mapping[UUID, UUID], timeout_s: float
) -> dict[UUID, DeliveryRecord]:
    """The deliveries of test events, by endpoint, once each was attempted or `timeout_s` is over.

    `sent` has the event's id for each endpoint, as `send_test` gives them. A delivery that was not made
    due yet, as while no worker runs, is left out; one without an outcome waits, perhaps for its endpoint's
    breaker. Raises NotFoundError, DatabaseUnavailableError.
    """
    clock = asyncio.get_running_loop()
    deadline = clock.time() + timeout_s
    while True:
        found = await _deliveries(database, place, sent)
        over = [
            delivery
            for delivery in found.values()
            if delivery.last_outcome or delivery.state is not DeliveryState.PENDING
        ]
        if len(over) == len(sent) or clock.time() >= deadline:
            return found
        await asyncio.sleep(min(_POLL_S, deadline - clock.time()))


async def _deliveries(
    database: Database, place: Place, sent: Mapping[UUID, UUID]
) -> dict[UUID, DeliveryRecord]:
    found = {}
    async with database.connection() as connection:
        owner = await environment_id(connection, place.partner_id, place.environment)
        for endpoint_id, event_id in sent.items():
            # A test event's subject is its endpoint.
            wanted = Search([owner], endpoint_id, subject=str(endpoint_id))
            for delivery in await search_deliveries(connection, wanted):
                if delivery.record.event_id == event_id:
                    found[endpoint_id] = delivery.record
    return found
