"""The outermost layer: request id, environment, client address. Pure ASGI, one object a process."""

import secrets
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from proof.api.address import client_address
from proof.api.errors import error_reply, message_reply, with_code
from proof.api.http import Edge, refusing, send_reply
from proof.api.ramp_errors import ramp_reply
from proof.core.errors import NotFoundError
from proof.partners.types import Environment, Network

_ID_BYTES = 12
# Paths of the ramp that are not behind the gate as a whole; its errors have a form of their own.
_RAMP = ("/w/api/", "/providers/", "/simulate/", "/clock/")


class BaseUrls:
    """Which environment a request is for. The base URL alone decides."""

    def __init__(self, production: str, sandbox: str) -> None:
        self._production = urlsplit(production)
        self._sandbox = urlsplit(sandbox)
        self._sandbox_authority = _authority(sandbox)
        self._own_host = _authority(production) != self._sandbox_authority

    def resolve(self, host: str, path: str) -> tuple[Environment, str] | None:
        """The environment and the path below its base URL; None when the path is below neither.

        When the sandbox has a host of its own, that host is the sandbox and every other is production,
        since a proxy or a health check may use a name we do not know.
        """
        if self._own_host:
            at_sandbox = _authority(f"{self._sandbox.scheme}://{host}") == self._sandbox_authority
            candidates = [Environment.SANDBOX if at_sandbox else Environment.PRODUCTION]
        else:
            candidates = [Environment.SANDBOX, Environment.PRODUCTION]
        for environment in candidates:
            rest = _below(self._prefix(environment), path)
            if rest is not None:
                return environment, rest
        return None

    def _prefix(self, environment: Environment) -> str:
        base = self._production if environment is Environment.PRODUCTION else self._sandbox
        return base.path.rstrip("/")


class EdgeApp:
    """Establishes what every later layer relies on, then hands on to the environment's router."""

    def __init__(
        self, routers: dict[Environment, ASGIApp], base_urls: BaseUrls, proxies: tuple[Network, ...]
    ) -> None:
        self._routers = routers
        self._base_urls = base_urls
        self._proxies = proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Requests, and the opening ones of WebSockets: those are refused as requests are."""
        reply_by = refusing(send) if scope["type"] == "websocket" else send
        request_id = "req_" + secrets.token_hex(_ID_BYTES)
        resolved = self._base_urls.resolve(_header(scope, b"host"), scope["path"])
        if resolved is None:
            await send_reply(message_reply(404, "there is nothing here"), request_id, reply_by)
            return
        environment, path = resolved
        peer = scope["client"][0] if scope["client"] else None
        forwarded = [
            value.decode("latin-1")
            for name, value in scope["headers"]
            if name == b"x-forwarded-for"
        ]
        address = client_address(peer, forwarded, self._proxies)
        inner = {**scope, "path": path, "proof": Edge(request_id, environment, address)}
        try:
            await self._routers[environment](inner, receive, send)
        except Exception as error:  # noqa: BLE001 - the last resort; it is logged
            await send_reply(error_reply(error, request_id), request_id, reply_by)


async def not_found(scope: Scope, _receive: Receive, send: Send) -> None:
    """The answer where no route matches."""
    edge: Edge = scope["proof"]
    message = f"there is nothing at {scope['path'][:200]}"
    reply = message_reply(404, message)
    if scope["path"].startswith(_RAMP):
        reply = ramp_reply(404, NotFoundError.code, NotFoundError.code, message)
    elif scope["path"].startswith("/operator/"):
        reply = with_code(reply, None)
    await send_reply(reply, edge.request_id, send)


def _authority(url: str) -> tuple[str | None, int | None]:
    """Host and port, the scheme's own port when none is given."""
    try:
        parts = urlsplit(url)
        return parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return None, None


def _below(prefix: str, path: str) -> str | None:
    if not prefix:
        return path
    if path == prefix or path.startswith(prefix + "/"):
        return path[len(prefix) :] or "/"
    return None


def _header(scope: Scope, wanted: bytes) -> str:
    for name, value in scope["headers"]:
        if name == wanted:
            text: str = value.decode("latin-1")
            return text
    return ""
