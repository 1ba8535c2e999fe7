"""The ASGI application: edge, router, endpoints."""

import gc
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager

from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from proof.api import websocket
from proof.api.edge import BaseUrls, EdgeApp, not_found
from proof.api.endpoint import Endpoint
from proof.api.http import refusing
from proof.api.openapi import document
from proof.api.operations import Operation
from proof.api.routes import routes
from proof.api.routes.ramp import unknown_paths
from proof.api.services import Services
from proof.api.websocket import WebSocketEndpoint
from proof.partners.types import Environment, Network

Opening = Callable[[], AbstractAsyncContextManager[Services]]

# Collections walk every long-lived object; what is there after the start stays for good.
_GC_THRESHOLD = 50_000


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
        """`pages` are served without a prefix only, `widget` in both environments."""
        self._open_services = open_services
        self._base_urls = base_urls
        self._proxies = proxies
        self._pages = pages
        self._widget = widget
        self._edge: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif self._edge is not None:
            await self._edge(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
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
        routers: dict[Environment, ASGIApp] = {
            environment: _Paths(
                endpoints(operations, environment, services)
                + (list(self._pages(services)) if environment is Environment.PRODUCTION else [])
                + list(self._widget(services)),
                WebSocketEndpoint(services),
            )
            for environment in Environment
        }
        return EdgeApp(routers, self._base_urls, self._proxies)


class _Paths:
    """A path without parameters is looked up; only the others are matched one by one."""

    def __init__(self, found: list[Route], websocket: WebSocketEndpoint) -> None:
        self._websocket = websocket
        self._exact = {
            route.path: route.app for route in found if isinstance(route.endpoint, Endpoint)
        }
        self._router = Router(found, redirect_slashes=False, default=not_found)

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
    operations: Sequence[Operation], environment: Environment, services: Services
) -> list[Route]:
    """One route for each path, in the order of the list."""
    by_path: dict[str, dict[str, Operation]] = {}
    production = environment is Environment.PRODUCTION
    for operation in (*operations, *unknown_paths()):
        if operation.in_production if production else operation.in_sandbox:
            by_path.setdefault(operation.path, {})[operation.method] = operation
    return [
        _route(path, Endpoint(methods, services.gate, services.operators))
        for path, methods in by_path.items()
    ]


def _route(path: str, endpoint: Endpoint) -> Route:
    route = Route(path, endpoint)
    # A line break in a path is a character like any other: nobody gets around a route by one.
    route.path_regex = re.compile(route.path_regex.pattern, re.DOTALL)
    return route
