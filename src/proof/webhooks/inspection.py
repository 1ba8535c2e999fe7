"""Looking endpoints and deliveries up, as operators see them in commands and over HTTP."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from msgspec import Meta, Struct

from proof.db import Connection
from proof.partners.types import Environment
from proof.webhooks.service import list_endpoints
from proof.webhooks.signing import public_keys, webhook_id
from proof.webhooks.types import Breaker, DeliveryState, Endpoint, Ordering, Subscription

DELIVERIES_AT_MOST = 1000
_FIND = """
SELECT endpoint.partner_environment_id AS owner, delivery.id, delivery.event_id,
    delivery.endpoint_id, event.type AS event_type, event.subject, event.sequence,
    event.created_at AS happened_at, delivery.state, delivery.attempts,
    nullif(delivery.next_attempt_at, 'infinity') AS next_attempt_at, delivery.delivered_at,
    delivery.last_attempt_at, delivery.last_outcome, delivery.last_status,
    delivery.last_elapsed_ms, delivery.last_body, event.body IS NOT NULL AS replayable
FROM webhook_deliveries delivery
JOIN webhook_endpoints endpoint ON endpoint.id = delivery.endpoint_id
JOIN outbox event ON event.cursor = delivery.event_cursor
WHERE endpoint.partner_environment_id = ANY($1::integer[])
  AND ($2::uuid IS NULL OR endpoint.id = $2)
  AND ($3::text IS NULL OR delivery.state = $3)
  AND ($4::text IS NULL OR event.subject = $4)
  AND ($5::timestamptz IS NULL OR event.created_at >= $5)
  AND ($6::bigint IS NULL OR delivery.id < $6)
ORDER BY delivery.id DESC LIMIT $7
"""


@dataclass(frozen=True, slots=True)
class DeliveryRecord:
    """A delivery and its last attempt. `last_body` is the beginning of the reply, as it came.

    `next_attempt_at` is None while an earlier event of the object is before it; it means nothing
    unless the state is pending.
    """

    id: int
    event_id: UUID
    endpoint_id: UUID
    event_type: str
    subject: str
    sequence: int
    happened_at: datetime
    state: DeliveryState
    attempts: int
    next_attempt_at: datetime | None
    delivered_at: datetime | None
    last_attempt_at: datetime | None
    last_outcome: str | None
    last_status: int | None
    last_elapsed_ms: int | None
    last_body: bytes | None
    replayable: bool


@dataclass(frozen=True, slots=True)
class Search:
    """Which deliveries are meant. `since` bounds when the event happened; None leaves a bound out."""

    partner_environment_ids: Sequence[int]
    endpoint_id: UUID | None = None
    state: DeliveryState | None = None
    since: datetime | None = None
    before_id: int | None = None
    limit: int = 100
    subject: str | None = None


@dataclass(frozen=True, slots=True)
class FoundDelivery:
    """A delivery and whose it is."""

    partner_environment_id: int
    record: DeliveryRecord


async def search_deliveries(connection: Connection, wanted: Search) -> list[FoundDelivery]:
    """The newest deliveries first, at most `limit`; the next page is before the last one's id."""
    rows = await connection.fetch(
        _FIND,
        wanted.partner_environment_ids,
        wanted.endpoint_id,
        None if wanted.state is None else wanted.state.value,
        wanted.subject,
        wanted.since,
        wanted.before_id,
        wanted.limit,
    )
    return [_found(dict(row)) for row in rows]


def _found(columns: dict[str, Any]) -> FoundDelivery:
    owner = columns.pop("owner")
    return FoundDelivery(
        owner, DeliveryRecord(**columns | {"state": DeliveryState(columns["state"])})
    )


