"""The ASGI application: edge, router, endpoints."""

import gc
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager

from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from proof.api.edge import BaseUrls, EdgeApp, NotFound
from proof.api.endpoint import Endpoint
from proof.api.errors import error_reply
from proof.api.http import Edge, refusing, send_reply
from proof.api.openapi import document
from proof.api.operations import FamilyAt, Operation, families_by_path
from proof.api.ramp import websocket
from proof.api.ramp.routes import unknown_paths
from proof.api.ramp.websocket import WebSocketEndpoint
from proof.api.refusals import hold_back
from proof.api.routes import routes
from proof.api.services import Services
from proof.core.errors import ProofError
from proof.db.shares import Bounds, Turns, Work, working_for
from proof.partners.access.anonymous import AnonymousRates, subscriber
from proof.partners.types import Environment, Network

Opening = Callable[[], AbstractAsyncContextManager[Services]]


# A collection walks every long-lived object, so those that are there after the start are frozen: they stay
# for good.
_GC_THRESHOLD = 50_000

# A file that is ready in memory costs this part of a call that asks the database; a page has some twenty.
_A_FILE = 0.2


# The calls of one caller that would wait for each other's locks wait here instead, before they hold a
# connection of the database.
_ACTS = Bounds(places=1_000, each=1)


class Application:
    """Opens its services when the server starts, closes them when it stops."""

    def __init__(
        self,
        open_services: Opening,
        base_urls: BaseUrls,
        proxies: tuple[Network, ...],
        pages: Callable[[Services], Sequence[Route]] = lambda _services: (),
        widget: Callable[[Services], Sequence[Route]] = lambda _services: (),
    ) -> None:
        """`pages` are served without a prefix only, `widget` in both environments.

        `failure` is why it did not start.
        """
        self._open_services = open_services
        self._base_urls = base_urls
        self._proxies = proxies
        self._pages = pages
        self._widget = widget
        self._edge: ASGIApp | None = None
        self.failure: ProofError | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif self._edge is not None:
            await self._edge(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self._serve(receive, send)
        except ProofError as error:
            if self._edge is not None:
                raise
            # Whoever runs the server prints the message; uvicorn alone would print a traceback.
            self.failure = error
            await send({"type": "lifespan.startup.failed"})

    async def _serve(self, receive: Receive, send: Send) -> None:
        async with self._open_services() as services:
            self._edge = self._edge_app(services)
            gc.collect()
            gc.freeze()
            gc.set_threshold(_GC_THRESHOLD)
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})

    def _edge_app(self, services: Services) -> EdgeApp:
        operations = routes(services, document(routes(services)))
        turns, family_at = Turns(_ACTS), families_by_path(operations)
        routers: dict[Environment, ASGIApp] = {
            environment: _Paths(
                endpoints(operations, environment, services, turns)
                + self._page_routes(services, environment),
                WebSocketEndpoint(services),
                family_at,
            )
            for environment in Environment
        }
        return EdgeApp(routers, self._base_urls, self._proxies, family_at)

    def _page_routes(self, services: Services, environment: Environment) -> list[Route]:
        kinds = [(Work.WIDGET, self._widget(services))]
        if environment is Environment.PRODUCTION:
            kinds.insert(0, (Work.ANONYMOUS, self._pages(services)))
        found = []
        for work, pages in kinds:
            for route in pages:
                route.app = _CountedPages(route.app, services.anonymous, work)
                found.append(route)
        return found


class _CountedPages:
    """Pages and files, which need no credential, as calls of strangers."""

    def __init__(self, app: ASGIApp, anonymous: AnonymousRates, work: Work) -> None:
        self._app = app
        self._anonymous = anonymous
        self._work = work

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        edge: Edge = scope["proof"]
        try:
            calls = _A_FILE if scope["method"] in {"GET", "HEAD"} else 1
            await self._anonymous.admit(edge.address, calls)
        except ProofError as error:
            await hold_back(error)
            await send_reply(error_reply(error, edge.request_id), edge.request_id, send)
            return
        with working_for((self._work, subscriber(edge.address))):
            await self._app(scope, receive, send)


class _Paths:
    """A path without parameters is looked up; only the others are matched one by one."""

    def __init__(
        self, found: list[Route], websocket: WebSocketEndpoint, family_at: FamilyAt
    ) -> None:
        self._websocket = websocket
        self._exact = {
            route.path: route.app for route in found if isinstance(route.endpoint, Endpoint)
        }
        self._router = Router(found, redirect_slashes=False, default=NotFound(family_at))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            if scope["path"] == websocket.PATH:
                await self._websocket(scope, receive, send)
                return
            scope, receive, send = websocket.as_request(scope), websocket.no_body, refusing(send)
        endpoint = self._exact.get(scope["path"])
        if endpoint is None:
            await self._router(scope, receive, send)
        else:
            scope["path_params"] = {}
            await endpoint(scope, receive, send)


def endpoints(
    operations: Sequence[Operation],
    environment: Environment,
    services: Services,
    turns: Turns,
) -> list[Route]:
    """One route for each path, in the order of the list."""
    by_path: dict[str, dict[str, Operation]] = {}
    for operation in (*operations, *unknown_paths()):
        if environment in operation.family.environments:
            by_path.setdefault(operation.path, {})[operation.method] = operation
    return [
        _route(
            path, Endpoint(methods, services.gate, services.operators, services.anonymous, turns)
        )
        for path, methods in by_path.items()
    ]


def _route(path: str, endpoint: Endpoint) -> Route:
    route = Route(path, endpoint)
    # A line break in a path is a character like any other, so that it does not bypass a route.
    route.path_regex = re.compile(route.path_regex.pattern, re.DOTALL)
    return route
