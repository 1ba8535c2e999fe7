"""Both roots of trees of 1 to 1,000 leaves, as the textbook has them, for other implementations.

python -m tests.support.root_vectors     writes tests/vectors/roots.json
"""

import json
from hashlib import sha256
from pathlib import Path

from tests.support.signer import merkle_levels, plain_root

FILE = Path(__file__).parents[1] / "vectors" / "roots.json"
SIZES = 1_000
ROUNDS = 50
CHECKPOINT = sha256(b"checkpoint").digest()

_RULE = (
    "The leaves of n are SHA-256 of the texts 0 to n-1 in decimal, ascending. rounds[n-1]: root and plain"
    " root over them. chain_trees[k-1]: root and plain root of the tree over rounds 1 to k and"
    " SHA-256 of the text checkpoint, by ascending root; README.md says how."
)


def leaves(count: int) -> list[bytes]:
    return sorted(sha256(str(number).encode()).digest() for number in range(count))


def chain_leaves(rounds: list[tuple[bytes, bytes]]) -> tuple[list[bytes], list[bytes]]:
    """What stands in both trees over these rounds' roots and the checkpoint."""
    pairs = sorted([*rounds, (CHECKPOINT, CHECKPOINT)])
    return [root for root, _ in pairs], [plain for _, plain in pairs]


def main() -> None:
    rounds = [_roots(leaves(count), leaves(count)) for count in range(1, SIZES + 1)]
    trees = [_roots(*chain_leaves(rounds[:count])) for count in range(1, ROUNDS + 1)]
    lines = [
        f' "{name}": [\n  '
        + ",\n  ".join(json.dumps([root.hex(), plain.hex()]) for root, plain in found)
        + "\n ]"
        for name, found in (("rounds", rounds), ("chain_trees", trees))
    ]
    FILE.write_text("{\n" + f' "rule": {json.dumps(_RULE)},\n' + ",\n".join(lines) + "\n}\n")


def _roots(ascending: list[bytes], plain: list[bytes]) -> tuple[bytes, bytes]:
    levels = merkle_levels([leaf.hex() for leaf in ascending])
    return bytes.fromhex(levels[-1][0]), plain_root(plain)


if __name__ == "__main__":
    main()
