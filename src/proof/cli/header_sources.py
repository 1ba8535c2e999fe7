"""Where headers come from: a bitcoind, or a file that somebody gave."""

import asyncio
import itertools
import json
import re
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, Self
from urllib.parse import urlsplit

import aiohttp

from proof.core.errors import ProofError
from proof.verify.header import HEADER_BYTES
from proof.verify.headers import HeaderFileHead, parse_head

MAX_BATCH: Final = 2_000
_MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024  # a batch of headers takes 450 kB
_MAX_CREDENTIALS_BYTES: Final = 1_024
_TIMEOUT: Final = aiohttp.ClientTimeout(total=120, sock_connect=10)
_HEAD_BYTES: Final = 256
_UNAUTHORIZED: Final = 401
_MAX_NESTING: Final = 32
_brackets = re.compile(rb"[\[\]{}]").finditer


class SourceError(ProofError):
    """The source cannot be used, or is of another network."""


class SourceDownError(SourceError):
    """The node does not answer, or not as a node does."""


class HeaderSource(Protocol):
    """A chain of headers to copy from; nothing of it is trusted before it is checked."""

    async def network(self) -> str:
        """The network's name, as `getblockchaininfo` has it."""
        ...

    async def end(self) -> int:
        """The height after the last header."""
        ...

    async def headers(self, start: int, count: int) -> bytes:
        """At most `count` headers from height `start` on, fewer at the end."""
        ...


class FileSource:
    """A header file of somebody's, read as it is needed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._head: HeaderFileHead | None = None

    async def network(self) -> str:
        return self._read_head().network.name

    async def end(self) -> int:
        head = self._read_head()
        try:
            size = self._path.stat().st_size
        except OSError as error:
            raise self._unreadable(error) from None
        return head.start + (size - head.size) // HEADER_BYTES

    async def headers(self, start: int, count: int) -> bytes:
        head = self._read_head()
        if start < head.start:
            raise SourceError(
                f"{self._path.name} begins at height {head.start}; headers from {start} on are needed"
            )
        offset = head.size + (start - head.start) * HEADER_BYTES
        return await asyncio.to_thread(self._read, offset, count * HEADER_BYTES)

    def _read_head(self) -> HeaderFileHead:
        if self._head is None:
            self._head = parse_head(self._read(0, _HEAD_BYTES))
        return self._head

    def _read(self, offset: int, size: int) -> bytes:
        try:
            with self._path.open("rb") as file:
                file.seek(offset)
                return file.read(size)
        except OSError as error:
            raise self._unreadable(error) from None

    def _unreadable(self, error: OSError) -> SourceError:
        return SourceError(
            f"cannot read {self._path.name}: {error.strerror}; check its name and its mode"
        )


class NodeSource:
    """A bitcoind over JSON-RPC. An asynchronous context.

    `credentials` is `user:password`, as bitcoind's cookie file has it; it stays out of messages.
    """

    def __init__(self, url: str, credentials: str | None) -> None:
        self._url = checked_node_url(url)
        headers = {"accept-encoding": "identity", "content-type": "application/json"}
        if credentials is not None:
            user, _, password = credentials.partition(":")
            headers["authorization"] = aiohttp.encode_basic_auth(user, password, "utf-8")
        self._headers = headers
        self._ids = itertools.count()
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            headers=self._headers,
            timeout=_TIMEOUT,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._session is not None
        await self._session.close()

    async def network(self) -> str:
        (found,) = await self._call("getblockchaininfo", [()])
        name = found.get("chain") if isinstance(found, dict) else None
        if not isinstance(name, str):
            raise self._not_a_node()
        return name

    async def end(self) -> int:
        (height,) = await self._call("getblockcount", [()])
        if type(height) is not int or height < 0:
            raise self._not_a_node()
        return height + 1

    async def headers(self, start: int, count: int) -> bytes:
        last = min(start + min(count, MAX_BATCH), await self.end())
        if last <= start:
            return b""
        hashes = await self._call("getblockhash", [(height,) for height in range(start, last)])
        found = await self._call("getblockheader", [(digest, False) for digest in hashes])
        try:
            raw = b"".join(map(bytes.fromhex, found))
        except (TypeError, ValueError):
            raise self._not_a_node() from None
        if len(raw) != HEADER_BYTES * len(found):
            raise self._not_a_node()
        return raw

    async def _call(self, method: str, parameters: Sequence[Sequence[object]]) -> list[Any]:
        """The results of a batch of calls, in order."""
        ids = [next(self._ids) for _ in parameters]
        calls = [
            {"jsonrpc": "1.0", "id": number, "method": method, "params": given}
            for number, given in zip(ids, parameters, strict=True)
        ]
        answer = await self._post(json.dumps(calls).encode())
        try:
            results = {one["id"]: one["result"] for one in answer if one["error"] is None}
            return [results[number] for number in ids]
        except (KeyError, TypeError):
            raise self._refusal(method, answer) from None

    async def _post(self, body: bytes) -> Any:
        assert self._session is not None
        try:
            async with self._session.post(self._url, data=body, allow_redirects=False) as response:
                raw = bytearray()
                async for chunk in response.content.iter_chunked(64 * 1024):
                    raw += chunk
                    if len(raw) > _MAX_ANSWER_BYTES:
                        raise self._not_a_node()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise SourceDownError(
                f"no answer from {self._url} ({type(error).__name__}); is bitcoind running there?"
            ) from None
        if response.status == _UNAUTHORIZED:
            raise SourceDownError(
                f"{self._url} does not accept the credentials; name the file that holds"
                " user:password, such as bitcoind's .cookie, with --bitcoin-credentials"
            )
        try:
            _check_nesting(bytes(raw))
            return json.loads(raw)
        except ValueError:
            raise self._not_a_node() from None

    def _refusal(self, method: str, answer: Any) -> SourceError:
        for one in answer if isinstance(answer, list) else ():
            error = one.get("error") if isinstance(one, dict) else None
            if isinstance(error, dict):
                return SourceError(
                    f"the node refuses {method}: {ascii(error.get('message'))[:200]}; see its log"
                )
        return self._not_a_node()

    def _not_a_node(self) -> SourceDownError:
        return SourceDownError(f"what answers at {self._url} is no bitcoind; check --bitcoin-node")


def _check_nesting(raw: bytes) -> None:
    """Raises ValueError for JSON nested deeper than a node's answers.

    The parser's own guard is the recursion limit, which a library may have raised until the stack
    overflows before it. Brackets in texts count too, which is no harm.
    """
    depth = 0
    for mark in _brackets(raw):
        depth += 1 if mark.group() in b"[{" else -1
        if depth > _MAX_NESTING:
            raise ValueError("nested too deep")


def checked_node_url(url: str) -> str:
    """The URL of a node, without credentials. Raises SourceError."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    else:
        if parts.username is not None:
            raise SourceError(
                "the node's URL holds credentials, which others may see among the processes; put"
                " user:password in a file and name it with --bitcoin-credentials"
            )
    if not usable:
        raise SourceError("the node's URL is none; write http://HOST:PORT or https://HOST:PORT")
    return url


def read_credentials(path: Path) -> str:
    """`user:password` of a file. Raises SourceError."""
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_CREDENTIALS_BYTES).decode().strip()
    except OSError as error:
        raise SourceError(
            f"cannot read {path.name}: {error.strerror}; check its name and its mode"
        ) from None
    except UnicodeDecodeError:
        text = ""
    if ":" not in text or not text.isprintable():
        raise SourceError(
            f"{path.name} does not hold user:password; bitcoind's own file is .cookie in its data folder"
        )
    return text
