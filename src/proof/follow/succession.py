"""A log that another follows: closed for good, by its operator's word and by the other's first entry.

The address shows the newer log from then on, and the closed one below `retired/`. Nothing that is said
there is believed: both logs are trusted by the policy alone, the closed one ends where it was seen or
later, and the other's first entry names its final checkpoint.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from proof.follow.faults import Fault, LogFaultError
from proof.follow.source import LogSource, newest
from proof.follow.trust import Trust
from proof.follow.trusted import SignedCheckpoint, TrustedTree, fork, require_extension
from proof.verify.errors import RefusedError, quoted
from proof.verify.evidence.log.succession import verify_succession


@dataclass(frozen=True, slots=True)
class Retirement:
    """What an address says of a closed log: the number it is found by, and which log follows."""

    number: int
    origin: str
    successor: str
    reason: str


class LogPlace(LogSource, Protocol):
    """An address that shows one log after the other."""

    async def retirements(self) -> Sequence[Retirement]:
        """Those of the logs that it showed before. Raises LogFaultError: UNREACHABLE."""
        ...

    def retired(self, number: int) -> LogSource:
        """A closed log."""
        ...


@dataclass(frozen=True, slots=True)
class Succession:
    """That a log ended with `final`, of which `kept` entries are left, and `successor` follows it."""

    final: SignedCheckpoint
    kept: int
    successor: str
    reason: str

    @property
    def text(self) -> str:
        closed, lost = self.final, self.final.size - self.kept
        return (
            f"the log {closed.origin} is closed with {closed.size} entries, and {self.successor} follows it"
            + (f"; {lost} of its entries were lost" if lost else "")
            + (f"; the reason given: {quoted(self.reason)}" if self.reason else "")
        )


async def successions(
    place: LogPlace, trust: Trust, kept: SignedCheckpoint, seen: SignedCheckpoint
) -> list[Succession]:
    """How the log that is `seen` came after the one of which `kept` was seen.

    Raises LogFaultError: KEY when it does not follow from it, ROLLBACK and FORK when the log was closed
    with another history than it had shown.
    """
    listed = {each.origin: each for each in await place.retirements()}
    found: list[Succession] = []
    while kept.origin != seen.origin:
        retirement = listed.pop(kept.origin, None)
        if retirement is None:
            raise _strange(
                f"the checkpoint is of the log {quoted(seen.origin)}, and {quoted(kept.origin)} was seen"
                " here; nothing says that the one follows the other",
                [kept.note, seen.note],
            )
        step, kept = await _succession(place, trust, (kept, seen), retirement, listed)
        found.append(step)
    return found


async def closed_log(
    place: LogPlace, trust: Trust, origin: str
) -> tuple[LogSource, SignedCheckpoint] | None:
    """A closed log and its final checkpoint; None where the address knows of none of that name."""
    for each in await place.retirements():
        if each.origin == origin:
            return await _final(place, trust, each)
    return None


async def _succession(
    place: LogPlace,
    trust: Trust,
    between: tuple[SignedCheckpoint, SignedCheckpoint],
    retirement: Retirement,
    listed: dict[str, Retirement],
) -> tuple[Succession, SignedCheckpoint]:
    """The next step, and the newest checkpoint of the log that it leads to."""
    kept, seen = between
    source, final = await _final(place, trust, retirement)
    after_source: LogSource = place
    after = seen
    if retirement.successor != seen.origin:
        if retirement.successor not in listed:
            raise _strange(
                f"nothing is known of {quoted(retirement.successor)}, which followed", []
            )
        after_source, after = await _final(place, trust, listed[retirement.successor])
    entries = await (await TrustedTree.opened([after_source], after)).entries(0)
    try:
        count = verify_succession(final.note, entries[0])
    except RefusedError as error:
        raise _strange(
            f"{quoted(after.origin)} does not follow {quoted(final.origin)}: {error}",
            [final.note, after.note],
        ) from None
    await require_end(source, kept, final, whole=count == final.size)
    return Succession(final, count, after.origin, retirement.reason), after


async def _final(
    place: LogPlace, trust: Trust, retirement: Retirement
) -> tuple[LogSource, SignedCheckpoint]:
    source = place.retired(retirement.number)
    final = trust.verify(await newest(source, known=True))
    if final.origin != retirement.origin:
        raise _strange(
            f"what is said to be the closed log {quoted(retirement.origin)} is {quoted(final.origin)}",
            [final.note],
        )
    return source, final


async def require_end(
    source: LogSource, kept: SignedCheckpoint, final: SignedCheckpoint, *, whole: bool
) -> None:
    """That the closed log ends with or after what was seen of it. Of one that is not `whole` tiles are
    lost, so that only the size can be compared. Raises LogFaultError: ROLLBACK, FORK."""
    if final.size < kept.size:
        raise LogFaultError(
            Fault.ROLLBACK,
            f"rollback: the log was closed with {final.size} entries, and had shown {kept.size}",
            {"older": kept.note.decode(), "newer": final.note.decode()},
        )
    if final.size == kept.size and final.root != kept.root:
        raise fork(
            f"two checkpoints of {final.size} entries are signed, with different roots", kept, final
        )
    if whole:
        await require_extension(await TrustedTree.opened([source], final), kept, final)


def _strange(said: str, notes: Sequence[bytes]) -> LogFaultError:
    return LogFaultError(
        Fault.KEY, f"key: {said}", {"checkpoints": [note.decode() for note in notes]}
    )
