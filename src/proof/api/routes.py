"""Every URL of the API: by product and by caller, one list for each, and here all of them."""

from proof.api.operations import Operation
from proof.api.operator.routes import access_routes, operator_webhook_routes, partner_record_routes
from proof.api.partner import partner_routes
from proof.api.public.routes import public_routes
from proof.api.ramp.routes import ramp_routes
from proof.api.services import Services
from proof.api.system import system_routes
from proof.api.timestamps.routes import timestamp_routes


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
