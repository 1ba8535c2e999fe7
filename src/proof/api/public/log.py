"""/log: the log as c2sp.org/tlog-tiles lays it out, for anybody."""

import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import msgspec

from proof.api.forms import MESSAGE
from proof.api.http import Call, Headers, Reply
from proof.api.operations import Answer, Anybody, Operation, OperationFamily, Parameter
from proof.api.services import Services
from proof.api.wire import RetiredLog
from proof.core.clock import second_text
from proof.core.coalescing import Coalesced
from proof.core.errors import InvalidInputError, NotFoundError
from proof.partners.types import Environment
from proof.timestamps.anchors.log import queries, retired
from proof.timestamps.anchors.log.keys import verifier_keys
from proof.timestamps.anchors.log.service import consistency
from proof.timestamps.anchors.log.tree import HASH_BYTES, TILE_WIDTH, TileName
from proof.timestamps.anchors.log.verifiers import served_policy

TEXT = b"text/plain; charset=utf-8"

_BYTES = b"application/octet-stream"

_FOREVER = ((b"cache-control", b"public, max-age=31536000, immutable"),)

# What a log's successor has at the same address is not the same.
A_MINUTE = ((b"cache-control", b"public, max-age=60"),)

_FRESH = ((b"cache-control", b"no-store"),)

# A full tile has 8 KiB.
_KEPT_BYTES = 32 * 1024 * 1024

_KEPT_AT_MOST = 20_000

# For a day; browsers themselves keep it for less.
_PREFLIGHT = ((b"access-control-max-age", b"86400"),)

# x001/x234/067 is tile 1,234,067; .p/7 after it asks for its first seven hashes only. A number has one
# spelling, or caches would hold a tile under many names.
_POSITION = re.compile(r"((?!x000/)(?:x[0-9]{3}/){0,5}[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?")

# How long another log may be the current one, unnoticed by a process that is asked for tiles.
_KNOWN_S = 1.0

_LEVELS = frozenset("012345")

# A page of any site that verifies a proof may read the log; with no credentials, any header is harmless.
READ_BY_ANY_ORIGIN = (
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-methods", b"GET, HEAD, OPTIONS"),
    (b"access-control-allow-headers", b"*"),
    (b"access-control-expose-headers", b"retry-after"),
)

_LOG = OperationFamily("log", Anybody(), MESSAGE, headers=READ_BY_ANY_ORIGIN)

_PREFLIGHTS = replace(_LOG, listed=False)


def _path(name: str, description: str, pattern: str) -> Parameter:
    return Parameter(name, "path", description, {"type": "string", "pattern": pattern})


_TILE_PATH = _path("position", "a tile path: 067, x001/x234/067, 067.p/7", "^[x0-9./p]+$")

_LEVEL = _path("level", "tile level", "^[0-5]$")

_NUMBER = _path("number", "a number of /log/retired", "^[1-9][0-9]*$")

_OLD = _path("old", "the smaller size", "^[0-9]+$")

_NEW = _path("new", "the larger size", "^[0-9]+$")


