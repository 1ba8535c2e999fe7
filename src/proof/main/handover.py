"""The page of one-time links, over the services of one process."""

from typing import Any

from starlette.routing import Route

from proof.api.services import Services
from proof.partners.audit import Actor
from proof.partners.handover.links import open_link, require_link
from proof.web.handover import handover_route


def handover_page(services: Services) -> Route:
    """Its route."""

    async def open_sheet(token: str, edge: Any) -> str:
        actor = Actor("handover link", str(edge.address), edge.request_id)
        async with services.database.connection() as connection:
            await require_link(connection, token, services.clock.now())
        async with services.database.transaction() as tx:
            return await open_link(tx, services.vault, token, services.clock.now(), actor)

    return handover_route(open_sheet)
