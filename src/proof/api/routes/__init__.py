"""Every URL of the API: by product and by caller, one list for each, and here all of them."""

from proof.api.operations import Operation
from proof.api.routes.operator_access import access_routes
from proof.api.routes.operator_partners import partner_record_routes
from proof.api.routes.operator_webhooks import operator_webhook_routes
from proof.api.routes.partner import partner_routes
from proof.api.routes.public import public_routes
from proof.api.routes.ramp import ramp_routes
from proof.api.routes.system import system_routes
from proof.api.routes.timestamps import timestamp_routes
from proof.api.services import Services


def routes(services: Services, openapi: bytes = b"{}") -> list[Operation]:
    """All operations; the order is the order of matching."""
    return [
        *timestamp_routes(services),  # /v1
        *partner_routes(services),  # /events /whoami
        *public_routes(services),  # /log /digest /timestamp /tsa
        *ramp_routes(services),  # /widget /w/api /simulate /clock /providers /ws
        *partner_record_routes(services),  # /operator/v1/partners
        *operator_webhook_routes(services),  # …/{partner_id}/{environment}/webhooks
        *access_routes(services),  # …/tokens …/allowlists …/rates /operator/v1/refusals, audit
        *system_routes(services, openapi),  # /healthz /readyz /metrics /openapi.json
    ]
