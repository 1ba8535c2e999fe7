"""Name resolution in threads of its own.

A name server that does not answer holds a thread for up to half a minute, and nothing can take the thread
back. So a name has one lookup at a time however many ask, who waits for it waits no longer than a reply
would come, and a name that hangs is remembered and not asked for again until its time is over. A thread is
made for each lookup: a pool would have a last one, and its end would wait for those that hang.
"""

import asyncio
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TypeVar

from aiohttp.abc import AbstractResolver, ResolveResult

from proof.outbound.places import owner

# The resolver of the C library asks again after 5 s; the second answer is still waited for.
PATIENCE_S: Final = 6.0
REMEMBERED_S: Final = 30.0
# Lookups under way, in all and for one owner. An owner who names one hanging host after another has one
# thread for each until the C library gives it up.
LOOKUPS: Final = 128
LOOKUPS_EACH: Final = 4

_KEPT_S: Final = 10.0
# An answer that came too late for its caller serves the next one.
_KEPT_LATE_S: Final = 60.0

# A name with hundreds of addresses would turn one call into a scan of them.
_MAX_ADDRESSES: Final = 8
_REMEMBERED_NAMES: Final = 4096

_Name = tuple[str, int]
_Kept = TypeVar("_Kept")
_Addresses = list[tuple[int, int, str]]


@dataclass(frozen=True, slots=True)
class _Lookup:
    asker: int | None
    began_s: float
    answer: "asyncio.Future[_Addresses]"


class Resolver(AbstractResolver):
    """getaddrinfo, with room for names that hang and a limit on how many addresses count."""

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        self._patience_s = patience_s
        self._lookups: dict[_Name, _Lookup] = {}
        self._hanging: dict[_Name, float] = {}
        self._answers: dict[_Name, tuple[float, _Addresses]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Numeric addresses of `host`; raises OSError when there are none, or none in time."""
        name = (host.lower(), int(family))
        now_s = asyncio.get_running_loop().time()
        until_s, addresses = self._answers.get(name, (0.0, []))
        if until_s <= now_s:
            addresses = await self._looked_up(name, now_s)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=found_family,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for found_family, protocol, address in addresses
        ]

    async def close(self) -> None:
        """Wait for no answer more; a lookup under way ends by itself."""
        for lookup in self._lookups.values():
            lookup.answer.cancel()

    async def _looked_up(self, name: _Name, now_s: float) -> _Addresses:
        if self._hanging.get(name, 0.0) > now_s:
            raise _hangs()
        lookup = self._lookups.get(name) or self._begin(name, now_s)
        try:
            async with asyncio.timeout_at(lookup.began_s + self._patience_s):
                return await asyncio.shield(lookup.answer)
        except TimeoutError:
            _remember(self._hanging, name, now_s + REMEMBERED_S)
            raise _hangs() from None

    def _begin(self, name: _Name, now_s: float) -> _Lookup:
        asker = owner()
        asked = sum(lookup.asker == asker for lookup in self._lookups.values())
        if len(self._lookups) >= LOOKUPS or (asker is not None and asked >= LOOKUPS_EACH):
            raise _error("too many names that hang are being looked up")
        loop = asyncio.get_running_loop()
        lookup = _Lookup(asker, now_s, loop.create_future())
        # All callers may have been cancelled; reading the error keeps asyncio from reporting it as lost.
        lookup.answer.add_done_callback(lambda answer: answer.cancelled() or answer.exception())
        thread = threading.Thread(
            target=self._run, args=(loop, name, lookup), name="outbound-dns", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:
            raise _error("no thread to look the name up in") from None
        self._lookups[name] = lookup
        return lookup

    def _run(self, loop: asyncio.AbstractEventLoop, name: _Name, lookup: _Lookup) -> None:
        found: _Addresses | OSError
        try:
            found = _addresses(*name)
        except OSError as error:
            found = error
        except UnicodeError:
            found = _error("the name cannot be encoded")
        # The event loop may have closed while the thread waited.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(self._end, loop.time(), name, lookup, found)

    def _end(self, now_s: float, name: _Name, lookup: _Lookup, found: _Addresses | OSError) -> None:
        self._lookups.pop(name, None)
        late = now_s > lookup.began_s + self._patience_s
        if isinstance(found, OSError):
            if late:
                _remember(self._hanging, name, now_s + REMEMBERED_S)
        else:
            self._hanging.pop(name, None)
            _remember(self._answers, name, (now_s + (_KEPT_LATE_S if late else _KEPT_S), found))
        if lookup.answer.done():
            return
        if isinstance(found, OSError):
            lookup.answer.set_exception(found)
        else:
            lookup.answer.set_result(found)


def _addresses(host: str, family: int) -> _Addresses:
    found = socket.getaddrinfo(
        host, 0, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
    )
    return [
        (found_family, protocol, str(address[0]))
        for found_family, _, protocol, _, address in found[:_MAX_ADDRESSES]
    ]


def _remember(memory: dict[_Name, _Kept], name: _Name, what: _Kept) -> None:
    if len(memory) >= _REMEMBERED_NAMES:
        memory.clear()
    memory[name] = what


def _hangs() -> OSError:
    return _error("the name server does not answer")


def _error(text: str) -> OSError:
    return socket.gaierror(socket.EAI_AGAIN, text)
