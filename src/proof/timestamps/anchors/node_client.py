"""Calls to a node, an authority, a witness or another Proof of the operator's choice.

Its address is a setting, so the policy for partners' targets does not apply; all the same nothing is
followed, nothing of the environment is used, and every answer is bounded in time and size, all that
surrounds it included. Connections and name lookups are each client's own: a node that hangs holds up nobody
else. An error never holds the URL or a header, either of which may hold a key.
"""

import asyncio
from collections.abc import Mapping
from typing import Final, NamedTuple

import aiohttp

from proof.outbound import BudgetConnector, Resolver
from proof.timestamps.anchors.chain import NodeDownError

TIMEOUT_S: Final = 30.0

# Heads, chunk extensions and trailers; and the lines between the many chunks of a long answer.
_OVERHEAD_BYTES: Final = 64 * 1024
_CHUNKED_SHARE: Final = 16

# Whatever asks too often, one node is one place.
_CONNECTIONS: Final = 8


class HttpAnswer(NamedTuple):
    """`retry_after`: that header as it stands."""

    status: int
    body: bytes
    retry_after: str | None


class NodeClient:
    """The way to one address. Made and closed on one running event loop.

    `who` is what its errors call the other side, with an article; `setting` is where its URL stands. With
    `keep_alive_s` a connection is kept so long, and a request is sent again if a kept one turns out to be
    closed: what is asked must bear being asked twice.
    """

    def __init__(
        self,
        who: str,
        url: str,
        max_answer_bytes: int,
        timeout_s: float = TIMEOUT_S,
        *,
        setting: str = "the chains file",
        keep_alive_s: float = 0,
    ) -> None:
        self._who = who
        self._url = url
        self._max_answer_bytes = max_answer_bytes
        self._timeout_s = timeout_s
        self._setting = setting
        self._keep_alive_s = keep_alive_s
        self._resolver = Resolver()
        self._session: aiohttp.ClientSession | None = None

    async def post(
        self, body: bytes, headers: Mapping[str, str], path: str = ""
    ) -> tuple[int, bytes]:
        """Status and body of the answer to one request. Raises NodeDownError."""
        answer = await self.request("POST", path, headers, body)
        return answer.status, answer.body

    async def get(self, path: str) -> tuple[int, bytes]:
        """As `post`, without a body."""
        answer = await self.request("GET", path, {})
        return answer.status, answer.body

    async def request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> HttpAnswer:
        """The answer to one request. Raises NodeDownError."""
        try:
            async with asyncio.timeout(self._timeout_s):
                try:
                    return await self._answer(method, path, headers, body)
                except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
                    if not self._keep_alive_s or isinstance(error, aiohttp.ClientConnectorError):
                        raise
                return await self._answer(method, path, headers, body)
        except TimeoutError:
            raise NodeDownError(
                f"{self._who} does not answer within {self._timeout_s:g} s"
            ) from None
        except (aiohttp.ClientError, OSError) as error:
            # Not chained and not quoted: aiohttp's errors hold the request's headers and URL.
            raise NodeDownError(
                f"{self._who} does not answer ({type(error).__name__}); is it running, and is its url"
                f" right in {self._setting}?"
            ) from None

    async def _answer(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None
    ) -> HttpAnswer:
        async with self._opened().request(
            method,
            self._url + path,
            data=body,
            headers={"accept-encoding": "identity", **headers},
            allow_redirects=False,
        ) as answer:
            retry_after = answer.headers.get("retry-after")
            return HttpAnswer(answer.status, await self._bounded(answer), retry_after)

    async def close(self) -> None:
        """Close connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None
        await self._resolver.close()

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=BudgetConnector(
                    self._max_answer_bytes
                    + self._max_answer_bytes // _CHUNKED_SHARE
                    + _OVERHEAD_BYTES,
                    # Of calls that are rare, the first on a connection kept from before a restart is lost.
                    force_close=not self._keep_alive_s,
                    keepalive_timeout=self._keep_alive_s or None,
                    limit=_CONNECTIONS,
                    resolver=self._resolver,
                    use_dns_cache=False,
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                # What comes compressed stays so, because little may become much.
                auto_decompress=False,
                trust_env=False,
            )
        return self._session

    async def _bounded(self, answer: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for chunk in answer.content.iter_any():
            body += chunk
            if len(body) > self._max_answer_bytes:
                answer.close()
                raise NodeDownError(f"{self._who}'s answer is over {self._max_answer_bytes} bytes")
        return bytes(body)
