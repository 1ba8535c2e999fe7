"""fsck: rebuild everything from the leaves and compare.

Trust in the stored roots, tiles and heads is not assumed: each round's two trees are built again from its
submissions, each log from its entries, the two trees of a chain's turn from its rounds' roots and the
checkpoint they pin; each checkpoint is verified under the log's own keys, a retired log's last one with
its successor's first entry, and each tree's evidence by the verifier.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from proof.core.note_keys import ed25519_verify, mldsa44_verify
from proof.db import Connection, Database
from proof.partners.types import Environment
from proof.timestamps.anchors.chain import ChainError
from proof.timestamps.anchors.log import queries as log_queries
from proof.timestamps.anchors.log import retired
from proof.timestamps.anchors.log.final import signed_body
from proof.timestamps.anchors.log.keys import verifier_keys
from proof.timestamps.anchors.log.retired import RetiredLog
from proof.timestamps.anchors.log.service import root_at
from proof.timestamps.anchors.log.tree import TileName, append, reader, root
from proof.timestamps.anchors.log.verifiers import policy_for
from proof.timestamps.anchors.soundness import require_sound
from proof.timestamps.proofs.audit_witnesses import WitnessMemory, witness_memories
from proof.timestamps.proofs.queries import tree_from
from proof.timestamps.trees import aggregation
from proof.timestamps.trees import queries as tree_queries
from proof.timestamps.trees.aggregation import Checkpoint
from proof.timestamps.trees.merkle import RoundTree, Tile, build
from proof.timestamps.types import Currency, Roots, SubmitStatus
from proof.verify import RefusedError, parse_verifier_key, verify_checkpoint
from proof.verify.evidence.log.note import VerifierKey
from proof.verify.evidence.log.rfc6962 import leaf_hash
from proof.verify.evidence.log.succession import verify_succession

_SEALED = """
SELECT t.id, t.environment, t.currency_id, t.status, t.root, t.plain_root, t.transaction, t.timestamp_ms,
       t.leaf_count, t.block, t.evidence, t.checkpoint_log_id, t.checkpoint_size,
       c.note
FROM trees t LEFT JOIN log_checkpoints c
    ON c.log_id = t.checkpoint_log_id AND c.size = t.checkpoint_size
WHERE t.closed_at IS NOT NULL AND t.root IS NOT NULL
ORDER BY t.closed_at
"""
# What a round's tree says of itself once a checkpoint holds its entry: the first that does gives the time.
_OTHER_LOG_TREES = """
SELECT t.id FROM log_entries e
JOIN logs l ON l.id = e.log_id
JOIN round_trees rt ON rt.round_id = e.round_id
JOIN trees t ON t.id = rt.tree_id AND t.currency_id = $2 AND t.status = 3
LEFT JOIN LATERAL (
    SELECT signed_at FROM log_checkpoints c
    WHERE c.log_id = e.log_id AND c.size > e.position ORDER BY c.size LIMIT 1
) first ON true
WHERE e.log_id = $1 AND (l.retired_at IS NULL OR signed_at IS NOT NULL)
  AND (t.root, t.plain_root, t.transaction, t.timestamp_ms) IS DISTINCT FROM
      (e.root, e.plain_root, e.position::text, (extract(epoch FROM signed_at)::bigint + 1) * 1000)
"""
_PAGE = 1_000
Progress = Callable[[str, int, int], None]


async def tree_problems(
    connection: Connection, progress: Callable[[str, int, int], None]
) -> list[tuple[str, str]]:
    """(which tree, what differs) of every sealed chain tree that is not as its rounds say.

    `progress` is told (what, done, of how many).
    """
    rows = await connection.fetch(_SEALED)
    problems = []
    for done, row in enumerate(rows, 1):
        problem = await _problem(connection, row)
        if problem:
            problems.append((f"tree {row['id']}", problem))
        progress("trees", done, len(rows))
    return problems


async def _problem(connection: Connection, row: Any) -> str | None:
    if row["note"] is None:
        return f"there is no checkpoint of {row['checkpoint_size']} entries, which it pins"
    checkpoint = Checkpoint(row["checkpoint_log_id"], row["checkpoint_size"], row["note"].encode())
    found = await aggregation.leaves(connection, row["id"], checkpoint.leaf)
    tree = await asyncio.to_thread(build, found["leaves"], found["plain_leaves"])
    stored = await connection.fetch(
        "SELECT level, position, hashes, plain FROM tree_tiles WHERE tree_id = $1", row["id"]
    )
    return _tree_problem(tree, row, stored) or _evidence_problem(row)


def _tree_problem(tree: RoundTree, row: Any, stored: Sequence[Any]) -> str | None:
    """What differs between the trees that leaves make and what is stored of them."""
    if tree.leaf_count != row["leaf_count"]:
        return f"has {tree.leaf_count} leaves, its row says {row['leaf_count']}"
    kept = Roots(row["root"], row["plain_root"])
    for name, made, said in zip(("root", "plain root"), tree.roots, kept, strict=True):
        if made != said:
            return f"its leaves make the {name} {made.hex()}, its row says {said.hex()}"
    if {Tile(*each) for each in stored} != set(tree.tiles()):
        return "its tiles are not those its leaves make"
    return None


def _evidence_problem(row: Any) -> str | None:
    if row["status"] != SubmitStatus.VERIFIED:
        return None
    try:
        require_sound(tree_from(row), json.loads(row["evidence"]), row["block"])
    except ChainError as error:
        return error.message
    return None


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as its leaves say."""

    where: str
    what: str


