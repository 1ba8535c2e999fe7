"""The URLs of the ramp: the partner's backend, the hosted page, the sandbox, providers, the WebSocket."""

from proof.api.http import Call, Reply
from proof.api.operations import ANY_METHOD, Answer, Operation
from proof.api.ramp.callbacks import callback_routes
from proof.api.ramp.families import NOTHING
from proof.api.ramp.receipt_page import receipt_page_routes
from proof.api.ramp.sandbox import sandbox_routes
from proof.api.ramp.sessions import session_routes
from proof.api.ramp.statements import statement_routes
from proof.api.ramp.websocket import websocket_routes
from proof.api.ramp.widget import widget_routes
from proof.api.services import Services
from proof.core.errors import NotFoundError


def ramp_routes(services: Services) -> list[Operation]:
    """All operations of the ramp; the order is the order of matching."""
    return [
        *session_routes(services),
        *statement_routes(services),
        *widget_routes(services),
        *receipt_page_routes(services),
        *sandbox_routes(services),
        *callback_routes(services),
        *websocket_routes(),
    ]


def unknown_paths() -> list[Operation]:
    """What lies below the ramp's paths and is nothing: behind the gate like all that is something there, so
    that a stranger does not learn which is which."""
    return [
        Operation(
            NOTHING, ANY_METHOD, path, _nothing, "There is nothing", {404: Answer("nothing")},
        )
        for path in ("/widget", "/widget/{rest:path}", "/ws/{rest:path}")
    ]  # fmt: skip


async def _nothing(_call: Call) -> Reply:
    raise NotFoundError("there is nothing at this path")
