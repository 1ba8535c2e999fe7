"""/log: the log as c2sp.org/tlog-tiles lays it out, for anybody."""

import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any

from proof.api.forms import MESSAGE
from proof.api.http import Call, Headers, Reply
from proof.api.operations import Answer, Anybody, Operation, OperationFamily, Parameter
from proof.api.services import Services
from proof.core.coalescing import Coalesced
from proof.core.errors import InvalidInputError, NotFoundError
from proof.partners.types import Environment
from proof.timestamps.anchors.log import queries
from proof.timestamps.anchors.log.keys import verifier_keys
from proof.timestamps.anchors.log.service import consistency
from proof.timestamps.anchors.log.tree import HASH_BYTES, TILE_WIDTH, TileName

_TEXT = b"text/plain; charset=utf-8"

_BYTES = b"application/octet-stream"

_FOREVER = ((b"cache-control", b"public, max-age=31536000, immutable"),)

_AN_HOUR = ((b"cache-control", b"public, max-age=3600"),)

_FRESH = ((b"cache-control", b"no-store"),)

# A full tile has 8 KiB.
_KEPT_BYTES = 32 * 1024 * 1024

_KEPT_AT_MOST = 20_000

# For a day; browsers themselves keep it for less.
_PREFLIGHT = ((b"access-control-max-age", b"86400"),)

# x001/x234/067 is tile 1,234,067; .p/7 after it asks for its first seven hashes only. A number has one
# spelling, or caches would hold a tile under many names.
_POSITION = re.compile(r"((?!x000/)(?:x[0-9]{3}/){0,5}[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?")

_LEVELS = frozenset("012345")

# A page of any site that verifies a proof may read the log; with no credentials, any header is harmless.
_READ_BY_ANY_ORIGIN = (
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-methods", b"GET, HEAD, OPTIONS"),
    (b"access-control-allow-headers", b"*"),
    (b"access-control-expose-headers", b"retry-after"),
)

_LOG = OperationFamily("log", Anybody(), MESSAGE, headers=_READ_BY_ANY_ORIGIN)

_PREFLIGHTS = replace(_LOG, listed=False)


def _path(name: str, description: str, pattern: str) -> Parameter:
    return Parameter(name, "path", description, {"type": "string", "pattern": pattern})


_TILE_PATH = _path("position", "a tile path: 067, x001/x234/067, 067.p/7", "^[x0-9./p]+$")

_LEVEL = _path("level", "tile level", "^[0-5]$")

_OLD = _path("old", "the smaller size", "^[0-9]+$")

_NEW = _path("new", "the larger size", "^[0-9]+$")


