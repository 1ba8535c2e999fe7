"""Heads of the audit chain in the timestamp log.

A head is submitted like any partner's hash, by an owner without credentials. Once a checkpoint holds it
and somebody outside keeps its proof, nobody can rewrite the audit log before it unseen: not the
operator's database administrator, nor whoever has the signing keys afterwards.
"""

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from proof.core.canonical import canonical_json
from proof.core.clock import Clock
from proof.core.errors import ProofError
from proof.db import Connection, Database
from proof.partners import audit_chain
from proof.partners.audit_chain import SYSTEM, Head, Progress, VerifiedChain, verify_chain
from proof.timestamps.anchors.log import queries as log_queries
from proof.timestamps.anchors.log import retired
from proof.timestamps.anchors.log.keys import verifier_keys
from proof.timestamps.anchors.log.service import root_at
from proof.timestamps.proofs.errors import ProofNotYetError
from proof.timestamps.proofs.service import Proofs
from proof.timestamps.submissions import queries as submission_queries
from proof.timestamps.submissions.committer import Committer
from proof.timestamps.types import Currency
from proof.verify import Established, Policy, RefusedError, parse_verifier_key, verify_payload

HEAD_EVERY = timedelta(minutes=1)

# A proof follows its head within seconds; more than these wait only while the log signs nothing.
_HEADS_TRIED = 20

_PAGE = 1_000


class SavedHeadError(ProofError):
    """A saved head is not one, is not proved, or is no longer in the chain or the log."""


@dataclass(frozen=True, slots=True)
class HeadProof:
    """The newest head with a proof: a payload of the timestamp API with `auditHead` beside it."""

    head: Head
    timestamp_ms: int
    body: bytes


@dataclass(frozen=True, slots=True)
class SavedHead:
    """A saved head that still holds, and the time in ms UTC that a trusted key signed for it."""

    position: int
    entry_id: int
    timestamp_ms: int


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What `verify_log` found; nothing in `findings` means that nothing was altered."""

    chain: VerifiedChain
    heads: int
    saved: tuple[SavedHead, ...]
    findings: tuple[str, ...]


async def submit_head(database: Database, clock: Clock, every: timedelta = HEAD_EVERY) -> bool:
    """Submit the chain's head when it has moved and the last one went `every` ago; whether it did."""
    now = clock.now()
    async with database.connection() as connection:
        head = await audit_chain.head_due(connection, now, every)
    if head is None:
        return False
    committer = Committer(database)
    committer.start()
    try:
        await committer.commit(SYSTEM.id, SYSTEM.environment, [head.hash])
    finally:
        await committer.close()
    # Stopped here: the hash is durable, and known when the head is submitted again.
    async with database.transaction() as tx:
        await audit_chain.note_submitted(tx, head, now)
    return True


async def newest_proof(database: Database, clock: Clock) -> HeadProof:
    """The proof of the newest head that has one. Raises ProofNotYetError when none has."""
    async with database.connection() as connection:
        heads = await audit_chain.submitted_heads(connection, _HEADS_TRIED)
    proofs = Proofs(database, clock)
    for head in heads:
        try:
            payload = json.loads(await proofs.proof(SYSTEM, head.hash, Currency.LOG))
        except ProofNotYetError:
            continue
        named = {"position": head.position, "entryId": head.entry_id}
        body = canonical_json(payload | {"auditHead": named})
        return HeadProof(head, payload["tree"]["timestamp"], body)
    raise ProofNotYetError("no head of the audit log has a proof yet; is a worker running?")


async def verify_log(
    database: Database,
    saved: Sequence[bytes],
    trusted: Policy | None,
    progress: Progress,
) -> AuditReport:
    """Check the whole audit log, in one snapshot.

    1. Every hash of the chain is recomputed, and every entry is in it or waits to be.
    2. Every head that was ever submitted to the timestamp log is in the chain.
    3. Each saved head: its proof verifies by `trusted` (or, without it, by the database's own keys), the
       chain has its hash at its position, and the log still begins as its checkpoint says.

    Not checked: the timestamp log itself; `proof fsck` does.
    """
    async with database.snapshot() as connection:
        chain = await verify_chain(connection, progress)
        findings, heads = list(chain.findings), 0
        async for digests in _submitted(connection):
            heads += len(digests)
            lost = await audit_chain.not_in_chain(connection, digests)
            findings += [
                f"the head {head.hex()} was submitted; the chain lacks it" for head in lost
            ]
        held: list[SavedHead] = []
        for raw in saved:
            try:
                held.append(await _check_saved(connection, raw, trusted))
            except SavedHeadError as error:
                findings.append(error.message)
    return AuditReport(chain, heads, tuple(held), tuple(findings))


async def _submitted(connection: Connection) -> AsyncIterator[list[bytes]]:
    after = b""
    while page := await submission_queries.digests(connection, SYSTEM.id, after, _PAGE):
        yield page
        after = page[-1]


async def _check_saved(connection: Connection, raw: bytes, trusted: Policy | None) -> SavedHead:
    own = [
        parse_verifier_key(text)
        for log in await log_queries.logs(connection, SYSTEM.environment)
        for text in await verifier_keys(connection, log.log_id)
    ]
    try:
        established = verify_payload(raw, policy=trusted or Policy.of_keys(own))
    except RefusedError as error:
        raise SavedHeadError(f"the proof of a saved head is refused: {error}") from None
    position = _position(raw)
    if established.timestamp_ms is None:
        raise SavedHeadError(
            f"the proof of position {position} is signed by no key that is trusted"
        )
    found = await audit_chain.head_at(connection, position)
    if found is None or found.hash != established.leaf:
        holds = found.hash.hex() if found else "nothing"
        raise SavedHeadError(
            f"position {position} was {established.leaf.hex()}; the chain holds {holds} there:"
            " an entry up to it was altered or removed"
        )
    await _require_same_log(connection, position, established)
    return SavedHead(position, found.entry_id, established.timestamp_ms)


async def _require_same_log(
    connection: Connection, position: int, established: Established
) -> None:
    inclusion = established.inclusion
    if inclusion is None:
        raise SavedHeadError(f"the proof of position {position} has no evidence of the log")
    logs = await log_queries.logs(connection, SYSTEM.environment)
    log = next((log for log in logs if log.origin == inclusion.origin), None)
    if log is None:
        raise SavedHeadError(
            f"position {position} was saved with the log {inclusion.origin}, which is not kept here"
        )
    lost = [
        each
        for each in await retired.logs(connection, SYSTEM.environment)
        if each.origin == inclusion.origin and each.kept_size < inclusion.size <= each.size
    ]
    if lost:
        # Its end is not here any more, which the log that follows it says.
        return
    if log.size < inclusion.size:
        raise SavedHeadError(
            f"the log held {inclusion.size} entries when position {position} was saved;"
            f" it holds {log.size}"
        )
    if await root_at(connection, log.log_id, inclusion.size) != inclusion.root:
        raise SavedHeadError(
            f"the first {inclusion.size} entries of the log are not those that pinned"
            f" position {position}"
        )


def _position(raw: bytes) -> int:
    # The verifier has parsed it strictly, so it is one JSON object.
    member = json.loads(raw).get("auditHead")
    position = member.get("position") if isinstance(member, dict) else None
    if type(position) is not int or not 0 < position < 1 << 63:
        raise SavedHeadError("the saved file has no auditHead with a position")
    return position
