"""The application over real HTTP, on a thread and a loop of its own, with a real PostgreSQL."""

import asyncio
import secrets
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tests.support.application import Platform
from tests.support.copying import copied
from tests.support.sites import listening_socket, server_of

from proof.core.secrets import Vault
from proof.db import Database
from proof.db.embedded import EmbeddedCluster
from proof.partners.types import Environment

T = TypeVar("T")
Beside = Callable[[Platform], AbstractAsyncContextManager[None]]

_GIVE_UP_S = 120.0


@asynccontextmanager
async def nothing(_platform: Platform) -> AsyncIterator[None]:
    """No work beside the application."""
    yield


@dataclass
class ServedPlatform:
    """Proof, serving at `url`, on the loop of another thread."""

    platform: Platform
    url: str
    loop: asyncio.AbstractEventLoop

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the server's loop to its end."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(_GIVE_UP_S)


@contextmanager
def platform_served(
    cluster: EmbeddedCluster, folder: Path, beside: Beside = nothing, **options: Any
) -> Iterator[ServedPlatform]:
    """A Proof on a database of its own while the block lasts; nothing of it is on this thread's loop.
    `beside` is what works as long as it serves; `options` are fields of Platform."""
    serving = _Serving(cluster, folder, beside, options)
    thread = threading.Thread(target=serving.run)
    thread.start()
    serving.ready.wait(_GIVE_UP_S)
    try:
        yield serving.served
    finally:
        serving.stop()
        thread.join(_GIVE_UP_S)


class _Serving:
    """The thread that serves: `served` is there once it is `ready`."""

    served: ServedPlatform

    def __init__(
        self, cluster: EmbeddedCluster, folder: Path, beside: Beside, options: dict[str, Any]
    ) -> None:
        self._cluster = cluster
        self._folder = folder
        self._beside = beside
        self._options = options
        self.ready = threading.Event()
        self._stopped = asyncio.Event()

    def run(self) -> None:
        try:
            with copied(self._cluster, f"served_{secrets.token_hex(6)}") as arguments:
                asyncio.run(self._serve(arguments))
        finally:
            self.ready.set()

    def stop(self) -> None:
        if hasattr(self, "served"):
            self.served.loop.call_soon_threadsafe(self._stopped.set)

    async def _serve(self, arguments: dict[str, Any]) -> None:
        bound, url = listening_socket()
        urls = {Environment.PRODUCTION: url, Environment.SANDBOX: f"{url}/sandbox"}
        database = await Database.open(arguments)
        vault = Vault([bytes(range(32))])
        platform = Platform(database, vault, self._folder, base_urls=urls, **self._options)
        await platform.start()
        server = server_of(platform.app)
        serving = asyncio.create_task(server.serve(sockets=[bound]))
        async with self._beside(platform):
            self.served = ServedPlatform(platform, url, asyncio.get_running_loop())
            self.ready.set()
            await self._stopped.wait()
        server.should_exit = True
        await serving
        await platform.stop()
        await database.close()