@dataclass(frozen=True, slots=True)
class Audit:
    """What was compared, and what was found."""

    rounds: int
    leaves: int
    entries: int
    checkpoints: int
    witnesses: tuple[WitnessMemory, ...]
    findings: tuple[Finding, ...]


async def fsck(database: Database, progress: Progress) -> Audit:
    """Compare all sealed rounds and all logs with what their leaves make of them, and with what their
    witnesses hold.

    `progress` is told (what, done, of how many). Nothing is changed.
    """
    findings: list[Finding] = []
    # One snapshot, so that work going on meanwhile is not taken for damage.
    async with database.snapshot() as connection:
        rounds, leaves = await _rounds(connection, findings, progress)
        entries = checkpoints = 0
        for environment in Environment:
            await _successions(connection, environment, findings)
        for log in await log_queries.logs(connection):
            entries += await _log(connection, log, findings)
            checkpoints += await _checkpoints(connection, log, findings, progress)
            for row in await connection.fetch(_OTHER_LOG_TREES, log.log_id, Currency.LOG):
                what = "it says other than its entry and the first checkpoint over it"
                findings.append(Finding(f"tree {row['id']}", what))
        findings += [
            Finding(where, what) for where, what in await tree_problems(connection, progress)
        ]
        await _strays(connection, findings)
    memories = await witness_memories(database)
    findings += [Finding(f"witness {each.url}", each.problem) for each in memories if each.problem]
    return Audit(rounds, leaves, entries, checkpoints, tuple(memories), tuple(findings))


async def _rounds(
    connection: Connection, findings: list[Finding], progress: Progress
) -> tuple[int, int]:
    total = await connection.fetchval("SELECT count(*) FROM rounds WHERE sealed_at IS NOT NULL")
    done = leaves = 0
    async for page in _pages(connection):
        for row in page:
            problem = await _round_problem(connection, row)
            if problem:
                findings.append(Finding(f"round {row['id']}", problem))
            done, leaves = done + 1, leaves + row["leaf_count"]
        progress("rounds", done, total)
    return done, leaves


async def _pages(connection: Connection) -> AsyncIterator[list[Any]]:
    after = 0
    while page := await connection.fetch(
        "SELECT id, root, plain_root, leaf_count FROM rounds"
        " WHERE sealed_at IS NOT NULL AND id > $1 ORDER BY id LIMIT $2",
        after,
        _PAGE,
    ):
        yield page
        after = page[-1]["id"]


async def _round_problem(connection: Connection, row: Any) -> str | None:
    leaves = await tree_queries.leaves(connection, row["id"])
    tree = await asyncio.to_thread(build, leaves)
    stored = await connection.fetch(
        "SELECT level, position, hashes, plain FROM round_tiles WHERE round_id = $1", row["id"]
    )
    return _tree_problem(tree, row, stored)


async def _log(connection: Connection, head: log_queries.Head, findings: list[Finding]) -> int:
    size = 0
    tiles: dict[TileName, bytes] = {}
    while size < head.size:
        entries = await log_queries.entries(connection, head.log_id, size, _PAGE)
        if not entries:
            break
        tiles |= append(size, tiles, list(map(leaf_hash, entries)))
        size += len(entries)
    if size != head.size:
        findings.append(
            Finding(f"{head.label} log", f"has {size} entries, its head says {head.size}")
        )
    elif root(size, reader(tiles)) != head.root:
        findings.append(
            Finding(f"{head.label} log", "its entries do not make the root of its head")
        )
    elif await log_queries.tiles(connection, head.log_id, tiles) != tiles:
        findings.append(Finding(f"{head.label} log", "its tiles are not those its entries make"))
    return size


