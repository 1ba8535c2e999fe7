"""Where a log is read."""

from typing import Protocol

from proof.follow.faults import Fault, LogFaultError
from proof.timestamps.anchors.log.tree import TileName


class LogSource(Protocol):
    """A log by its addresses. Nothing that comes from one is believed before it is checked.

    Each method raises LogFaultError: UNREACHABLE, or BROKEN for what is missing or of another form.
    """

    async def checkpoint(self) -> bytes:
        """The newest signed note; EMPTY where there is none yet."""
        ...

    async def tile(self, name: TileName, width: int) -> bytes:
        """The first `width` hashes of a tile, of 32 bytes each."""
        ...

    async def entries(self, position: int, width: int) -> list[bytes]:
        """The first `width` entries below a tile of level 0."""
        ...


async def newest(source: LogSource, *, known: bool) -> bytes:
    """The checkpoint; `known`: the log had one before, so that none is no beginning."""
    try:
        return await source.checkpoint()
    except LogFaultError as error:
        if not known or error.fault is not Fault.EMPTY:
            raise
        raise LogFaultError(
            Fault.UNREACHABLE, f"the log had a checkpoint and shows none: {error.message}"
        ) from None
