"""The widget's routes, over the services of one process."""

from starlette.routing import Route

from proof.api.services import Services
from proof.partners.widgets import widget_owner
from proof.ramp.providers.accounts import provider_of
from proof.web.widget.serving import FoundWidget, widget_routes


def widget_pages(services: Services) -> list[Route]:
    """Loader, hosted page and its files; the same routes for both environments."""

    async def find(widget_id: str) -> FoundWidget | None:
        # Strangers' guesses ask no database.
        if not await services.directory.has_widget(widget_id):
            return None
        async with services.database.connection() as connection:
            owner = await widget_owner(connection, widget_id)
            if owner is None:
                return None
            provider = await provider_of(connection, owner.partner_environment_id)
        return FoundWidget(owner.environment, owner.origins, provider)

    return widget_routes(find, services.base_urls)
