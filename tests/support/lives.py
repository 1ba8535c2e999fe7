"""Lives of a worker that SIGKILL ends at a statement of their number, one after the other.

Each is a fork of a process that does nothing but load the worker's program once: a start of Python a life
takes many times as long as the life.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from subprocess import PIPE
from typing import Any, Literal

import asyncpg

_ROOT = Path(__file__).parents[2]
_STATEMENTS = ("execute", "executemany", "fetch", "fetchrow", "fetchval", "copy_records_to_table")

Moment = Literal["before", "after"]


@contextmanager
def lives(program: str, *arguments: Any) -> Iterator[Callable[[int, Moment], bool]]:
    """Whether the life that ends before or after its statement of a number ended there; it came to the end
    of its work otherwise, and anything else is an AssertionError. `program` is a module that ends in
    `live`, whose `sys.argv` has the arguments in JSON."""
    with subprocess.Popen(
        [sys.executable, "-m", program, *map(json.dumps, arguments)],
        cwd=_ROOT,
        env={"PYTHONPATH": f"{_ROOT}:{_ROOT}/src", "PATH": ""},
        stdin=PIPE,
        stdout=PIPE,
        text=True,
    ) as started:

        def died(number: int, moment: Moment) -> bool:
            assert started.stdin is not None
            assert started.stdout is not None
            print(number, moment, file=started.stdin, flush=True)
            code = int(started.stdout.readline())
            assert code in {0, -signal.SIGKILL}
            return code != 0

        yield died


def live(work: Callable[[Callable[[], None]], Coroutine[Any, Any, None]]) -> None:
    """A life for each line of standard input, of a number and a moment; a line of standard output is how
    it ended, 0 for unharmed. `work` calls what it is given when its statements begin to count."""
    for line in sys.stdin:
        number, moment = line.split()
        if (child := os.fork()) == 0:
            asyncio.run(work(partial(_kill_at, int(number), moment)))
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _kill_at(number: int, moment: str) -> None:
    """Count every statement any connection runs, BEGIN and COMMIT included."""
    count = 0

    def wrap(method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def counted(self: Any, *arguments: Any, **options: Any) -> Any:
            nonlocal count
            count += 1
            mine = count
            if mine == number and moment == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            result = await method(self, *arguments, **options)
            if mine == number and moment == "after":
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return counted

    for name in _STATEMENTS:
        setattr(asyncpg.Connection, name, wrap(getattr(asyncpg.Connection, name)))
