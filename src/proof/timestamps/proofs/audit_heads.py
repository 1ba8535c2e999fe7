"""Heads of the audit chain in the timestamp log.

The hash of every position is a head: it is submitted like any partner's hash, by an owner without
credentials. Once a checkpoint holds it and somebody outside keeps its proof, nobody can rewrite the audit
log before it unseen: not the operator's database administrator, nor whoever has the signing keys
afterwards. And its entry alone, with the hash before it, shows when it was there, and nothing of any other
entry: a path from it to a later head would show what others did.
"""

import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from proof.core.canonical import canonical_json
from proof.core.clock import Clock
from proof.core.errors import ProofError
from proof.db import Connection, Database
from proof.partners import audit_chain
from proof.partners.audit import Entry
from proof.partners.audit_chain import SYSTEM, Head, Progress, VerifiedChain, verify_chain
from proof.timestamps.anchors.log import queries as log_queries
from proof.timestamps.anchors.log import retired
from proof.timestamps.anchors.log.keys import verifier_keys
from proof.timestamps.anchors.log.service import root_at
from proof.timestamps.proofs.errors import (
    ProofNotYetError,
    UnknownHashError,
    UnsoundProofError,
)
from proof.timestamps.proofs.service import Proofs
from proof.timestamps.submissions import queries as submission_queries
from proof.timestamps.submissions.committer import Committer
from proof.timestamps.types import Currency, SubmitStatus
from proof.verify import Established, Policy, RefusedError, parse_verifier_key, verify_payload
from proof.verify.audit import FORMAT, signed_text, verify_audit
from proof.verify.files import looks_like_audit_proof

HEADS_AT_ONCE = 1_000

_BEYOND_ANY = 2**63 - 1

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
class EntryProof:
    """The proof of one entry, to give to whom it concerns."""

    entry: Entry
    head: Head
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


class HeadSubmitter:
    """Submits the hash of every position of the chain, each exactly once whoever else does so too.

    What is noted before `_done` is not read again while the process lives; the first steps of a process
    go through the chain from its beginning, so what was chained before is submitted as well.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._done = 0

    async def step(self) -> bool:
        """Submit what is not noted of the next positions; whether there may be more."""
        async with self._database.connection() as connection:
            page = await audit_chain.heads_after(connection, self._done, HEADS_AT_ONCE)
        heads = [head for head, noted in page if not noted]
        if heads:
            await self._submit(heads)
        if page:
            self._done = page[-1][0].position
        return len(page) == HEADS_AT_ONCE

    async def _submit(self, heads: Sequence[Head]) -> None:
        committer = Committer(self._database)
        committer.start()
        try:
            await committer.commit(SYSTEM.id, SYSTEM.environment, [head.hash for head in heads])
        finally:
            await committer.close()
        # Stopped here: the hashes are durable, and known when they are submitted again.
        async with self._database.transaction() as tx:
            await audit_chain.note_submitted(tx, heads, self._clock.now())


async def newest_proof(database: Database, clock: Clock) -> HeadProof:
    """The proof of a head that has one: of the newest, or else of one farther and farther back, since more
    than a few wait only while the log signs nothing. Raises ProofNotYetError when none is found."""
    proofs = Proofs(database, clock)
    position, back = _BEYOND_ANY, 1
    while head := await _submitted_head(database, position):
        try:
            payload = json.loads(await proofs.proof(SYSTEM, head.hash, Currency.LOG))
        except ProofNotYetError:
            position, back = head.position - back, 2 * back
            continue
        named = {"position": head.position, "entryId": head.entry_id}
        body = canonical_json(payload | {"auditHead": named})
        return HeadProof(head, payload["tree"]["timestamp"], body)
    raise ProofNotYetError("no head of the audit log has a proof yet; is a worker running?")


async def _submitted_head(database: Database, position: int) -> Head | None:
    async with database.connection() as connection:
        return await audit_chain.submitted_head(connection, position)


async def entry_proof(
    database: Database, clock: Clock, entry_id: int, sign: Callable[[bytes], str]
) -> EntryProof:
    """The proof of one entry, of format `proof-audit/1`: the entry whole, the hash before it, a proof of
    its position's hash in each chain that has one, the log's first, and the note that `sign` makes of a
    text. It shows nothing of other entries.

    Raises NotFoundError; ProofNotYetError while it waits to be chained or proved; UnsoundProofError for
    an entry that does not make its hash any more.
    """
    async with database.connection() as connection:
        link = await audit_chain.link_of(connection, entry_id)
    if link is None:
        raise ProofNotYetError(f"entry {entry_id} waits to be chained; is a worker running?")
    if problem := link.problem():
        raise UnsoundProofError(f"{problem}; see `proof audit verify`")
    assert link.entry is not None
    entry, position = audit_chain.wire(link.entry), link.head.position
    body = canonical_json(
        {
            "format": FORMAT,
            "entry": entry,
            "position": position,
            "previous": link.previous.hex(),
            "signature": sign(signed_text(entry, position, link.head.hash)),
            "proofs": await _payloads(Proofs(database, clock), link.head),
        }
    )
    try:
        verify_audit(body)
    except RefusedError as error:
        raise UnsoundProofError(f"the proof of entry {entry_id} is refused: {error}") from error
    return EntryProof(link.entry, link.head, body)


async def _payloads(proofs: Proofs, head: Head) -> list[object]:
    try:
        status = await proofs.status(SYSTEM, head.hash)
    except UnknownHashError:
        raise ProofNotYetError(
            f"entry {head.entry_id} waits to be stamped; is a worker running?"
        ) from None
    verified = {t.currency for t in status.trees if t.status is SubmitStatus.VERIFIED}
    if Currency.LOG not in verified:
        raise ProofNotYetError(
            f"entry {head.entry_id} is not in a checkpoint of the log yet; ask again in a few seconds"
        )
    by_chain = sorted(verified, key=lambda currency: (currency is not Currency.LOG, currency))
    return [json.loads(await proofs.proof(SYSTEM, head.hash, each)) for each in by_chain]


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
        findings, heads, lost = list(chain.findings), 0, list[bytes]()
        async for digests in _submitted(connection):
            heads += len(digests)
            lost += await audit_chain.not_in_chain(connection, digests)
        if lost:
            findings.append(_lost_heads(len(lost), min(lost).hex()))
        held: list[SavedHead] = []
        for raw in saved:
            try:
                held.append(await _check_saved(connection, raw, trusted))
            except SavedHeadError as error:
                findings.append(error.message)
    return AuditReport(chain, heads, tuple(held), tuple(findings))


def _lost_heads(count: int, head: str) -> str:
    if count == 1:
        return f"the head {head} was submitted; the chain lacks it"
    return f"{count} heads were submitted that the chain lacks; one is {head}"


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
        position, established = _read_saved(raw, trusted or Policy.of_keys(own))
    except RefusedError as error:
        raise SavedHeadError(f"the proof of a saved head is refused: {error}") from None
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


def _read_saved(raw: bytes, trusted: Policy) -> tuple[int, Established]:
    """The position that was saved, and its proof in the log: of a head, or of one entry."""
    if looks_like_audit_proof(raw):
        entry = verify_audit(raw, policy=trusted)
        return entry.position, next(filter(_in_log, entry.proofs), entry.proofs[0])
    established = verify_payload(raw, policy=trusted)
    return _position(raw), established


def _in_log(established: Established) -> bool:
    return established.inclusion is not None


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
