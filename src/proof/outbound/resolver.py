"""Name resolution in threads of its own."""

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor

from aiohttp.abc import AbstractResolver, ResolveResult

# A name server that does not answer holds a thread for up to half a minute. The loop's own executor
# has as few as five threads; a handful of dead names would silence every other target.
_THREADS = 32

# A name with hundreds of addresses would turn one call into a scan of them.
_MAX_ADDRESSES = 8


class ThreadResolver(AbstractResolver):
    """getaddrinfo, with room for names that hang and a limit on how many addresses count."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="outbound-dns")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Numeric addresses of `host`; raises OSError when there are none."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, _lookup, host, port, family)

    async def close(self) -> None:
        """Ask no more; a lookup under way ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _lookup(host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
    found = socket.getaddrinfo(
        host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
    )
    return [
        ResolveResult(
            hostname=host,
            host=str(address[0]),
            port=port,
            family=found_family,
            proto=protocol,
            flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
        )
        for found_family, _, protocol, _, address in found[:_MAX_ADDRESSES]
    ]
