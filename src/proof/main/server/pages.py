"""The pages that Proof serves: documentation, widget, hand-over."""

from collections.abc import Iterator
from functools import partial
from importlib.resources import files
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from starlette.routing import Route

from proof import __version__
from proof.api.openapi import document
from proof.api.routes import routes
from proof.api.services import Services
from proof.config import Settings
from proof.partners.audit import Actor
from proof.partners.handover import opening
from proof.partners.handover.links import require_link
from proof.partners.records.types import TRANSACTION_EVENT
from proof.partners.types import Environment
from proof.partners.widgets import widget_owner
from proof.ramp.providers.accounts import lacking_provider, provider_of
from proof.ramp.providers.registry import provider_named
from proof.web.handover import handover_route
from proof.web.site import Sources, documentation
from proof.web.tables import Command, Option
from proof.web.widget.serving import FoundWidget, widget_routes
from proof.webhooks.service import Target

if TYPE_CHECKING:
    from proof.cli.installation import Opener


def pages(settings: Settings) -> list[Route]:
    """The routes of the documentation, rendered for this installation."""
    return documentation(partial(sources, settings))


def sources(settings: Settings) -> Sources:
    """What the pages say about this program and where it is."""
    # The handlers are only named, never called, so they need no services.
    unopened = cast("Services", SimpleNamespace(database=None))
    return Sources(
        openapi=document(routes(unopened)),
        defaults=files("proof.config").joinpath("defaults.toml").read_text(),
        commands=commands(),
        production_url=settings.base_url(Environment.PRODUCTION),
        sandbox_url=settings.base_url(Environment.SANDBOX),
        version=__version__,
    )


def commands() -> list[Command]:
    """Every command of `proof`, the root with its own options first."""
    # Of an HTTP process only one that somebody reads the documentation from needs the commands.
    from typer.main import get_command

    from proof.main.commands import application

    # The commands are only named, never run, so they need no installation.
    unopened = cast("Opener", None)
    return list(_walk("proof", get_command(application(unopened))))


def _walk(name: str, found: Any) -> Iterator[Command]:
    children = getattr(found, "commands", {})
    options = tuple(map(_option, found.params))
    if options or not children:
        yield Command(name, found.help or "", options)
    for child in children.values():
        yield from _walk(f"{name} {child.name}", child)


def _option(parameter: Any) -> Option:
    if parameter.param_type_name == "argument":
        names, about = parameter.metavar or parameter.name.upper(), parameter.help or ""
    else:
        names = ", ".join([*parameter.opts, *parameter.secondary_opts])
        about = parameter.help or ""
    variable = f" [{parameter.envvar}]" if parameter.envvar else ""
    return Option(names, parameter.required, f"{about}{variable}")


def widget_pages(services: Services) -> list[Route]:
    """Loader, hosted page and its files; the same routes for both environments."""

    async def find(widget_id: str) -> FoundWidget | None:
        # An unknown id is answered from memory, so guessing costs the database nothing.
        if not await services.directory.has_widget(widget_id):
            return None
        async with services.database.connection() as connection:
            owner = await widget_owner(connection, widget_id)
            if owner is None:
                return None
            name = await provider_of(connection, owner.partner_environment_id)
        # A sandbox without an account has a provider that simulates, in our page.
        widget = provider_named(name).widget if name else None
        return FoundWidget(owner.environment, owner.origins, widget.hosts if widget else ())

    return widget_routes(find, services.base_urls)


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
