"""The witness itself: checks a request, has the new head made durable, signs it, answers.

Requests that wait while a commit runs share the next one. Signatures are made after the commit, from
what is durable, while the next commit runs: so nothing is ever signed that the witness could forget,
and a witness that was killed in between has signed nothing.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import Self, TypeVar

import structlog

from proof.core.clock import Clock
from proof.core.errors import CallerError
from proof.verify.evidence.log.note import signed_note
from proof.witness.decision import Head, decide, is_fork
from proof.witness.errors import StoreError, UnknownLogError
from proof.witness.folder import Identity, Mark
from proof.witness.log_keys import LogKey, signed_lines
from proof.witness.store import Advance, LogRecord, Store
from proof.witness.wire import AddCheckpoint, parse_add_checkpoint

T = TypeVar("T")

_MAX_BATCH = 256

_log = structlog.get_logger()


@dataclass(slots=True)
class _Log:
    """A log in memory: what is trusted, the durable head, and the witness's lines on it once they were
    made."""

    keys: tuple[LogKey, ...]
    head: Head
    lines: bytes = b""

    def move(self, head: Head) -> None:
        if head != self.head:
            self.head, self.lines = head, b""


@dataclass(slots=True)
class _Waiting:
    advance: Advance
    done: "asyncio.Future[bool]"


class Witness:
    """Answers for one folder. Use it within `async with`."""

    def __init__(self, identity: Identity, store: Store, mark: Mark | None, clock: Clock) -> None:
        self._identity = identity
        self._store = store
        self._mark = mark
        self._clock = clock
        # SQLite waits for the disk, and only one thread may use the store.
        self._thread = ThreadPoolExecutor(1, "witness-store")
        self._logs: dict[str, _Log] = {}
        self._origins: dict[str, str] = {}
        self._waiting: list[_Waiting] = []
        self._committing: asyncio.Task[None] | None = None
        self.failing = ""
        """Why the newest commit failed, empty once one succeeded."""
        self.answers: Counter[str] = Counter()

    async def __aenter__(self) -> Self:
        await self._reload()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._committing is not None:
            await self._committing
        self._thread.shutdown()

    @property
    def logs(self) -> int:
        """How many logs it cosigns for."""
        return sum(bool(log.keys) for log in self._logs.values())

    async def add_checkpoint(self, body: bytes) -> bytes:
        """The witness's signature lines for the request in `body`; its head is durable by then.

        Raises RequestTooLargeError, MalformedRequestError, UnknownLogError, UnsignedCheckpointError,
        OtherSizeError, InconsistentError, ClockBehindError, StoreError.
        """
        request = parse_add_checkpoint(body)
        while True:
            try:
                log, advance = await self._decided(request)
            except CallerError:
                # A log or a key of it may have been told of since.
                if not await self._in_thread(self._store.changed):
                    raise
                await self._reload()
                continue
            if (advance.new.time_s, advance.new.body) == (log.head.time_s, log.head.body):
                return self._signatures(log)
            if await self._durable(advance):
                return self._cosigned(advance)
            if log.head == advance.old:
                await self._reload()

    def checkpoint(self, origin_hash: str) -> bytes | None:
        """The newest cosigned checkpoint of the log whose origin has this SHA-256 (lower-case hex),
        with the log's own lines and the witness's; None when there is none."""
        log = self._logs.get(self._origins.get(origin_hash, ""))
        if log is None or not log.keys or not log.head.time_s:
            return None
        return signed_note(log.head.body, [log.head.lines, self._signatures(log)])

    async def _decided(self, request: AddCheckpoint) -> tuple[_Log, Advance]:
        """The log of the request, and the head it is to have; by what is in memory."""
        log = self._logs.get(request.checkpoint.origin)
        if log is None or not log.keys:
            raise UnknownLogError("the witness was not told of this log")
        lines = signed_lines(request.note, request.checkpoint, log.keys)
        await self._keep_fork(log, request, lines)
        new = decide(log.head, request, lines, int(self._clock.now().timestamp()))
        return log, Advance(request.checkpoint.origin, log.head, new)

    def _signatures(self, log: _Log) -> bytes:
        """The witness's lines on a durable head, the same ones as long as it is the head."""
        if not log.lines:
            log.lines = self._sign(log.head)
        return log.lines

    def _cosigned(self, advance: Advance) -> bytes:
        log = self._logs[advance.origin]
        return self._signatures(log) if log.head == advance.new else self._sign(advance.new)

    def _sign(self, head: Head) -> bytes:
        return b"".join(key.cosign(head.body, head.time_s) for key in self._identity.keys)

    async def _durable(self, advance: Advance) -> bool:
        waiting = _Waiting(advance, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._committing is None:
            self._committing = asyncio.create_task(self._commit())
        return await waiting.done

    async def _commit(self) -> None:
        """Commit what waits, batch after batch, until nothing does."""
        while self._waiting:
            batch, self._waiting = self._waiting[:_MAX_BATCH], self._waiting[_MAX_BATCH:]
            try:
                durables, records = await self._in_thread(partial(self._written, batch))
            except Exception as error:  # noqa: BLE001 - handed to those who wait, and logged
                self._fail(batch, error)
                continue
            self.failing = ""
            for waiting, durable in zip(batch, durables, strict=True):
                if durable:
                    self._logs[waiting.advance.origin].move(waiting.advance.new)
            self._take(records)
            # Those who wait go on after this task has begun the next commit: they sign while the disk
            # works.
            for waiting, durable in zip(batch, durables, strict=True):
                if not waiting.done.done():  # whoever waited may be gone
                    waiting.done.set_result(durable)
        self._committing = None

    def _written(self, batch: Sequence[_Waiting]) -> tuple[list[bool], list[LogRecord]]:
        """In the store's thread: what became of the batch, and all logs anew if others have written."""
        durables, commits = self._store.advance([waiting.advance for waiting in batch])
        if self._mark is not None:
            self._mark.advance(commits)
        return durables, self._store.logs() if self._store.changed() else []

    def _fail(self, batch: Sequence[_Waiting], error: Exception) -> None:
        self.failing = error.message if isinstance(error, StoreError) else type(error).__name__
        _log.error("witness.commit_failed", batch=len(batch), exc_info=error)
        for waiting in batch:
            if not waiting.done.done():
                waiting.done.set_exception(error)

    async def _reload(self) -> None:
        try:
            self._take(await self._in_thread(self._store.logs))
        except StoreError as error:
            self.failing = error.message
            raise

    def _take(self, records: Sequence[LogRecord]) -> None:
        """Go on from these records, all of them, as others have written them; none: nobody has."""
        for record in records:
            log = self._logs.setdefault(record.origin, _Log(record.keys, record.head))
            log.keys = record.keys
            log.move(record.head)
            self._origins[sha256(record.origin.encode()).hexdigest()] = record.origin
        if records:
            _log.info("witness.logs_read", logs=self.logs)

    async def _keep_fork(self, log: _Log, request: AddCheckpoint, lines: bytes) -> None:
        """Keep and tell that a log signed two roots for one size. That it cannot be kept changes
        nothing."""
        new = request.checkpoint
        if not is_fork(log.head, new):
            return
        note = signed_note(request.note.body, [lines])
        try:
            kept = await self._in_thread(
                partial(self._store.keep_fork, new.origin, new.size, new.root, note)
            )
        except StoreError as error:
            self.failing = error.message
            return
        if kept:
            _log.error("witness.fork", origin=new.origin, size=new.size, checkpoint=note.decode())

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
