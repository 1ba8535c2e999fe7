"""Where headers come from: a bitcoind, or a file that somebody gave."""

import asyncio
import fcntl
import itertools
import json
import os
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, Protocol, Self
from urllib.parse import urlsplit

import aiohttp

from proof.cli.output import Advance, printable, write_atomically
from proof.core.errors import ProofError
from proof.verify.evidence.bitcoin.header import HEADER_BYTES
from proof.verify.evidence.bitcoin.headers import (
    PERIOD,
    HeaderChain,
    HeaderFileHead,
    head_line,
    parse_head,
)
from proof.verify.evidence.bitcoin.networks import NETWORKS

MAX_BATCH: Final = 2_000

_MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024  # a batch of headers takes 450 kB

_MAX_CREDENTIALS_BYTES: Final = 1_024

_TIMEOUT: Final = aiohttp.ClientTimeout(total=120, sock_connect=10)

_HEAD_BYTES: Final = 256

_UNAUTHORIZED: Final = 401

_MAX_NESTING: Final = 32

_brackets = re.compile(rb"[\[\]{}]").finditer

Progress = Callable[[str, int], AbstractContextManager[Advance]]
"""Begins a bar: what is done, and how many headers there are to it."""

_SHOWN: Final = 40

_SYNC_HEADERS: Final = 100_000
"""Written between two calls of fsync; a crash costs no more, and never leaves a bad header."""


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
            results = {reply["id"]: reply["result"] for reply in answer if reply["error"] is None}
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
        for reply in answer if isinstance(answer, list) else ():
            error = reply.get("error") if isinstance(reply, dict) else None
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


@dataclass(frozen=True, slots=True)
class SyncResult:
    """What the file holds now. `kept`: the source's chain differs and took no more work than ours."""

    network: str
    start: int
    end: int
    work: int
    added: int
    replaced: int
    kept: bool = False


async def sync(
    path: Path, source: HeaderSource, network: str, start: int, progress: Progress
) -> SyncResult:
    """Bring the file at `path` up to the end of `source`, making it when it is missing.

    Every header in the file and every new one is checked as `HeaderChain` checks it. New headers are
    appended in pieces, so that a stopped run is resumed. Where the source has left our chain, its
    headers replace ours only if its chain took more work. `start` is for a new file.

    Raises SourceError, RefusedError when the file or the source holds something else than a chain,
    and OSError.
    """
    theirs = await source.network()
    if theirs != network:
        named = printable(theirs[:_SHOWN])
        raise SourceError(f"the source is of {named}, not {network}; --network names it")
    with _opened(path, head_line(network, start)) as file:
        return await _Sync(path, file, source, progress).run(network)


def _opened(path: Path, head: bytes) -> BinaryIO:
    """The file, made when missing, for nobody else to write meanwhile."""
    if not path.exists():
        parse_head(head)
        write_atomically(path, head)
    file = path.open("r+b")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise SourceError(f"another run is writing {path.name}; wait for it") from None
    return file


class _Sync:
    def __init__(
        self, path: Path, file: BinaryIO, source: HeaderSource, progress: Progress
    ) -> None:
        self._path = path
        self._file = file
        self._source = source
        self._progress = progress
        self._head = HeaderFileHead(NETWORKS["main"], 0, 0)

    async def run(self, network: str) -> SyncResult:
        self._head = parse_head(self._file.read(_HEAD_BYTES))
        if self._head.network.name != network:
            raise SourceError(
                f"{self._path.name} is of {self._head.network.name}, not {network};"
                " name another file, or that network"
            )
        size = self._path.stat().st_size - self._head.size
        chain = await self._checked("checking the file", size // HEADER_BYTES)
        end = await self._source.end()
        fork = await self._fork(chain.height, end)
        if fork == chain.height:
            added = await self._append(chain, end)
            return self._synced(chain, added, 0)
        return await self._move(chain, fork, end)

    async def _checked(self, what: str, count: int) -> HeaderChain:
        """The chain of the file's first `count` headers."""
        chain = HeaderChain(self._head.network, self._head.start)
        self._file.seek(self._head.size)
        with self._progress(what, count) as advance:
            while count:
                raw = self._file.read(min(count, PERIOD) * HEADER_BYTES)
                await asyncio.to_thread(chain.extend, raw)
                count -= len(raw) // HEADER_BYTES
                advance(len(raw) // HEADER_BYTES)
        return chain

    async def _fork(self, our_end: int, their_end: int) -> int:
        """The height up to which both chains are the same, or some height below it."""
        height, step = min(our_end, their_end) - 1, 1
        if height >= self._head.start and their_end < our_end and await self._same(height):
            return our_end  # the source is behind
        while height >= self._head.start:
            if await self._same(height):
                return height + 1
            height, step = height - step, step * 2
        return self._head.start

    async def _same(self, height: int) -> bool:
        return await self._source.headers(height, 1) == self._ours(height, 1)

    def _ours(self, height: int, count: int) -> bytes:
        self._file.seek(self._head.size + (height - self._head.start) * HEADER_BYTES)
        return self._file.read(count * HEADER_BYTES)

    async def _append(self, chain: HeaderChain, end: int) -> int:
        began, unsynced = chain.height, 0
        self._file.seek(self._head.size + (began - self._head.start) * HEADER_BYTES)
        self._file.truncate()  # what a crash may have left of a header
        with self._progress("fetching headers", max(0, end - began)) as advance:
            while raw := await self._source.headers(chain.height, MAX_BATCH):
                await asyncio.to_thread(chain.extend, raw)
                self._file.write(raw)
                count = len(raw) // HEADER_BYTES
                advance(count)
                unsynced += count
                if unsynced >= _SYNC_HEADERS:
                    self._flush()
                    unsynced = 0
        self._flush()
        return chain.height - began

    def _flush(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())

    async def _move(self, ours: HeaderChain, fork: int, end: int) -> SyncResult:
        """The source's chain from `fork` on, if it took more work; it replaces the file at once."""
        chain = await self._checked("checking up to the fork", fork - self._head.start)
        pieces = [self._ours(self._head.start, fork - self._head.start)]
        with self._progress("fetching headers", max(0, end - fork)) as advance:
            while raw := await self._source.headers(chain.height, MAX_BATCH):
                await asyncio.to_thread(chain.extend, raw)
                pieces.append(raw)
                advance(len(raw) // HEADER_BYTES)
        if chain.work <= ours.work:
            return self._synced(ours, 0, 0, kept=True)
        line = head_line(self._head.network.name, self._head.start)
        await asyncio.to_thread(write_atomically, self._path, line + b"".join(pieces))
        return self._synced(chain, chain.height - fork, ours.height - fork)

    def _synced(
        self, chain: HeaderChain, added: int, replaced: int, *, kept: bool = False
    ) -> SyncResult:
        name = self._head.network.name
        return SyncResult(name, chain.start, chain.height, chain.work, added, replaced, kept)
