"""Names that hang: what they hold, how long, and that others do not notice."""

import asyncio
import socket
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from proof.outbound import on_behalf_of
from proof.outbound.resolver import LOOKUPS, LOOKUPS_EACH, Resolver

# Short enough to be over at once, and nothing depends on how late.
BRIEFLY_S = 0.05
# So long that what is given up was given up for another reason.
FOREVER_S = 600.0
FOUND = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.7", 0))]


class NameServer:
    """What the C library would ask: names beginning with `slow` are answered when it is let go."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.go = threading.Event()
        self._lock = threading.Lock()

    def getaddrinfo(self, host: str, *_: Any, **__: Any) -> Any:
        with self._lock:
            self.asked[host] += 1
        if host.startswith("slow"):
            self.go.wait()
        if "gone" in host:
            raise socket.gaierror(socket.EAI_AGAIN, "try again")
        return FOUND


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServer]:
    server = NameServer()
    monkeypatch.setattr(socket, "getaddrinfo", server.getaddrinfo)
    yield server
    server.go.set()


def run(body: Callable[[Resolver], Awaitable[None]], patience_s: float = BRIEFLY_S) -> None:
    async def opened() -> None:
        resolver = Resolver(patience_s)
        try:
            await body(resolver)
        finally:
            await resolver.close()

    asyncio.run(opened())


async def hangs(resolver: Resolver, name: str) -> bool:
    try:
        await resolver.resolve(name, 443)
    except OSError:
        return True
    return False


async def ended(resolver: Resolver) -> None:
    """Wait until lookups that were given up have ended."""
    await asyncio.wait({lookup.answer for lookup in resolver._lookups.values()})


def test_a_name_is_looked_up_once_however_many_ask(names: NameServer) -> None:
    async def body(resolver: Resolver) -> None:
        assert all(await asyncio.gather(*(hangs(resolver, "slow.example") for _ in range(50))))
        assert await hangs(resolver, "SLOW.example")

    run(body)
    assert names.asked == {"slow.example": 1}


def test_thirty_four_names_that_hang_hold_up_no_other(names: NameServer) -> None:
    """More than a pool of 32 threads had: the other's answer comes while all of them still hang."""

    async def body(resolver: Resolver) -> None:
        hanging = [
            asyncio.create_task(hangs(resolver, f"slow{number}.example")) for number in range(34)
        ]
        await asyncio.sleep(0)
        (found,) = await resolver.resolve("quick.example", 443)
        assert (found["host"], found["port"]) == ("192.0.2.7", 443)
        assert not any(task.done() for task in hanging)
        names.go.set()
        assert not any(await asyncio.gather(*hanging))

    run(body, FOREVER_S)


def test_a_name_that_hung_is_remembered_after_its_lookup_ended(names: NameServer) -> None:
    async def body(resolver: Resolver) -> None:
        assert await hangs(resolver, "slow.gone.example")
        names.go.set()
        await ended(resolver)
        assert await hangs(resolver, "slow.gone.example")

    run(body)
    assert names.asked == {"slow.gone.example": 1}


def test_an_answer_that_came_late_is_for_who_asks_next(names: NameServer) -> None:
    async def body(resolver: Resolver) -> None:
        assert await hangs(resolver, "slow.example")
        names.go.set()
        await ended(resolver)
        assert not await hangs(resolver, "slow.example")

    run(body)
    assert names.asked == {"slow.example": 1}


def test_a_name_that_fails_at_once_is_asked_for_again(names: NameServer) -> None:
    async def body(resolver: Resolver) -> None:
        assert await hangs(resolver, "gone.example")
        assert await hangs(resolver, "gone.example")

    run(body, FOREVER_S)
    assert names.asked == {"gone.example": 2}


def test_an_owner_has_a_share_of_the_lookups(names: NameServer) -> None:
    """Who names one hanging host after another leaves lookups to the others."""

    async def body(resolver: Resolver) -> None:
        with on_behalf_of(1):
            asked = [asyncio.create_task(hangs(resolver, f"slow{n}.example")) for n in range(10)]
            await asyncio.sleep(0)
            assert await hangs(resolver, "quick.example")
        with on_behalf_of(2):
            assert not await hangs(resolver, "quick.example")
        assert sum(task.done() for task in asked) == len(asked) - LOOKUPS_EACH
        names.go.set()
        assert sum(await asyncio.gather(*asked)) == len(asked) - LOOKUPS_EACH

    run(body, FOREVER_S)


def test_lookups_are_bounded_in_all(names: NameServer) -> None:
    async def body(resolver: Resolver) -> None:
        hosts = [f"slow{number}.example" for number in range(LOOKUPS + 20)]
        asked = [asyncio.create_task(hangs(resolver, host)) for host in hosts]
        await asyncio.sleep(0)
        assert sum(task.done() for task in asked) == 20
        names.go.set()
        assert sum(await asyncio.gather(*asked)) == 20

    run(body, FOREVER_S)


def test_a_process_ends_while_a_name_hangs(names: NameServer) -> None:
    async def body(resolver: Resolver) -> None:
        assert await hangs(resolver, "slow.example")

    run(body)
    (thread,) = (item for item in threading.enumerate() if item.name == "outbound-dns")
    assert thread.daemon
