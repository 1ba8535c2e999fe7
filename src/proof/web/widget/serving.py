"""The routes of the widget: loader, hosted page, the page of a receipt, and the pages' files."""

import gzip
import json
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files

import jinja2
from starlette.datastructures import Headers
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from proof.partners.types import Environment
from proof.web.serving import FOREVER, content_hash
from proof.web.widget.assets import LOADER, Asset, loader, loader_path, release, static
from proof.web.widget.policy import page_headers

_HTML = "text/html; charset=utf-8"
# Partners who do not pin a version get a new loader within minutes.
_SOON = "public, max-age=300"
_NONCE_BYTES = 18
# Loaded with the page; the others when a step needs them.
_PRELOADED = (
    "dom.js",
    "words.js",
    "session.js",
    "partner.js",
    "summary.js",
    "steps.js",
    "failure.js",
    "leave.js",
)
_RECEIPT_MODULES = ("dom.js", "ending.js", "words.js")


@dataclass(frozen=True, slots=True)
class FoundWidget:
    """Whose widget an id names: its environment, who may frame it (origins), and the hosts of the widget
    that its provider has of its own, if it has one."""

    environment: Environment
    origins: tuple[str, ...]
    provider_hosts: tuple[str, ...] = ()


Find = Callable[[str], Awaitable[FoundWidget | None]]


def widget_routes(find: Find, base_urls: Mapping[Environment, str]) -> list[Route]:
    """The same routes serve both environments. `find` takes a widget id; base URLs have no final slash."""
    script = _Files({f"/{LOADER}": loader()}, _SOON)
    pinned = _Files({loader_path(): loader()}, FOREVER)
    manifest = _Files({"/widget.2.0.json": _manifest()}, _SOON)
    named = {f"/w/static/{release()}/{name}": asset for name, asset in static().items()}
    return [
        Route(f"/{LOADER}", script, include_in_schema=False),
        Route(loader_path(), pinned, include_in_schema=False),
        Route("/widget.2.0.json", manifest, include_in_schema=False),
        Route("/w/static/{path:path}", _Files(named, FOREVER), include_in_schema=False),
        Route("/w/{widget_id}", _HostedPage(find, base_urls), include_in_schema=False),
        Route("/r/{transaction_id}", _ReceiptPage(), include_in_schema=False),
    ]


class _HostedPage:
    """The page is the same for every user; what it shows comes by its API."""

    def __init__(self, find: Find, base_urls: Mapping[Environment, str]) -> None:
        self._find = find
        self._base_urls = base_urls
        environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
        folder = files("proof.web.widget")
        self._page = environment.from_string(folder.joinpath("page.html.j2").read_text())

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        if scope["method"] not in {"GET", "HEAD"}:
            await _refuse(send)
            return
        found = await self._find(scope["path_params"]["widget_id"])
        if found is not None and found.environment is not scope["proof"].environment:
            await self._lead(scope, send, found.environment)
            return
        nonce = secrets.token_urlsafe(_NONCE_BYTES)
        body = self._page.render(
            nonce=nonce,
            static=f"static/{release()}",
            modules=_PRELOADED,
            origins=" ".join(found.origins) if found else "",
            unknown=found is None,
        ).encode()
        headers = page_headers(
            nonce, found.origins if found else (), found.provider_hosts if found else ()
        )
        headers["content-type"] = _HTML
        status = 404 if found is None else 200
        await _send(send, status, headers, body, with_body=scope["method"] == "GET")

    async def _lead(self, scope: Scope, send: Send, environment: Environment) -> None:
        """The id decides the environment; browsers keep the fragment across a redirect."""
        widget_id = scope["path_params"]["widget_id"]
        headers = {
            "location": f"{self._base_urls[environment]}/w/{widget_id}",
            "cache-control": "no-store",
            "referrer-policy": "no-referrer",
        }
        await _send(send, 307, headers, b"")


class _ReceiptPage:
    """The page of a receipt is the same for everybody, and for every address of one; what it shows comes by
    its API."""

    def __init__(self) -> None:
        environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
        folder = files("proof.web.widget")
        self._page = environment.from_string(folder.joinpath("receipt.html.j2").read_text())

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        if scope["method"] not in {"GET", "HEAD"}:
            await _refuse(send)
            return
        nonce = secrets.token_urlsafe(_NONCE_BYTES)
        static = f"../w/static/{release()}"
        body = self._page.render(nonce=nonce, static=static, modules=_RECEIPT_MODULES).encode()
        headers = page_headers(nonce, (), ()) | {
            "content-type": _HTML,
            "cross-origin-opener-policy": "same-origin",
            "cross-origin-resource-policy": "same-origin",
        }
        await _send(send, 200, headers, body, with_body=scope["method"] == "GET")


class _Files:
    """Finished files that pages of any origin may load."""

    def __init__(self, found: Mapping[str, Asset], cache: str) -> None:
        self._found = found
        self._cache = cache

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        if scope["method"] not in {"GET", "HEAD"}:
            await _refuse(send)
            return
        asset = self._found.get(scope["path"])
        if asset is None:
            missing = {"content-type": "text/plain", "cache-control": "no-store"}
            await _send(send, 404, missing, b"there is no such file of the widget\n")
            return
        headers = self._headers(asset)
        if Headers(scope=scope).get("if-none-match", "") == headers["etag"]:
            await _send(send, 304, headers, b"", with_body=False)
            return
        body = asset.body
        if "gzip" in Headers(scope=scope).get("accept-encoding", ""):
            body, headers["content-encoding"] = asset.gzipped, "gzip"
        await _send(send, 200, headers, body, with_body=scope["method"] == "GET")

    def _headers(self, asset: Asset) -> dict[str, str]:
        return {
            "content-type": asset.content_type,
            "cache-control": self._cache,
            "etag": f'W/"{content_hash(asset.body)}"',
            "vary": "accept-encoding",
            "x-content-type-options": "nosniff",
            # A script with an `integrity` is fetched by CORS; there is nothing secret in it.
            "access-control-allow-origin": "*",
            "cross-origin-resource-policy": "cross-origin",
        }


def _manifest() -> Asset:
    """Where the present loader stays for good, relative to where this is served, and its hash for
    `integrity`."""
    path = loader_path().removeprefix("/")
    told = {"version": "2.0", "path": path, "integrity": loader().integrity}
    body = json.dumps(told).encode() + b"\n"
    return Asset(body, gzip.compress(body, 9, mtime=0), "application/json")


async def _refuse(send: Send) -> None:
    headers = {"allow": "GET, HEAD", "content-type": "text/plain", "cache-control": "no-store"}
    await _send(send, 405, headers, b"GET and HEAD are allowed here\n")


async def _send(
    send: Send, status: int, headers: Mapping[str, str], body: bytes, *, with_body: bool = True
) -> None:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    if status != 304:
        raw.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body if with_body else b""})
