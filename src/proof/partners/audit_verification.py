"""Recompute the chain over the audit log, and name the first place that is not as it was written.

What the chain alone cannot show: an end cut off together with its entries, or a chain computed anew as
a whole. The heads in the timestamp log show both (`proof.timestamps.proofs.audit_heads`).
"""

from collections.abc import Callable
from dataclasses import dataclass

from proof.db import Connection
from proof.partners.audit_chain import (
    BATCH,
    Head,
    links,
    newest_head,
    stray_entry,
    waiting,
)

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class VerifiedChain:
    """How much of the chain was recomputed, `waiting` entries not in it yet, and what was found."""

    checked: int
    waiting: int
    head: Head | None
    findings: tuple[str, ...]


async def verify_chain(connection: Connection, progress: Progress) -> VerifiedChain:
    """Recompute every hash from the entries, in the caller's snapshot.

    The walk ends at the first position that is wrong, since nothing pins what follows. `progress` is
    told how many positions a step was. Changes nothing.
    """
    checked, findings = 0, list[str]()
    async for link in links(connection):
        expected = checked + 1
        problem = link.problem()
        if link.head.position != expected:
            problem = f"position {expected} is missing; the next is {link.head.position}"
        if problem:
            findings.append(problem)
            break
        checked = expected
        if checked % BATCH == 0:
            progress(BATCH)
    stray = await stray_entry(connection)
    if stray is not None:
        findings.append(f"entry {stray} is in the log, but neither chained nor waiting to be")
    return VerifiedChain(
        checked, await waiting(connection), await newest_head(connection), tuple(findings)
    )
