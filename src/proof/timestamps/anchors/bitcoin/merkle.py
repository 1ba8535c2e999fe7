"""The Merkle path of a transaction in its block. Pure.

Source: the Bitcoin developer reference, "Merkle Trees".
"""

from collections.abc import Sequence

from proof.verify.evidence.bitcoin.header import double_sha256


def merkle_path(txids: Sequence[bytes], index: int) -> list[bytes]:
    """The siblings from the transaction at `index`, counted from 0, up to the block's Merkle root.

    Hashes are in the order SHA-256 gives them. An odd last node is its own sibling.
    """
    path: list[bytes] = []
    level = list(txids)
    while len(level) > 1:
        if len(level) % 2:
            level.append(level[-1])
        path.append(level[index ^ 1])
        level = [double_sha256(level[i] + level[i + 1]) for i in range(0, len(level), 2)]
        index >>= 1
    return path
