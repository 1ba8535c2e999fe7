"""A log at a URL prefix, over HTTP.

Bytes and time of each answer have bounds that hold whatever the other side does. No redirect is followed,
since none is allowed to a log. What fails in passing is tried again: 429 and 503 when they ask for it.
"""

import asyncio
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import aiohttp
import msgspec

from proof import __version__
from proof.follow.faults import Fault, LogFaultError
from proof.follow.layout import (
    CHECKPOINT,
    MAX_BUNDLE_BYTES,
    entries_path,
    split_bundle,
    tile_path,
)
from proof.follow.succession import Retirement
from proof.outbound import BudgetConnector
from proof.timestamps.anchors.log.tree import HASH_BYTES, TILE_WIDTH, TileName
from proof.verify.evidence.log.note import MAX_NOTE_BYTES

_RETIRED: Final = "retired"

_MAX_RETIRED_BYTES: Final = 1024 * 1024

_OVERHEAD_BYTES: Final = 64 * 1024

_CHUNK_BYTES: Final = 64 * 1024

_CONNECTIONS: Final = 8

_GONE: Final = frozenset({404, 410})

_LATER: Final = frozenset({429, 503})

_OK: Final = 200

_REDIRECTS: Final = range(300, 400)

_FIRST_SERVER_ERROR: Final = 500


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a follower bears with a log: an answer has `timeout_s` from the call to its last byte.

    What fails is tried `attempts` times, first after `pause_s`, then after twice as long each time. Waiting
    because the log asks for it counts apart: at most `waiting_s` for each answer.
    """

    timeout_s: float = 60.0
    attempts: int = 4
    pause_s: float = 1.0
    waiting_s: float = 600.0


class _Retirement(msgspec.Struct, rename="camel"):
    number: int
    origin: str
    successor: str
    reason: str = ""


class RemoteLog:
    """What answers below `prefix`; see LogSource and LogPlace."""

    def __init__(
        self, session: aiohttp.ClientSession, prefix: str, patience: Patience = Patience()
    ) -> None:
        self._session = session
        self._prefix = prefix.rstrip("/")
        self._patience = patience

    async def checkpoint(self) -> bytes:
        raw = await self._get(CHECKPOINT, MAX_NOTE_BYTES)
        if raw is None:
            raise LogFaultError(
                Fault.EMPTY,
                f"there is no checkpoint at {self._prefix}/{CHECKPOINT}: the log has none yet, or this"
                " is not its URL prefix, which for a log of Proof ends in /log",
            )
        return raw

    async def tile(self, name: TileName, width: int) -> bytes:
        return await self._whole_or_part(
            tile_path(name, width), tile_path(name), width, width * HASH_BYTES
        )

    async def entries(self, position: int, width: int) -> list[bytes]:
        path, whole = entries_path(position, width), entries_path(position)
        raw = await self._get(path, MAX_BUNDLE_BYTES)
        if raw is None and width < TILE_WIDTH:
            path = whole
            raw = await self._get(whole, MAX_BUNDLE_BYTES)
        entries = None if raw is None else split_bundle(raw)
        if raw is None:
            raise self._missing(path)
        if entries is None or len(entries) != (width if path != whole else TILE_WIDTH):
            raise self._broken(path, f"is not a bundle of {width} entries")
        return entries[:width]

    async def retirements(self) -> list[Retirement]:
        """None where no list is served, as by logs that know no retirement."""
        raw = await self._get(_RETIRED, _MAX_RETIRED_BYTES)
        try:
            found = msgspec.json.decode(raw or b"[]", type=list[_Retirement])
        except (msgspec.DecodeError, RecursionError):
            return []
        return [Retirement(each.number, each.origin, each.successor, each.reason) for each in found]

    def retired(self, number: int) -> "RemoteLog":
        return RemoteLog(self._session, f"{self._prefix}/{_RETIRED}/{number}", self._patience)

    async def _whole_or_part(self, path: str, whole: str, width: int, length: int) -> bytes:
        """A partial tile may be gone once the whole one is there."""
        raw = await self._get(path, length)
        if raw is None and width < TILE_WIDTH:
            path, raw = whole, await self._get(whole, TILE_WIDTH * HASH_BYTES)
        if raw is None:
            raise self._missing(path)
        if len(raw) != (length if path != whole else TILE_WIDTH * HASH_BYTES):
            raise self._broken(path, f"has {len(raw)} bytes, which a tile of that name has not")
        return raw[:length]

    def _missing(self, path: str) -> LogFaultError:
        return self._broken(path, "is missing, though a checkpoint needs it")

    def _broken(self, path: str, what: str) -> LogFaultError:
        url = f"{self._prefix}/{path}"
        return LogFaultError(Fault.BROKEN, f"{url} {what}", {"resource": url})

    def _unreachable(self, path: str, why: str) -> LogFaultError:
        return LogFaultError(Fault.UNREACHABLE, f"{self._prefix}/{path} cannot be read: {why}")

    async def _get(self, path: str, limit: int) -> bytes | None:
        """The body, of at most `limit` bytes; None when there is nothing there."""
        pause_s, failed, waited_s = self._patience.pause_s, 0, 0.0
        while True:
            why, asked_s = await self._attempt(path, limit)
            if not isinstance(why, str):
                return why
            if asked_s is not None and waited_s + asked_s <= self._patience.waiting_s:
                waited_s += asked_s
                await asyncio.sleep(asked_s)
                continue
            failed += 1
            if failed >= self._patience.attempts:
                raise self._unreachable(path, why)
            await asyncio.sleep(pause_s)
            pause_s *= 2

    async def _attempt(self, path: str, limit: int) -> tuple[bytes | str | None, float | None]:
        """What came, or why nothing did; and how many seconds the log asks to wait."""
        try:
            async with asyncio.timeout(self._patience.timeout_s):
                return await self._exchange(path, limit)
        except TimeoutError:
            return f"no whole answer in {self._patience.timeout_s:g} s", None
        except (aiohttp.ClientError, OSError) as error:
            return str(error) or type(error).__name__, None

    async def _exchange(self, path: str, limit: int) -> tuple[bytes | str | None, float | None]:
        url = f"{self._prefix}/{path}"
        async with self._session.get(url, allow_redirects=False) as response:
            status = response.status
            if status == _OK:
                return await self._body(response, path, limit), None
            if status in _GONE:
                return None, None
            if status in _LATER:
                return f"it answers {status}", _retry_after_s(response)
            if status in _REDIRECTS:
                where = ascii(response.headers.get("location", "elsewhere"))
                raise self._unreachable(path, f"it redirects to {where}; give the final URL")
            if status < _FIRST_SERVER_ERROR:
                raise self._unreachable(path, f"it answers {status}")
            return f"it answers {status}", None

    async def _body(self, response: aiohttp.ClientResponse, path: str, limit: int) -> bytes:
        encoding = response.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in {"identity", "", "gzip"}:
            raise self._broken(path, f"comes in the encoding {encoding!a}, which was not asked for")
        unpacking = zlib.decompressobj(16 + zlib.MAX_WBITS) if encoding == "gzip" else None
        raw = bytearray()
        async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
            try:
                raw += unpacking.decompress(chunk, limit + 1 - len(raw)) if unpacking else chunk
            except zlib.error:
                raise self._broken(path, "is not the gzip that it says it is") from None
            if len(raw) > limit:
                raise self._broken(path, f"is longer than {limit} bytes, which it may not be")
        if unpacking and not unpacking.eof:
            raise self._broken(path, "is gzip that breaks off")
        return bytes(raw)


@asynccontextmanager
async def connection() -> AsyncIterator[aiohttp.ClientSession]:
    """What logs are read with while the block lasts."""
    async with aiohttp.ClientSession(
        connector=BudgetConnector(MAX_BUNDLE_BYTES + _OVERHEAD_BYTES, limit=_CONNECTIONS),
        headers={"accept-encoding": "gzip, identity", "user-agent": f"Proof/{__version__}"},
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
    ) as session:
        yield session


def _retry_after_s(response: aiohttp.ClientResponse) -> float | None:
    """Retry-After in seconds (RFC 9110, section 10.2.3), None without it or for a date."""
    text = response.headers.get("retry-after", "")
    return max(1.0, float(text)) if text.isascii() and text.isdigit() and len(text) < 6 else None
