"""/log: the log as c2sp.org/tlog-tiles lays it out, for anybody."""

import re

from proof.api.http import Call, Reply
from proof.api.services import Services
from proof.core.errors import InvalidInputError, NotFoundError
from proof.db import Connection
from proof.timestamps.anchors.log import queries
from proof.timestamps.anchors.log.keys import verifier_keys
from proof.timestamps.anchors.log.service import consistency
from proof.timestamps.anchors.log.tree import HASH_BYTES, TILE_WIDTH, TileName

_TEXT = b"text/plain; charset=utf-8"
_BYTES = b"application/octet-stream"
_FOREVER = ((b"cache-control", b"public, max-age=31536000, immutable"),)
_FRESH = ((b"cache-control", b"no-store"),)
# x001/x234/067 is tile 1,234,067; .p/7 after it asks for its first seven hashes only.
_POSITION = re.compile(r"((?:x[0-9]{3}/){0,5}[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?")
_LEVELS = frozenset("012345")


class LogHandlers:
    """The handlers of the log."""

    def __init__(self, services: Services) -> None:
        self._database = services.database

    async def checkpoint(self, call: Call) -> Reply:
        """GET /log/checkpoint."""
        async with self._database.connection() as connection:
            newest = await queries.newest_checkpoint(connection, call.edge.environment)
        if newest is None:
            raise NotFoundError(
                "this log has signed no checkpoint yet; it does with its first entry"
            )
        return Reply(200, newest["note"].encode(), _TEXT, _FRESH)

    async def key(self, call: Call) -> Reply:
        """GET /log/key."""
        async with self._database.connection() as connection:
            lines = await verifier_keys(connection, call.edge.environment)
        return Reply(200, ("\n".join(lines) + "\n").encode(), _TEXT, _FRESH)

    async def tile(self, call: Call) -> Reply:
        """GET /log/tile/{level}/{position}."""
        level, (position, width) = call.path["level"], _position(call.path["position"])
        if level not in _LEVELS:
            raise NotFoundError(f"level: there is no tile level {level}")
        name = TileName(int(level), position)
        async with self._database.connection() as connection:
            await self._require_signed(connection, call, name, width)
            tiles = await queries.tiles(connection, call.edge.environment, [name])
        return Reply(200, tiles[name][: width * HASH_BYTES], _BYTES, _FOREVER)

    async def entries(self, call: Call) -> Reply:
        """GET /log/tile/entries/{position}: each entry after its length in two bytes, big-endian."""
        position, width = _position(call.path["position"])
        async with self._database.connection() as connection:
            await self._require_signed(connection, call, TileName(0, position), width)
            roots = await queries.entries(
                connection, call.edge.environment, position * TILE_WIDTH, width
            )
        body = b"".join(len(root).to_bytes(2, "big") + root for root in roots)
        return Reply(200, body, _BYTES, _FOREVER)

    async def consistency(self, call: Call) -> Reply:
        """GET /log/consistency/{old}/{new}: the path in hexadecimal, one hash a line."""
        old, new = _size(call.path["old"]), _size(call.path["new"])
        async with self._database.connection() as connection:
            newest = await queries.newest_checkpoint(connection, call.edge.environment)
            if not 0 < old <= new <= (newest["size"] if newest else 0):
                raise NotFoundError("sizes: 0 < old <= new <= the size of the newest checkpoint")
            path = await consistency(connection, call.edge.environment, old, new)
        return Reply(200, "".join(f"{node.hex()}\n" for node in path).encode(), _TEXT, _FOREVER)

    async def _require_signed(
        self, connection: Connection, call: Call, name: TileName, width: int
    ) -> None:
        """Only what a checkpoint has signed is shown: an entry is not final before."""
        newest = await queries.newest_checkpoint(connection, call.edge.environment)
        size = newest["size"] if newest else 0
        if name.position * TILE_WIDTH + width > size >> (8 * name.level):
            raise NotFoundError(f"the log has {size} entries; this tile is not complete yet")


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
