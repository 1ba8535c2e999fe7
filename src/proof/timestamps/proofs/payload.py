"""The proof payload of the contract. Pure."""

from collections.abc import Sequence

from proof.timestamps.trees.merkle import Step
from proof.timestamps.types import Tree
from proof.verify.merkle import parent

Node = dict[str, object]


def payload(
    leaf: bytes, tree: Tree, steps: Sequence[Step], evidence: dict[str, object]
) -> dict[str, object]:
    """`steps` lead from the leaf to the root of `tree`, from below."""
    return {
        "sha256": leaf.hex(),
        "tree": tree.wire(),
        "branch": branch(leaf, steps),
        "evidence": evidence,
    }


def branch(leaf: bytes, steps: Sequence[Step]) -> Node:
    """The nested nodes of a path: each names both its children and expands the one on the path."""
    node: Node = {"sha256": leaf.hex(), "depth": len(steps)}
    for depth, (step, above) in zip(
        range(len(steps) - 1, -1, -1), _with_parent(steps), strict=True
    ):
        # The last node of an odd level is its own sibling; the left copy is the one to expand.
        side = "right" if step.from_right and step.left != step.right else "left"
        node = {
            "sha256": above.hex(),
            "depth": depth,
            "leftSha256": step.left.hex(),
            "rightSha256": step.right.hex(),
            side: node,
        }
    return node


def _with_parent(steps: Sequence[Step]) -> list[tuple[Step, bytes]]:
    return [(step, parent(step.left, step.right)) for step in steps]