class LogHandlers:
    """The handlers of the log.

    Anybody may ask, so what is final is kept in memory, and what changes is read once for all who ask
    together.
    """

    def __init__(self, services: Services) -> None:
        self._database = services.database
        self._newest = {
            environment: Coalesced(partial(self._read_newest, environment))
            for environment in Environment
        }
        self._signed = dict.fromkeys(Environment, 0)
        self._final: OrderedDict[tuple[object, ...], bytes] = OrderedDict()
        self._final_bytes = 0

    async def checkpoint(self, call: Call) -> Reply:
        """GET /log/checkpoint."""
        newest = await self._newest[call.edge.environment].get()
        if newest is None:
            raise NotFoundError(
                "this log has signed no checkpoint yet; it does with its first entry"
            )
        return Reply(200, newest["note"].encode(), _TEXT, _FRESH)

    async def key(self, call: Call) -> Reply:
        """GET /log/key."""
        environment = call.edge.environment
        return await self._finally(
            ("key", environment), lambda: self._read_key(environment), _TEXT, _AN_HOUR
        )

    async def tile(self, call: Call) -> Reply:
        """GET /log/tile/{level}/{position}."""
        level, (position, width) = call.path["level"], _position(call.path["position"])
        if level not in _LEVELS:
            raise NotFoundError(f"level: there is no tile level {level}")
        name, environment = TileName(int(level), position), call.edge.environment
        await self._require_signed(environment, name, width)
        return await self._finally(
            ("tile", environment, name, width), lambda: self._read_tile(environment, name, width)
        )

    async def entries(self, call: Call) -> Reply:
        """GET /log/tile/entries/{position}: each entry after its length in two bytes, big-endian."""
        position, width = _position(call.path["position"])
        environment = call.edge.environment
        await self._require_signed(environment, TileName(0, position), width)
        return await self._finally(
            ("entries", environment, position, width),
            lambda: self._read_entries(environment, position, width),
        )

    async def consistency(self, call: Call) -> Reply:
        """GET /log/consistency/{old}/{new}: the path in hexadecimal, one hash a line."""
        old, new = _size(call.path["old"]), _size(call.path["new"])
        environment = call.edge.environment
        if not 0 < old <= new <= await self._signed_size(environment, new):
            raise NotFoundError("sizes: 0 < old <= new <= the size of the newest checkpoint")
        return await self._finally(
            ("consistency", environment, old, new),
            lambda: self._read_consistency(environment, old, new),
            _TEXT,
        )

    async def preflight(self, _call: Call) -> Reply:
        """OPTIONS of all of them, for verifiers in browsers."""
        return Reply(204, b"", _TEXT, _PREFLIGHT)

    async def _finally(
        self,
        name: tuple[object, ...],
        read: Callable[[], Awaitable[bytes]],
        content_type: bytes = _BYTES,
        cache: Headers = _FOREVER,
    ) -> Reply:
        """What never changes, from memory or else as read."""
        body = self._final.get(name)
        if body is None:
            body = await read()
            self._keep(name, body)
        else:
            self._final.move_to_end(name)
        return Reply(200, body, content_type, cache)

    def _keep(self, name: tuple[object, ...], body: bytes) -> None:
        if name not in self._final:
            self._final[name] = body
            self._final_bytes += len(body)
        while self._final_bytes > _KEPT_BYTES or len(self._final) > _KEPT_AT_MOST:
            _, oldest = self._final.popitem(last=False)
            self._final_bytes -= len(oldest)

    async def _require_signed(self, environment: Environment, name: TileName, width: int) -> None:
        """Only what a checkpoint has signed is shown: an entry is not final before."""
        last = name.position * TILE_WIDTH + width
        size = await self._signed_size(environment, last << (8 * name.level))
        if last > size >> (8 * name.level):
            raise NotFoundError(f"the log has {size} entries; this tile is not complete yet")

    async def _signed_size(self, environment: Environment, wanted: int) -> int:
        """How many entries are signed, or fewer if that is enough for what is wanted."""
        if self._signed[environment] < wanted:
            newest = await self._newest[environment].get()
            self._signed[environment] = newest["size"] if newest else 0
        return self._signed[environment]

    async def _read_newest(self, environment: Environment) -> Any:
        async with self._database.connection() as connection:
            return await queries.newest_checkpoint(connection, environment)

    async def _read_key(self, environment: Environment) -> bytes:
        async with self._database.connection() as connection:
            lines = await verifier_keys(connection, environment)
        return ("\n".join(lines) + "\n").encode()

    async def _read_tile(self, environment: Environment, name: TileName, width: int) -> bytes:
        async with self._database.connection() as connection:
            tiles = await queries.tiles(connection, environment, [name])
        return tiles[name][: width * HASH_BYTES]

    async def _read_entries(self, environment: Environment, position: int, width: int) -> bytes:
        async with self._database.connection() as connection:
            entries = await queries.entries(connection, environment, position * TILE_WIDTH, width)
        return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)

    async def _read_consistency(self, environment: Environment, old: int, new: int) -> bytes:
        async with self._database.connection() as connection:
            path = await consistency(connection, environment, old, new)
        return "".join(f"{node.hex()}\n" for node in path).encode()


def _position(text: str) -> tuple[int, int]:
    """The tile's number and how many of its hashes are asked for."""
    match = _POSITION.fullmatch(text)
    width = int(match[2] or TILE_WIDTH) if match else 0
    if match is None or not 0 < width <= TILE_WIDTH or (match[2] and width == TILE_WIDTH):
        raise NotFoundError("position: expected a tile path such as 067, x001/x234/067 or 067.p/7")
    return int(match[1].replace("x", "").replace("/", "")), width


def _size(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise InvalidInputError("sizes: two whole numbers are required")
    return int(text)


def log_routes(services: Services) -> list[Operation]:
    log = LogHandlers(services)
    reading = [
        Operation(
            _LOG, "GET", "/log/checkpoint", log.checkpoint, "Newest checkpoint",
            {200: Answer("a signed note", content_type="text/plain")}, refuses=(404,),
        ),
        Operation(
            _LOG, "GET", "/log/key", log.key, "Verifier keys of the log",
            {200: Answer("one key a line", content_type="text/plain")},
        ),
        Operation(
            _LOG, "GET", "/log/tile/entries/{position:path}", log.entries, "Entries",
            {200: Answer("entries, each after its length in two bytes", content_type=_BYTES.decode())},
            parameters=(_TILE_PATH,), refuses=(404,),
        ),
        Operation(
            _LOG, "GET", "/log/tile/{level}/{position:path}", log.tile, "Tile of hashes",
            {200: Answer("up to 256 hashes of 32 bytes", content_type=_BYTES.decode())},
            parameters=(_LEVEL, _TILE_PATH), refuses=(404,),
        ),
        Operation(
            _LOG, "GET", "/log/consistency/{old}/{new}", log.consistency, "Consistency of two sizes",
            {200: Answer("the path, one hash a line", content_type="text/plain")},
            parameters=(_OLD, _NEW), refuses=(404,),
        ),
    ]  # fmt: skip
    preflights = [
        Operation(
            _PREFLIGHTS, "OPTIONS", each.path, log.preflight,
            "May a page of another site read it: it may", {204: Answer("CORS headers")},
            parameters=each.parameters,
        )
        for each in reading
    ]  # fmt: skip
    return [*reading, *preflights]
