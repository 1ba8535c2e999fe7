"""Mirrors a log in processes that each die at another act upon the folder.

    python -m tests.support.kill_points URL KEYS MIRROR COPIES

The mirror at MIRROR is copied to COPIES/1, COPIES/2 and so on; in each, one more file is opened, renamed or
deleted, or folder made, than in the one before, until one lives to the end.
"""

import asyncio
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from proof.follow.mirror import Mirror
from proof.follow.remote import RemoteLog, connection
from proof.follow.trust import trust_of

_ACTS = ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir")
_READING = ("r", "rb")


async def mirror(url: str, keys: bytes, folder: Path) -> None:
    async with connection() as session:
        await Mirror(RemoteLog(session, url), trust_of(None, [keys]), folder).update()


def die_at(number: int, folder: Path) -> None:
    """Before the act of that number upon what is in the folder."""
    left = number

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        if event not in _ACTS or (event == "open" and arguments[1] in _READING):
            return
        if str(folder) in str(arguments[0]):
            left -= 1
            if not left:
                os._exit(137)

    sys.addaudithook(hook)


def main(url: str, keys: str, base: str, copies: str) -> None:
    number, trusted = 0, Path(keys).read_bytes()
    while True:
        number += 1
        folder = Path(copies, str(number))
        shutil.copytree(base, folder)
        if child := os.fork():
            _, status = os.waitpid(child, 0)
            if os.waitstatus_to_exitcode(status) == 0:
                return
            continue
        die_at(number, folder)
        asyncio.run(mirror(url, trusted, folder))
        os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
