"""/operator/v1/partners/{partner_id}/{environment}/webhooks: endpoints, deliveries and secrets."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from proof.api.http import Call, Reply
from proof.api.operations import Answer, Operation, Parameter
from proof.api.operator.families import BEFORE, ENVIRONMENT, ID_MAX, PARTNER, limit, operator_family
from proof.api.parameters import choice, environment, moment, printable_text, uuid, whole_number
from proof.api.services import Services
from proof.partners.access.rotation import GRACE, LONGEST
from proof.partners.environments import environment_names
from proof.partners.keys.webhook_secrets import (
    WebhookSecret,
    list_webhook_secrets,
    rotate_webhook_secret,
    show_webhook_secrets,
)
from proof.webhooks.administration import (
    EndpointChange,
    Place,
    Replay,
    change_endpoint,
    replay_webhooks,
    send_test,
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
from proof.webhooks.signing import webhook_id
from proof.webhooks.types import DeliveryState, Ordering, Subscription, Waiting

PAGE_DEFAULT = 100

_NOT_KEPT = ((b"cache-control", b"no-store"),)

_encode = msgspec.json.Encoder().encode


_Moment = Annotated[datetime, Meta(tz=True)]

_ENDPOINT = Parameter(
    "endpoint_id", "path", "an endpoint's UUID", {"type": "string", "format": "uuid"}
)

_DELIVERIES = (
    Parameter(
        "endpoint_id",
        "query",
        "one endpoint's only",
        {"type": "string", "format": "uuid"},
        required=False,
    ),
    Parameter(
        "state",
        "query",
        "one state only",
        {"type": "string", "enum": [*DeliveryState]},
        required=False,
    ),
    Parameter("subject", "query", "of one object's events", {"type": "string"}, required=False),
    Parameter(
        "since",
        "query",
        "of events that happened since",
        {"type": "string", "format": "date-time"},
        required=False,
    ),
    BEFORE,
    limit(PAGE_DEFAULT, DELIVERIES_AT_MOST),
)


class EndpointList(Struct):
    """All endpoints of one environment."""

    endpoints: list[EndpointView]


class EndpointRequest(Struct, forbid_unknown_fields=True):
    """Only what is named changes."""

    ordering: (
        Annotated[Ordering, Meta(description="`subject`: an object's events one after the other")]
        | None
    ) = None
    ed25519: Annotated[bool, Meta(description="sign `v1a` too")] | None = None
    events: (
        Annotated[
            list[Subscription],
            Meta(description="what an endpoint of transactions gets from now on", min_length=1),
        ]
        | None
    ) = None
    enable: Annotated[
        bool, Meta(description="close the breaker: what waits for the endpoint is due")
    ] = False


class DeliveryPage(Struct):
    """Deliveries, the newest first."""

    deliveries: list[DeliveryView]
    next: Annotated[int, Meta(description="`before` of the next page; 0 on the last")]


class ReplayRequest(Struct, forbid_unknown_fields=True):
    """Either `delivery`; or `since`, and perhaps `until`; or `failed`, and perhaps `since`."""

    delivery: Annotated[int, Meta(ge=1, le=ID_MAX, description="one delivery's id")] | None = None
    since: (
        Annotated[
            _Moment, Meta(description="events from then on; with `failed`: tried from then on")
        ]
        | None
    ) = None
    until: Annotated[_Moment, Meta(description="events before then")] | None = None
    failed: Annotated[bool, Meta(description="only what has failed")] = False
    endpoint_id: Annotated[UUID, Meta(description="one endpoint's only")] | None = None


class WaitingBody(Struct):
    """Deliveries of one endpoint that are pending for one reason."""

    endpoint_id: UUID
    waiting: Annotated[
        Waiting,
        Meta(
            description="`endpoint_disabled`: until it is enabled; `breaker_open`: until a probe is"
            " answered; `earlier_event`: of the same object; `next_attempt`: of its schedule;"
            " `under_way`: being sent; `worker`: due now"
        ),
    ]
    count: int
    next_at: Annotated[datetime | None, Meta(description="of the next probe or attempt")]


class ReplayAnswer(Struct):
    """How many deliveries are pending again, and what of all that was named is pending, and why."""

    replayed: int
    pending: list[WaitingBody]


class SentTest(Struct):
    """The event on its way."""

    webhook_id: str


class RotationRequest(Struct, forbid_unknown_fields=True):
    """How the old secrets end."""

    grace_s: Annotated[
        int,
        Meta(
            ge=0,
            le=int(LONGEST.total_seconds()),
            description="how many seconds the old secrets sign along",
        ),
    ] = int(GRACE.total_seconds())


class SecretBody(Struct):
    """A live secret. `secret` is there when it was asked for with the scope `write`."""

    id: UUID
    created_at: datetime
    ends_at: Annotated[datetime | None, Meta(description="null: the one that stays")]
    secret: Annotated[str, Meta(description="`whsec_` and base64")] | UnsetType = UNSET


class SecretList(Struct):
    """The live secrets, the newest first; every one signs."""

    secrets: list[SecretBody]


class OperatorWebhookHandlers:
    """The handlers of webhooks in the operator API."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def endpoints(self, call: Call) -> Reply:
        """GET …/webhooks."""
        place = _place(call)
        async with self._services.database.connection() as connection:
            names = await environment_names(connection, place.partner_id, place.environment)
            views = await endpoint_views(connection, names)
        return Reply(200, _encode(EndpointList(views)))

    async def change(self, call: Call) -> Reply:
        """PATCH …/webhooks/{endpoint_id}."""
        body: EndpointRequest = call.body
        events = None if body.events is None else tuple(body.events)
        wanted = EndpointChange(body.ordering, body.ed25519, body.enable, events)
        endpoint_id, place = _endpoint_id(call), _place(call)
        async with self._services.database.transaction() as tx:
            vault, actor = self._services.vault, call.actor
            await change_endpoint(tx, vault, place, endpoint_id, wanted, actor)
            names = await environment_names(tx, place.partner_id, place.environment)
            views = await endpoint_views(tx, names)
        (view,) = (each for each in views if each.id == endpoint_id)
        return Reply(200, _encode(view))

    async def deliveries(self, call: Call) -> Reply:
        """GET …/webhooks/deliveries."""
        place, query = _place(call), call.query
        limit = whole_number(query, "limit", PAGE_DEFAULT, 1, DELIVERIES_AT_MOST)
        endpoint_id, state = uuid(query, "endpoint_id"), choice(query, "state", DeliveryState)
        subject = printable_text(query, "subject")
        since, before = moment(query, "since"), whole_number(query, "before", None, 1, ID_MAX)
        async with self._services.database.connection() as connection:
            names = await environment_names(connection, place.partner_id, place.environment)
            wanted = Search([*names], endpoint_id, state, since, before, limit, subject)
            found = await search_deliveries(connection, wanted)
        views = [delivery_view(place.partner_id, place.environment, delivery) for delivery in found]
        following = views[-1].id if len(views) == limit else 0
        return Reply(200, _encode(DeliveryPage(views, following)))

    async def replay(self, call: Call) -> Reply:
        """POST …/webhooks/replay."""
        body: ReplayRequest = call.body
        wanted = Replay(body.delivery, body.since, body.until, body.failed, body.endpoint_id)
        services = self._services
        done = await replay_webhooks(
            services.database, _place(call), wanted, call.actor, services.clock.now()
        )
        pending = [
            WaitingBody(view.endpoint_id, view.waiting, view.count, view.next_at)
            for view in done.pending
        ]
        return Reply(200, _encode(ReplayAnswer(done.count, pending)))

    async def test(self, call: Call) -> Reply:
        """POST …/webhooks/{endpoint_id}/test."""
        endpoint_id = _endpoint_id(call)
        async with self._services.database.transaction() as tx:
            event_id = await send_test(tx, _place(call), endpoint_id, call.actor)
        return Reply(202, _encode(SentTest(webhook_id(event_id))))

    async def secrets(self, call: Call) -> Reply:
        """GET …/webhooks/secrets."""
        place = _place(call)
        async with self._services.database.connection() as connection:
            found = await list_webhook_secrets(connection, place.partner_id, place.environment)
        return _secrets(200, found)

    async def rotate(self, call: Call) -> Reply:
        """POST …/webhooks/secrets."""
        body: RotationRequest = call.body
        services, place = self._services, _place(call)
        async with services.database.transaction() as tx:
            found = await rotate_webhook_secret(
                tx,
                services.vault,
                place.partner_id,
                place.environment,
                call.actor,
                services.clock.now(),
                timedelta(seconds=body.grace_s),
            )
        return _secrets(201, found)

    async def reveal(self, call: Call) -> Reply:
        """POST …/webhooks/secrets/reveal."""
        services, place = self._services, _place(call)
        async with services.database.transaction() as tx:
            found = await show_webhook_secrets(
                tx, services.vault, place.partner_id, place.environment, call.actor
            )
        return _secrets(200, found)


