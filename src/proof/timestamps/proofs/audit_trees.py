"""fsck of chain trees: each is built again from its rounds' roots and the checkpoint it pins."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

from proof.db import Connection
from proof.timestamps.anchors.chain import ChainError
from proof.timestamps.anchors.soundness import require_sound
from proof.timestamps.proofs.queries import tree_from
from proof.timestamps.trees import aggregation_queries
from proof.timestamps.trees.aggregation import Checkpoint
from proof.timestamps.trees.merkle import build
from proof.timestamps.types import SubmitStatus

_SEALED = """
SELECT t.id, t.environment, t.currency_id, t.status, t.root, t.transaction, t.timestamp_ms,
       t.leaf_count, t.block, t.evidence, t.checkpoint_size, c.note
FROM trees t LEFT JOIN log_checkpoints c
    ON c.environment = t.environment AND c.size = t.checkpoint_size
WHERE t.closed_at IS NOT NULL AND t.root IS NOT NULL
ORDER BY t.closed_at
"""


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
    checkpoint = Checkpoint(row["checkpoint_size"], row["note"].encode())
    found = await aggregation_queries.leaves(connection, row["id"], checkpoint.leaf)
    tree = await asyncio.to_thread(build, found["leaves"])
    if (tree.leaf_count, tree.root) != (row["leaf_count"], row["root"]):
        return (
            f"its {tree.leaf_count} leaves make the root {tree.root.hex()}, its row says"
            f" {row['leaf_count']} and {row['root'].hex()}"
        )
    stored = await connection.fetch(
        "SELECT level, position, hashes FROM tree_tiles WHERE tree_id = $1", row["id"]
    )
    if {(r["level"], r["position"], r["hashes"]) for r in stored} != set(tree.tiles()):
        return "its tiles are not those its rounds make"
    return _evidence_problem(row)


def _evidence_problem(row: Any) -> str | None:
    if row["status"] != SubmitStatus.VERIFIED:
        return None
    try:
        require_sound(tree_from(row), json.loads(row["evidence"]), row["block"])
    except ChainError as error:
        return error.message
    return None