class EndpointView(Struct):
    """Where one type of event goes, and whether it is called."""

    partner_id: str
    environment: Environment
    id: UUID
    type: Annotated[str, Meta(description="of the events it gets")]
    url: str
    ordering: Annotated[
        Ordering, Meta(description="`subject`: an object's events one after the other")
    ]
    ed25519: Annotated[bool, Meta(description="signed `v1a` too")]
    events: Annotated[
        list[Subscription], Meta(description="of transactions: what it gets; of others it gets all")
    ]
    public_keys: Annotated[list[str], Meta(description="`whpk_…`: what `v1a` is verified with")]
    breaker: Annotated[
        Breaker,
        Meta(description="`closed`: called; `open`: by probes only; `disabled`: not called"),
    ]
    reason: Annotated[str | None, Meta(description="why the breaker is not closed")]
    opened_at: datetime | None
    probe_at: datetime | None
    failed_probes: int
    disabled_at: datetime | None
    created_at: datetime


class DeliveryView(Struct):
    """One event on its way to one endpoint, with its last attempt."""

    partner_id: str
    environment: Environment
    id: int
    webhook_id: Annotated[str, Meta(description="the same in every attempt")]
    endpoint_id: UUID
    type: str
    subject: str
    sequence: int
    happened_at: datetime
    state: DeliveryState
    attempts: int
    next_attempt_at: Annotated[
        datetime | None,
        Meta(
            description="null unless pending, or while an earlier event of the object is before it"
        ),
    ]
    delivered_at: datetime | None
    last_attempt_at: datetime | None
    last_outcome: Annotated[str | None, Meta(description="a status, or a few words")]
    last_status: int | None
    last_elapsed_ms: int | None
    last_body: Annotated[str | None, Meta(description="the beginning of the receiver's answer")]
    replayable: Annotated[bool, Meta(description="whether its payload is still kept")]


async def endpoint_views(
    connection: Connection, names: Mapping[int, tuple[str, Environment]]
) -> list[EndpointView]:
    """The endpoints of the environments that are named by their ids."""
    (only, *others) = names or [None]
    found = await list_endpoints(connection, None if others else only)
    keys: dict[int, Sequence[str]] = {}
    for owner in {
        endpoint.partner_environment_id for endpoint in found if endpoint.ed25519
    } & names.keys():
        keys[owner] = [*(await public_keys(connection, owner)).values()]
    return [
        _endpoint_view(*names[owner], endpoint, keys.get(owner, ()) if endpoint.ed25519 else ())
        for endpoint in found
        if (owner := endpoint.partner_environment_id) in names
    ]


def _endpoint_view(
    partner_id: str, environment: Environment, endpoint: Endpoint, keys: Sequence[str]
) -> EndpointView:
    return EndpointView(
        partner_id=partner_id,
        environment=environment,
        id=endpoint.id,
        type=endpoint.purpose,
        url=endpoint.url,
        ordering=endpoint.ordering,
        ed25519=endpoint.ed25519,
        events=[*endpoint.events],
        public_keys=[*keys],
        breaker=endpoint.breaker,
        reason=endpoint.reason,
        opened_at=endpoint.opened_at,
        probe_at=endpoint.probe_at,
        failed_probes=endpoint.failed_probes,
        disabled_at=endpoint.disabled_at,
        created_at=endpoint.created_at,
    )


def delivery_view(partner_id: str, environment: Environment, found: FoundDelivery) -> DeliveryView:
    """A delivery of that environment. Bytes of the answer that are not UTF-8 are replaced."""
    delivery = found.record
    return DeliveryView(
        partner_id=partner_id,
        environment=environment,
        id=delivery.id,
        webhook_id=webhook_id(delivery.event_id),
        endpoint_id=delivery.endpoint_id,
        type=delivery.event_type,
        subject=delivery.subject,
        sequence=delivery.sequence,
        happened_at=delivery.happened_at,
        state=delivery.state,
        attempts=delivery.attempts,
        next_attempt_at=delivery.next_attempt_at
        if delivery.state is DeliveryState.PENDING
        else None,
        delivered_at=delivery.delivered_at,
        last_attempt_at=delivery.last_attempt_at,
        last_outcome=delivery.last_outcome,
        last_status=delivery.last_status,
        last_elapsed_ms=delivery.last_elapsed_ms,
        last_body=None
        if delivery.last_body is None
        else delivery.last_body.decode("utf-8", "replace"),
        replayable=delivery.replayable,
    )
