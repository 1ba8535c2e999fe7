"""Work done by a copy of this process, whose memory ends with it."""

import ctypes
import os
import pickle
import signal
import sys
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Any, Generic, NoReturn, Self, TypeVar

from proof.core.errors import ProofError

_PR_SET_PDEATHSIG = 1

T = TypeVar("T")


def end_with_parent(parent: int) -> None:
    """Be told to stop when the parent process is gone, even by SIGKILL."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        raise SystemExit("the supervisor ended before this process began")


class Apart(Generic[T]):
    """A fork of this process that does `work` alone. Not to be used beside threads.

    It has the signal handlers of this process, and is waited for at the end of the block.
    """

    def __init__(self, work: Callable[[], T]) -> None:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        reading, writing = os.pipe()
        parent = os.getpid()
        self._process = os.fork()
        if self._process == 0:
            os.close(reading)
            _work(work, writing, parent)
        os.close(writing)
        self._answers = os.fdopen(reading, "rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._answers.close()
        os.waitpid(self._process, 0)

    def terminate(self) -> None:
        """Send it SIGTERM."""
        os.kill(self._process, signal.SIGTERM)

    def answer(self) -> T:
        """What the work returned, once it is done. Raises the ProofError that it raised; SystemExit when it
        ended otherwise, which it has told on standard error."""
        answer: tuple[T, None] | tuple[None, tuple[type[ProofError], Any, Any]]
        raw = self._answers.read()
        if not raw:
            raise SystemExit(1)
        answer = pickle.loads(raw)  # noqa: S301 - our own process wrote it
        if answer[1] is None:
            return answer[0]
        kind, arguments, fields = answer[1]
        error = kind.__new__(kind, *arguments)
        error.__dict__.update(fields)
        raise error


def _work(work: Callable[[], object], writing: int, parent: int) -> NoReturn:
    try:
        end_with_parent(parent)
        with os.fdopen(writing, "wb") as answers:
            answers.write(_answer(work))
    except BaseException:  # noqa: BLE001 - nothing of this process goes on where the other one is
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(0)


def _answer(work: Callable[[], object]) -> bytes:
    try:
        return pickle.dumps((work(), None))
    except ProofError as error:
        return pickle.dumps((None, (type(error), error.args, error.__dict__)))
