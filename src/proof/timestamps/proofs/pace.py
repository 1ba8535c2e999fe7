"""How long a chain takes, so that a caller asks again when there may be something new."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from math import ceil
from types import MappingProxyType

from proof.partners.types import Environment
from proof.timestamps.anchors.kinds import Pace
from proof.timestamps.types import Currency, SubmitStatus

# By environment and chain. A chain that is not named, the log among them, takes a second.
Paces = Mapping[tuple[Environment, Currency], Pace]
NO_PACES: Paces = MappingProxyType({})


def retry_after_s(
    pace: Pace | None, status: SubmitStatus, opened_at: datetime, now: datetime
) -> int:
    """Whole seconds until a tree of that status, opened then, is likely verified; 1 at least."""
    if pace is None:
        return 1
    match status:
        case SubmitStatus.UNSUBMITTED:
            closing = max(opened_at + pace.every - now, timedelta())
            left = closing + pace.blocks * pace.block
        case SubmitStatus.SUBMITTED:
            left = pace.blocks * pace.block
        case _:
            # How deep its block is by now is not kept: the next one may be the last.
            left = pace.block
    return max(1, ceil(left.total_seconds()))
