"""The operator's URLs of a partner's webhooks: endpoints, deliveries, secrets."""

from functools import partial

from proof.api.operations import Answer, Operation, Parameter
from proof.api.operator_webhooks import (
    PAGE_DEFAULT,
    DeliveryPage,
    EndpointList,
    EndpointRequest,
    OperatorWebhookHandlers,
    ReplayAnswer,
    ReplayRequest,
    RotationRequest,
    SecretList,
    SentTest,
)
from proof.api.routes.operator_parameters import BEFORE, ENVIRONMENT, PARTNER, limit
from proof.api.services import Services
from proof.partners.access.operators import OperatorScope
from proof.webhooks.inspection import DELIVERIES_AT_MOST, EndpointView
from proof.webhooks.types import State

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
        "state", "query", "one state only", {"type": "string", "enum": [*State]}, required=False
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


def operator_webhook_routes(services: Services) -> list[Operation]:
    """They exist without prefix only; the path names the environment."""
    handlers = OperatorWebhookHandlers(services)
    base = "/operator/v1/partners/{partner_id}/{environment}/webhooks"
    operation = partial(Operation, tag="operator webhooks", in_sandbox=False)
    read = partial(operation, operator_scope=OperatorScope.READ)
    write = partial(operation, operator_scope=OperatorScope.WRITE)
    where = (PARTNER, ENVIRONMENT)
    return [
        read(
            "GET", base, handlers.endpoints, "Endpoints, and whether they are called",
            {200: Answer("all endpoints of the environment", EndpointList)},
            parameters=where, refuses=(404,),
        ),
        read(
            "GET", f"{base}/deliveries", handlers.deliveries, "What was sent, and what came of it",
            {200: Answer("a page", DeliveryPage)},
            parameters=(*where, *_DELIVERIES), refuses=(400, 404),
        ),
        write(
            "POST", f"{base}/replay", handlers.replay, "Send again, with the same `webhook-id`",
            {200: Answer("how many are due again", ReplayAnswer)},
            body=ReplayRequest, parameters=where, refuses=(400, 404, 413),
        ),
        write(
            "POST", f"{base}/{{endpoint_id}}/test",
            handlers.test, "Send an event of the type `webhook.test` to one endpoint",
            {202: Answer("it is on its way", SentTest)},
            parameters=(*where, _ENDPOINT), refuses=(400, 404),
        ),
        read(
            "GET", f"{base}/secrets", handlers.secrets, "Which webhook secrets are live",
            {200: Answer("when each was made and ends; not the secrets themselves", SecretList)},
            parameters=where, refuses=(404,),
        ),
        write(
            "POST", f"{base}/secrets",
            handlers.rotate, "Make a new webhook secret; the old ones sign along for a while",
            {201: Answer("the new secret with its text, and the ends of the others", SecretList)},
            body=RotationRequest, parameters=where, refuses=(400, 404, 413),
        ),
        write(
            "POST", f"{base}/secrets/reveal",
            handlers.reveal, "Show the live webhook secrets; it is audited",
            {200: Answer("the secrets with their texts", SecretList)},
            parameters=where, refuses=(404,),
        ),
        write(
            "PATCH", f"{base}/{{endpoint_id}}", handlers.change, "Change how an endpoint is called",
            {200: Answer("the endpoint as it is now", EndpointView)},
            body=EndpointRequest, parameters=(*where, _ENDPOINT), refuses=(400, 404, 413),
        ),
    ]  # fmt: skip