def _place(call: Call) -> Place:
    return Place(call.path["partner_id"], environment(call.path))


def _endpoint_id(call: Call) -> UUID:
    found = uuid(call.path, "endpoint_id")
    assert found is not None, "the route has it"
    return found


def _secrets(status: int, found: Sequence[WebhookSecret]) -> Reply:
    bodies = [
        SecretBody(secret.id, secret.created_at, secret.ends_at, secret.text or UNSET)
        for secret in found
    ]
    return Reply(status, _encode(SecretList(bodies)), headers=_NOT_KEPT)


def operator_webhook_routes(services: Services) -> list[Operation]:
    """The path names the environment."""
    handlers = OperatorWebhookHandlers(services)
    base = "/operator/v1/partners/{partner_id}/{environment}/webhooks"
    operation = partial(Operation, operator_family("operator webhooks"))
    where = (PARTNER, ENVIRONMENT)
    return [
        operation(
            "GET", base, handlers.endpoints, "Endpoints, and whether they are called",
            {200: Answer("all endpoints of the environment", EndpointList)},
            parameters=where, refuses=(404,),
        ),
        operation(
            "GET", f"{base}/deliveries", handlers.deliveries, "What was sent, and what came of it",
            {200: Answer("a page", DeliveryPage)},
            parameters=(*where, *_DELIVERIES), refuses=(404,),
        ),
        operation(
            "POST", f"{base}/replay", handlers.replay, "Send again, with the same `webhook-id`",
            {200: Answer("how many are due again", ReplayAnswer)},
            body=ReplayRequest, parameters=where, refuses=(404,),
        ),
        operation(
            "POST", f"{base}/{{endpoint_id}}/test",
            handlers.test, "Send an event of the type `webhook.test` to one endpoint",
            {202: Answer("it is on its way", SentTest)},
            parameters=(*where, _ENDPOINT), refuses=(404,),
        ),
        operation(
            "GET", f"{base}/secrets", handlers.secrets, "Which webhook secrets are live",
            {200: Answer("when each was made and ends; not the secrets themselves", SecretList)},
            parameters=where, refuses=(404,),
        ),
        operation(
            "POST", f"{base}/secrets",
            handlers.rotate, "Make a new webhook secret; the old ones sign along for a while",
            {201: Answer("the new secret with its text, and the ends of the others", SecretList)},
            body=RotationRequest, parameters=where, refuses=(404,),
        ),
        operation(
            "POST", f"{base}/secrets/reveal",
            handlers.reveal, "Show the live webhook secrets; it is audited",
            {200: Answer("the secrets with their texts", SecretList)},
            parameters=where, refuses=(404,),
        ),
        operation(
            "PATCH", f"{base}/{{endpoint_id}}", handlers.change, "Change how an endpoint is called",
            {200: Answer("the endpoint as it is now", EndpointView)},
            body=EndpointRequest, parameters=(*where, _ENDPOINT), refuses=(404,),
        ),
    ]  # fmt: skip
