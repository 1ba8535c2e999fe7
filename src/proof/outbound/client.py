"""The HTTP client for addresses named by others."""

import asyncio
import socket
import ssl
import time
from collections.abc import Mapping
from contextlib import nullcontext
from functools import cache

import aiohttp
from aiohappyeyeballs import AddrInfoType
from msgspec import Struct
from yarl import URL

from proof.outbound.budget import BudgetConnector, BudgetExceededError, meter_of
from proof.outbound.errors import ForbiddenAddressError, OutboundError, Reason
from proof.outbound.places import Places
from proof.outbound.policy import OutboundPolicy
from proof.outbound.resolver import Resolver

# Node and uvicorn close an idle connection after 5 s; a body sent into a closing one is lost.
_KEEPALIVE_S = 4

# Beside the body: informational responses, heads, chunk extensions, trailers. A receiver behind several
# proxies that all set cookies stays well under it.
OVERHEAD_BYTES = 16 * 1024

# One read brings no more than this, below TLS too; the kernel doubles it.
_RECEIVE_BUFFER_BYTES = 32 * 1024

# Checking a URL costs a fifth of a small request; a partner has few of them.
_REMEMBERED_TARGETS = 4096

_REASONS: tuple[tuple[type[Exception], Reason], ...] = (
    (aiohttp.ClientConnectorDNSError, Reason.DNS),
    (ssl.SSLError, Reason.TLS),
    (aiohttp.ClientSSLError, Reason.TLS),
    (TimeoutError, Reason.TIMEOUT),
    (BudgetExceededError, Reason.TOO_LONG),
    (aiohttp.ClientConnectorError, Reason.CONNECT),
)


class OutboundReply(Struct, frozen=True):
    """What came back. `truncated`: the body went over the cap, stalled or broke off.

    `retry_after` is the header of that name as it stands, unparsed.
    """

    status: int
    body: bytes
    truncated: bool
    elapsed_s: float
    retry_after: str | None = None


class _RefusedAddressError(OSError):
    """How a refusal travels through the connector, which tries the name's next address.

    Always one text: of errors that differ the connector keeps only a joined message.
    """


@cache
def _trusting(_authorities: ssl.DefaultVerifyPaths) -> ssl.SSLContext:
    """One context of the process for the system's authorities: reading them takes 30 ms, and every context
    has all of them in memory."""
    return ssl.create_default_context()


class OutboundClient:
    """Calls targets the policy allows. Made and closed on one running event loop.

    No redirects, no proxies or credentials from the environment, no cookies, nothing decompressed;
    TLS verified against the system's authorities. A reply may have `max_response_bytes` of body and
    OVERHEAD_BYTES of everything else, and `timeout_s` from the call to its end, whatever arrives. With
    `places` an owner has a share of the calls under way; otherwise the caller bounds how many there are.
    """

    def __init__(
        self,
        policy: OutboundPolicy,
        connect_timeout_s: float = 5,
        timeout_s: float = 10,
        max_response_bytes: int = 16_384,
        places: Places | None = None,
    ) -> None:
        self.timeout_s = timeout_s
        self._policy = policy
        self._max_response_bytes = max_response_bytes
        self._targets: dict[str, URL] = {}
        self._places = places
        self._resolver = Resolver()
        self._session = aiohttp.ClientSession(
            connector=BudgetConnector(
                max_response_bytes + OVERHEAD_BYTES,
                socket_factory=self._socket,
                resolver=self._resolver,
                # The resolver caches answers, and also that a name hangs.
                use_dns_cache=False,
                ssl=_trusting(ssl.get_default_verify_paths()),
                limit=0,
                keepalive_timeout=_KEEPALIVE_S,
            ),
            # The threshold keeps aiohttp from rounding the limit up to a whole second of its clock. The
            # deadline of the whole call is ours: aiohttp's rests while it reads what has arrived.
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=connect_timeout_s, ceil_threshold=connect_timeout_s + 1
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            headers={"accept-encoding": "identity"},
        )

    async def aclose(self) -> None:
        """Close every connection."""
        await self._session.close()
        await self._resolver.close()

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> OutboundReply:
        """POST `body` as it is and read the reply, all within `timeout_s`.

        Raises InvalidTargetError when the policy refuses the URL, BusyError when the owner has all its
        places, OutboundError when no status came. A status that came counts, whatever happens to the
        body after it.
        """
        return await self._call("POST", url, body, headers)

    async def get(self, url: str, headers: Mapping[str, str]) -> OutboundReply:
        """GET and read the reply; all else as with `post`."""
        return await self._call("GET", url, None, headers)

    async def _call(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]
    ) -> OutboundReply:
        target = self._target(url)
        with self._places.taken() if self._places else nullcontext():
            try:
                return await self._exchange(method, target, body, headers)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                # Not chained: aiohttp's errors quote the whole URL.
                raise OutboundError(target.raw_host or "", _reason(error)) from None

    async def _exchange(
        self, method: str, target: URL, body: bytes | None, headers: Mapping[str, str]
    ) -> OutboundReply:
        started = time.perf_counter()
        response: aiohttp.ClientResponse | None = None
        text, whole = bytearray(), False
        try:
            async with asyncio.timeout(self.timeout_s):
                response = await self._session.request(
                    method, target, data=body, headers=headers, allow_redirects=False
                )
                meter = meter_of(response)
                whole = await self._read(response, text) and not (meter and meter.over)
        except TimeoutError:
            # A status line that came before the error counts as the answer.
            if response is None:
                raise
        finally:
            if response is not None and not whole:
                response.close()
        return OutboundReply(
            response.status,
            bytes(text[: self._max_response_bytes]),
            not whole,
            time.perf_counter() - started,
            response.headers.get("retry-after"),
        )

    def _target(self, url: str) -> URL:
        """The checked URL. The policy is fixed, so what it said of a URL once holds."""
        target = self._targets.get(url)
        if target is None:
            self._policy.check_url(url)
            if len(self._targets) >= _REMEMBERED_TARGETS:
                self._targets.clear()
            target = self._targets[url] = URL(url, encoded=True)
        return target

    async def _read(self, response: aiohttp.ClientResponse, text: bytearray) -> bool:
        """Add the body to `text`, one byte over the limit at most; whether it came to its end."""
        limit = self._max_response_bytes
        try:
            while len(text) <= limit:
                chunk = await response.content.read(limit + 1 - len(text))
                text += chunk
                if not chunk or (response.content.at_eof() and len(text) <= limit):
                    return True
        except (aiohttp.ClientError, OSError):
            pass
        return False

    def _socket(self, addr_info: AddrInfoType) -> socket.socket:
        """The connector's last step before connect(): the address here is the one dialled."""
        family, kind, protocol, _, address = addr_info
        try:
            self._policy.check_address(str(address[0]), int(address[1]))
        except ForbiddenAddressError as error:
            raise _RefusedAddressError("refused address") from error
        made = socket.socket(family=family, type=kind, proto=protocol)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
        return made


def _reason(error: Exception) -> Reason:
    if isinstance(error, aiohttp.ClientConnectorError) and isinstance(
        error.os_error, _RefusedAddressError
    ):
        return Reason.ADDRESS
    return next((reason for kind, reason in _REASONS if isinstance(error, kind)), Reason.PROTOCOL)
