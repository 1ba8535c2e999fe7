"""The server of the gate's benchmark: one process, two paths that parse the same JSON and do nothing.

`python -m bench.gated PORT`, with PROOF_DATA_DIR naming a running embedded database. `/empty` lets anybody
in; `/gated` needs an `api_key` from an address on its allowlist, within its rate.
"""

import asyncio
import gc
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import uvicorn
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from proof.api.edge import BaseUrls, EdgeApp, NotFound
from proof.api.endpoint import Endpoint
from proof.api.forms import MESSAGE
from proof.api.http import Call, Reply
from proof.api.operations import (
    Anybody,
    Operation,
    OperationFamily,
    PartnerCredential,
    families_by_path,
)
from proof.api.wire import TimestampRequest
from proof.config import load_settings
from proof.core.clock import SystemClock
from proof.db.shares import Bounds, Turns
from proof.main.parts import database as databases
from proof.main.server.supervise import listening_socket
from proof.partners.access.anonymous import AnonymousRates
from proof.partners.access.directory import Directory
from proof.partners.access.gate import Gate
from proof.partners.access.operators import Operators
from proof.partners.access.rates import CallClass
from proof.partners.types import CredentialKind, Environment

_ANSWER = Reply(200, b'{"ok":true}')


async def _handle(_call: Call) -> Reply:
    return _ANSWER


# What strangers cost is no part of the comparison: whoever calls is known from the first call on.
_EMPTY = Operation(
    OperationFamily("", Anybody(lambda _scope: "known"), MESSAGE),
    "POST",
    "/empty",
    _handle,
    "",
    {},
    body=TimestampRequest,
)
_GATED = Operation(
    OperationFamily("", PartnerCredential(CredentialKind.API_KEY, CallClass.SUBMIT), MESSAGE),
    "POST",
    "/gated",
    _handle,
    "",
    {},
    body=TimestampRequest,
)


class _App:
    """Opens the gate with the server, closes it with it."""

    def __init__(self) -> None:
        # One for each path, so that neither is looked for after the other.
        self._edges: dict[str, ASGIApp] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            async with _opened() as self._edges:
                # As `proof api` does.
                gc.collect()
                gc.freeze()
                gc.set_threshold(50_000)
                await send({"type": "lifespan.startup.complete"})
                await receive()
            await send({"type": "lifespan.shutdown.complete"})
        else:
            await self._edges[scope["path"]](scope, receive, send)


@asynccontextmanager
async def _opened() -> AsyncIterator[dict[str, ASGIApp]]:
    async with databases.opened(load_settings(os.environ)) as database:
        directory = Directory(database)
        gate = Gate(database, directory, SystemClock())
        background = [asyncio.create_task(loop) for loop in (directory.run(), gate.run())]
        try:
            yield {
                operation.path: _edge(operation, gate, Operators(database, SystemClock()))
                for operation in (_EMPTY, _GATED)
            }
        finally:
            for task in background:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task


def _edge(operation: Operation, gate: Gate, operators: Operators) -> ASGIApp:
    route = Route(
        operation.path,
        Endpoint(
            {operation.method: operation},
            gate,
            operators,
            AnonymousRates(10**9, 10**9),
            Turns(Bounds(places=1, each=1)),
        ),
    )
    family_at = families_by_path([operation])
    routers: dict[Environment, ASGIApp] = {
        Environment.PRODUCTION: Router([route], default=NotFound(family_at))
    }
    base_urls = BaseUrls("http://127.0.0.1", "http://127.0.0.1/sandbox")
    return EdgeApp(routers, base_urls, (), family_at)


def _main() -> None:
    config = uvicorn.Config(
        _App(),
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_level="warning",
        backlog=4096,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=30,
    )
    uvicorn.Server(config).run(sockets=[listening_socket("127.0.0.1", int(sys.argv[1]))])


if __name__ == "__main__":
    _main()
