"""Endpoints and deliveries as operators see them, in commands and over HTTP."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated
from uuid import UUID

from msgspec import Meta, Struct

from proof.db import Connection
from proof.partners.types import Environment
from proof.webhooks.inspection import FoundDelivery
from proof.webhooks.keys import public_keys
from proof.webhooks.service import list_endpoints
from proof.webhooks.signing import webhook_id
from proof.webhooks.types import Breaker, Endpoint, Ordering, State


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
    state: State
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
    for owner in {one.partner_environment_id for one in found if one.ed25519} & names.keys():
        keys[owner] = [*(await public_keys(connection, owner)).values()]
    return [
        _endpoint_view(*names[owner], one, keys.get(owner, ()) if one.ed25519 else ())
        for one in found
        if (owner := one.partner_environment_id) in names
    ]


def _endpoint_view(
    partner_id: str, environment: Environment, one: Endpoint, keys: Sequence[str]
) -> EndpointView:
    return EndpointView(
        partner_id=partner_id,
        environment=environment,
        id=one.id,
        type=one.purpose,
        url=one.url,
        ordering=one.ordering,
        ed25519=one.ed25519,
        public_keys=[*keys],
        breaker=one.breaker,
        reason=one.reason,
        opened_at=one.opened_at,
        probe_at=one.probe_at,
        failed_probes=one.failed_probes,
        disabled_at=one.disabled_at,
        created_at=one.created_at,
    )


def delivery_view(partner_id: str, environment: Environment, found: FoundDelivery) -> DeliveryView:
    """A delivery of that environment. Bytes of the answer that are not UTF-8 are replaced."""
    one = found.record
    return DeliveryView(
        partner_id=partner_id,
        environment=environment,
        id=one.id,
        webhook_id=webhook_id(one.event_id),
        endpoint_id=one.endpoint_id,
        type=one.event_type,
        subject=one.subject,
        sequence=one.sequence,
        happened_at=one.happened_at,
        state=one.state,
        attempts=one.attempts,
        next_attempt_at=one.next_attempt_at if one.state is State.PENDING else None,
        delivered_at=one.delivered_at,
        last_attempt_at=one.last_attempt_at,
        last_outcome=one.last_outcome,
        last_status=one.last_status,
        last_elapsed_ms=one.last_elapsed_ms,
        last_body=None if one.last_body is None else one.last_body.decode("utf-8", "replace"),
        replayable=one.replayable,
    )
