"""The outermost layer: request id, environment, client address. Pure ASGI, one object a process."""

import re
import secrets
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from proof.api.http import Edge, refusing, send_reply
from proof.api.operations import FamilyAt
from proof.api.refusals import hold_back_any
from proof.core.errors import InvalidInputError, NotFoundError
from proof.partners.access.networks import Address, allows
from proof.partners.types import Environment, Network

UNKNOWN = IPv6Address("::")
_ID_BYTES = 12

# RFC 9112, 3.2: what stands in a Host is a URI's host and port (RFC 3986, 3.2.2 and 3.2.3).
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]+)(:[0-9]*)?")


def client_address(
    peer: str | None, forwarded: Iterable[str], proxies: tuple[Network, ...]
) -> Address:
    """The socket's peer, unless it is a trusted proxy: then the last address of X-Forwarded-For that
    is not one itself.

    `forwarded` are the values of all X-Forwarded-For headers, in order. Entries to the left of the
    first untrusted one are the caller's own words and never looked at; an entry that is no address
    ends the walk at the proxy that sent it.
    """
    address = _parse_address(peer or "") or UNKNOWN
    entries = [entry for header in forwarded for entry in header.split(",")]
    while entries and allows(proxies, address):
        before = _parse_address(entries.pop().strip())
        if before is None:
            return address
        address = before
    return address


@lru_cache(maxsize=4096)
def _parse_address(text: str) -> Address | None:
    """An address with or without port, brackets or zone; IPv4-mapped IPv6 becomes IPv4."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return IPv4Address(address.ipv4_mapped)
    return address


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
        self,
        routers: dict[Environment, ASGIApp],
        base_urls: BaseUrls,
        proxies: tuple[Network, ...],
        family_at: FamilyAt,
    ) -> None:
        """`family_at` tells how a call is refused where no operation does it."""
        self._routers = routers
        self._base_urls = base_urls
        self._proxies = proxies
        self._family_at = family_at

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Requests, and the opening ones of WebSockets: those are refused as requests are."""
        reply_by = refusing(send) if scope["type"] == "websocket" else send
        request_id = "req_" + secrets.token_hex(_ID_BYTES)
        host, trouble = _host(scope)
        resolved = self._base_urls.resolve(host, scope["path"])
        if resolved is None or trouble is not None:
            path = scope["path"] if resolved is None else resolved[1]
            error = trouble or NotFoundError("there is nothing here")
            await hold_back_any()
            refusal = self._family_at(path).refusal(error, request_id)
            await send_reply(refusal, request_id, reply_by)
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
            refusal = self._family_at(path).refusal(error, request_id)
            await send_reply(refusal, request_id, reply_by)


class NotFound:
    """The answer where no route matches."""

    def __init__(self, family_at: FamilyAt) -> None:
        self._family_at = family_at

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        edge: Edge = scope["proof"]
        error = NotFoundError(f"there is nothing at {scope['path'][:200]}")
        await hold_back_any()
        refusal = self._family_at(scope["path"]).refusal(error, edge.request_id)
        await send_reply(refusal, edge.request_id, send)


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


def _host(scope: Scope) -> tuple[str, InvalidInputError | None]:
    """The request's host, and why it is refused for it (RFC 9112, 3.2). HTTP/1.0 has none; a request that
    does not say where it goes, or says two things, is not for us to guess about."""
    found = [value for name, value in scope["headers"] if name == b"host"]
    match found:
        case [host]:
            text = host.decode("latin-1")
            return text, None if _is_host(text) else InvalidInputError("Host: it names no host")
        case [] if scope["http_version"] == "1.0":
            return "", None
        case []:
            return "", InvalidInputError("Host: the header is missing")
    return "", InvalidInputError("Host: one is required, not several")


@lru_cache(maxsize=256)
def _is_host(text: str) -> bool:
    return _HOST.fullmatch(text) is not None
