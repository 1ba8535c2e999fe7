"""Every URL of the API: by product and by caller, one list for each, and here all of them."""

from proof.api.operations import Operation
from proof.api.operator.access import access_routes
from proof.api.operator.partners import partner_record_routes
from proof.api.operator.records import record_routes
from proof.api.operator.webhooks import operator_webhook_routes
from proof.api.partner import partner_routes
from proof.api.public.calendar import calendar_routes
from proof.api.public.log import log_routes
from proof.api.public.receipts import receipt_key_routes
from proof.api.public.tsa import authority_routes
from proof.api.ramp.routes import ramp_routes
from proof.api.services import Services
from proof.api.system import system_routes
from proof.api.timestamps.hashes import hash_routes
from proof.api.timestamps.settings import setting_routes


def routes(services: Services, openapi: bytes = b"{}") -> list[Operation]:
    """All operations; the order is the order of matching."""
    return [
        *hash_routes(services),  # /v1/timestamp /v1/tree /v1/proof
        *setting_routes(services),  # /v1/api-key /v1/webhook
        *partner_routes(services),  # /events /whoami
        *log_routes(services),  # /log
        *receipt_key_routes(services),  # /receipts
        *calendar_routes(services),  # /digest /timestamp
        *authority_routes(services),  # /tsa
        *ramp_routes(services),  # /widget /w/api /r/api /simulate /clock /providers /ws
        *partner_record_routes(services),  # /operator/v1/partners
        *operator_webhook_routes(services),  # …/{partner_id}/{environment}/webhooks
        *access_routes(services),  # …/tokens …/allowlists …/rates
        *record_routes(services),  # /operator/v1/refusals /operator/v1/audit
        *system_routes(services, openapi),  # /healthz /readyz /metrics /openapi.json
    ]
