"""The page of one-time links, over the services of one process."""

from typing import Any

from starlette.routing import Route

from proof.api.services import Services
from proof.partners.audit import Actor
from proof.partners.handover import opening
from proof.partners.handover.links import require_link
from proof.partners.records.types import TRANSACTION_EVENT
from proof.ramp.providers.lacking import lacking_provider
from proof.web.handover import handover_route
from proof.webhooks.service import Target


def handover_page(services: Services) -> Route:
    """Its route."""

    async def open_sheet(token: str, edge: Any) -> str:
        actor = Actor("handover link", str(edge.address), edge.request_id)
        async with services.database.connection() as connection:
            await require_link(connection, token, services.clock.now())
        webhooks = Target(services.policy, TRANSACTION_EVENT)
        how = (webhooks, lacking_provider, services.base_urls, token, services.clock.now(), actor)
        async with services.database.transaction() as tx:
            return await opening.open_sheet(tx, services.vault, *how)

    return handover_route(open_sheet)