async def _checkpoints(
    connection: Connection, log: log_queries.Head, findings: list[Finding], progress: Progress
) -> int:
    keys = [parse_verifier_key(text) for text in await verifier_keys(connection, log.log_id)]
    policies = await log_queries.policies(connection, log.log_id)
    rows = await connection.fetch(
        "SELECT size, note, signed_at FROM log_checkpoints WHERE log_id = $1 ORDER BY size",
        log.log_id,
    )
    for done, row in enumerate(rows, 1):
        where = f"{log.label} checkpoint {row['size']}"
        try:
            checkpoint = verify_checkpoint(row["note"].encode(), keys)
        except RefusedError as error:
            findings.append(Finding(where, str(error)))
            continue
        if checkpoint.root != await root_at(connection, log.log_id, row["size"]):
            findings.append(Finding(where, "its root is not that of the log's entries"))
        if not _published(row, policies, keys):
            findings.append(Finding(where, "it lacks the quorum of the policy it was published by"))
        if checkpoint.cosigned_time_s != row["signed_at"].timestamp():
            findings.append(
                Finding(where, f"its row says that it was signed at {row['signed_at']}")
            )
        progress(f"{log.label} checkpoints", done, len(rows))
    return len(rows)


async def _successions(connection: Connection, environment: str, findings: list[Finding]) -> None:
    """Closed logs whose final checkpoint is not theirs, or not the one that their successor begins with."""
    logs = {log.origin: log for log in await log_queries.logs(connection, environment)}
    for log in await retired.logs(connection, environment):
        problem = await _succession_problem(connection, log, logs[log.successor])
        if problem:
            findings.append(Finding(f"{environment} log {log.number}", problem))


async def _succession_problem(
    connection: Connection, log: RetiredLog, successor: log_queries.Head
) -> str | None:
    log_key = parse_verifier_key((await verifier_keys(connection, log.log_id))[0])
    body = signed_body(log.note, log_key)
    if body is None or (body.size, body.root) != (log.size, log.root):
        return "its final checkpoint is not one that its key signed"
    newest = await log_queries.newest_checkpoint(connection, log.log_id)
    if newest is not None and newest["size"] > log.size:
        return f"it was closed at {log.size} entries, and {newest['size']} were published"
    if log.kept_size == log.size and await root_at(connection, log.log_id, log.size) != log.root:
        return "its entries do not make the root of its final checkpoint"
    first = await log_queries.entries(connection, successor.log_id, 0, 1)
    try:
        kept = verify_succession(log.note, b"".join(first))
    except RefusedError as error:
        return f"the log that follows begins otherwise: {error}"
    if kept != log.kept_size:
        return f"{log.kept_size} of its entries were kept, and the log that follows says {kept}"
    return None


def _published(
    row: Any, policies: Sequence[tuple[int, bytes]], keys: Sequence[VerifierKey]
) -> bool:
    """Whether a checkpoint has the cosignatures of its policy."""
    published_by = next((text for size, text in reversed(policies) if size <= row["size"]), None)
    try:
        checkpoint = verify_checkpoint(
            row["note"].encode(), policy_for([keys], published_by), ed25519_verify, mldsa44_verify
        )
    except RefusedError:
        return False
    return checkpoint.quorum_reached


async def _strays(connection: Connection, findings: list[Finding]) -> None:
    """Submissions of rounds that do not exist, and entries that are not their round's roots."""
    lost = await connection.fetchval(
        "SELECT count(*) FROM submissions s WHERE NOT EXISTS"
        " (SELECT FROM rounds r WHERE r.id = s.round_id"
        " AND r.partner_environment_id = s.partner_environment_id)"
    )
    if lost:
        findings.append(Finding("submissions", f"{lost} belong to no round of their owner"))
    wrong = await connection.fetchval(
        "SELECT count(*) FROM log_entries e JOIN rounds r ON r.id = e.round_id"
        " WHERE (r.root, r.plain_root) <> (e.root, e.plain_root)"
    )
    if wrong:
        findings.append(Finding("log entries", f"{wrong} are not the roots of their round"))