class _Log(NamedTuple):
    """A log: how many entries are shown, and its newest checkpoint, as `read_at` had it."""

    log_id: int
    size: int
    note: bytes | None
    cache: Headers
    read_at: float


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
        self._policies = {
            environment: Coalesced(partial(self._read_policy, environment))
            for environment in Environment
        }
        self._known: dict[Environment, _Log] = {}
        self._retired: dict[tuple[Environment, str], _Log] = {}
        self._list = {
            environment: Coalesced(partial(self._read_retired, environment))
            for environment in Environment
        }
        self._final: OrderedDict[tuple[object, ...], bytes] = OrderedDict()
        self._final_bytes = 0

    async def checkpoint(self, call: Call) -> Reply:
        """GET /log/checkpoint."""
        log = await self._log_now(call)
        if log.note is None:
            raise NotFoundError(
                "this log has signed no checkpoint yet; it does with its first entry"
            )
        return Reply(200, log.note, TEXT, log.cache if "number" in call.path else _FRESH)

    async def key(self, call: Call) -> Reply:
        """GET /log/key."""
        log = await self._log_now(call)
        return await self._finally(
            ("key", log.log_id), lambda: self._read_key(log.log_id), log.cache, TEXT
        )

    async def policy(self, call: Call) -> Reply:
        """GET /log/policy."""
        return Reply(200, await self._policies[call.edge.environment].get(), TEXT, _FRESH)

    async def tile(self, call: Call) -> Reply:
        """GET /log/tile/{level}/{position}."""
        level, (position, width) = call.path["level"], _position(call.path["position"])
        if level not in _LEVELS:
            raise NotFoundError(f"level: there is no tile level {level}")
        name = TileName(int(level), position)
        log = await self._log_with(call, name, width)
        return await self._finally(
            ("tile", log.log_id, name, width),
            lambda: self._read_tile(log.log_id, name, width),
            log.cache,
        )

    async def entries(self, call: Call) -> Reply:
        """GET /log/tile/entries/{position}: each entry after its length in two bytes, big-endian."""
        position, width = _position(call.path["position"])
        log = await self._log_with(call, TileName(0, position), width)
        return await self._finally(
            ("entries", log.log_id, position, width),
            lambda: self._read_entries(log.log_id, position, width),
            log.cache,
        )

    async def consistency(self, call: Call) -> Reply:
        """GET /log/consistency/{old}/{new}: the path in hexadecimal, one hash a line."""
        old, new = _size(call.path["old"]), _size(call.path["new"])
        log = await self._log(call, new)
        if not 0 < old <= new <= log.size:
            raise NotFoundError(f"sizes: 0 < old <= new <= {log.size}, the entries that are shown")
        return await self._finally(
            ("consistency", log.log_id, old, new),
            lambda: self._read_consistency(log.log_id, old, new),
            log.cache,
            TEXT,
        )

    async def retired(self, call: Call) -> Reply:
        """GET /log/retired."""
        return Reply(200, await self._list[call.edge.environment].get(), headers=_FRESH)

    async def _finally(
        self,
        name: tuple[object, ...],
        read: Callable[[], Awaitable[bytes]],
        cache: Headers,
        content_type: bytes = _BYTES,
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

    async def _log_with(self, call: Call, name: TileName, width: int) -> _Log:
        """The log that is asked if it shows that much of a tile: an entry is not final before it is
        signed."""
        last = name.position * TILE_WIDTH + width
        log = await self._log(call, last << (8 * name.level))
        if last > log.size >> (8 * name.level):
            raise NotFoundError(f"this log shows {log.size} entries; the tile is not complete")
        return log

    async def _log(self, call: Call, wanted: int) -> _Log:
        """The log that is asked, as it was a moment ago, or as it is if that does not hold what is
        wanted."""
        known = self._known.get(call.edge.environment)
        if (
            known is None
            or "number" in call.path
            or known.size < wanted
            or time.monotonic() > known.read_at + _KNOWN_S
        ):
            known = await self._log_now(call)
        return known

    async def _log_now(self, call: Call) -> _Log:
        """The retired log of a number, or the current one."""
        environment = call.edge.environment
        if "number" in call.path:
            return await self._retired_log(environment, call.path["number"])
        return await self._newest[environment].get()

    async def _read_newest(self, environment: Environment) -> _Log:
        async with self._database.connection() as connection:
            log_id = (await queries.head(connection, environment)).log_id
            newest = await queries.newest_checkpoint(connection, log_id)
        size, note = (newest["size"], newest["note"].encode()) if newest else (0, None)
        self._known[environment] = _Log(log_id, size, note, A_MINUTE, time.monotonic())
        return self._known[environment]

    async def _retired_log(self, environment: Environment, number: str) -> _Log:
        if (environment, number) not in self._retired:
            await self._list[environment].get()
        found = self._retired.get((environment, number))
        if found is None:
            raise NotFoundError(
                f"number: no log {number} is retired here; /log/retired lists those"
            )
        return found

    async def _read_retired(self, environment: Environment) -> bytes:
        async with self._database.connection() as connection:
            found = await retired.logs(connection, environment)
            keys = [(await verifier_keys(connection, each.log_id))[0] for each in found]
        self._retired |= {
            (environment, str(each.number)): _Log(
                each.log_id, each.kept_size, each.note, _FOREVER, 0.0
            )
            for each in found
        }
        return msgspec.json.encode([_listed(*each) for each in zip(found, keys, strict=True)])

    async def _read_key(self, log_id: int) -> bytes:
        async with self._database.connection() as connection:
            lines = await verifier_keys(connection, log_id)
        return ("\n".join(lines) + "\n").encode()

    async def _read_policy(self, environment: Environment) -> bytes:
        async with self._database.connection() as connection:
            return (await served_policy(connection, environment)).text()

    async def _read_tile(self, log_id: int, name: TileName, width: int) -> bytes:
        async with self._database.connection() as connection:
            tiles = await queries.tiles(connection, log_id, [name])
        return tiles[name][: width * HASH_BYTES]

    async def _read_entries(self, log_id: int, position: int, width: int) -> bytes:
        async with self._database.connection() as connection:
            entries = await queries.entries(connection, log_id, position * TILE_WIDTH, width)
        return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)

    async def _read_consistency(self, log_id: int, old: int, new: int) -> bytes:
        async with self._database.connection() as connection:
            path = await consistency(connection, log_id, old, new)
        return "".join(f"{node.hex()}\n" for node in path).encode()


async def preflight(_call: Call) -> Reply:
    """OPTIONS of what pages of any site may read, for verifiers in browsers."""
    return Reply(204, b"", TEXT, _PREFLIGHT)


def _listed(log: retired.RetiredLog, vkey: str) -> RetiredLog:
    return RetiredLog(
        number=log.number,
        origin=log.origin,
        vkey=vkey,
        size=log.size,
        root_sha256=log.root.hex(),
        kept_size=log.kept_size,
        reason=log.reason,
        retired_at=second_text(log.retired_at),
        successor=log.successor,
    )


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
            _LOG, "GET", "/log/policy", log.policy, "Policy to verify by",
            {200: Answer("logs, witnesses and a quorum (c2sp.org/tlog-policy)", content_type="text/plain")},
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
    reading += [
        Operation(
            _LOG, "GET", "/log/retired", log.retired, "Retired logs",
            {200: Answer("the logs that were closed, the oldest first", list[RetiredLog])},
        ),
        *[
            replace(
                each, path=each.path.replace("/log/", "/log/retired/{number}/", 1),
                summary=f"{each.summary}, of a retired log",
                parameters=(_NUMBER, *each.parameters), refuses=(404,),
                identity=f"RetiredLog_{each.handler.__name__}",
            )
            for each in reading if each.handler != log.policy
        ],
    ]  # fmt: skip
    preflights = [
        Operation(
            _PREFLIGHTS, "OPTIONS", each.path, preflight,
            "May a page of another site read it: it may", {204: Answer("CORS headers")},
            parameters=each.parameters,
        )
        for each in reading
    ]  # fmt: skip
    return [*reading, *preflights]
