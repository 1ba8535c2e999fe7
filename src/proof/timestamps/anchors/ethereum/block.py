"""A block as bytes: its header, and the trie that its transactions stand in.

Sources: Yellow Paper, 4.3 and appendices B to D; EIP-1559, EIP-4895, EIP-4844, EIP-4788, EIP-7685 for
what was added to headers; EIP-2718 for transactions.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from proof.timestamps.anchors.chain import ChainError
from proof.verify.evidence.ethereum import rlp
from proof.verify.evidence.ethereum.keccak import keccak_256

# Scalars are written in the fewest octets, the others as they are. A header ends with the last field its
# fork has.
_SCALARS = frozenset(
    [
        "difficulty",
        "number",
        "gasLimit",
        "gasUsed",
        "timestamp",
        "baseFeePerGas",
        "blobGasUsed",
        "excessBlobGas",
    ]
)
_FIELDS = (
    "parentHash",
    "sha3Uncles",
    "miner",
    "stateRoot",
    "transactionsRoot",
    "receiptsRoot",
    "logsBloom",
    "difficulty",
    "number",
    "gasLimit",
    "gasUsed",
    "timestamp",
    "extraData",
    "mixHash",
    "nonce",
    "baseFeePerGas",
    "withdrawalsRoot",
    "blobGasUsed",
    "excessBlobGas",
    "parentBeaconBlockRoot",
    "requestsHash",
)
_HASH_BYTES = 32
_LEAF, _ODD = 2, 1

# A node of the trie: a leaf's or extension's two items, or a branch's seventeen.
Node = list[rlp.Item]


class UnreadableBlockError(ChainError):
    """The node's answer does not hash to the block it is said to be: a fork we do not know, or a lie."""


def header_bytes(block: Mapping[str, Any]) -> bytes:
    """The RLP of a block's header, from what `eth_getBlockByHash` answers.

    Raises UnreadableBlockError unless it hashes to the block's hash.
    """
    header = rlp.encode(
        [_field(name, block[name]) for name in _FIELDS if block.get(name) is not None]
    )
    if keccak_256(header) != unhex(block["hash"]):
        raise UnreadableBlockError(
            f"block {block['hash']} has a header of a form that is not known here; update Proof"
        )
    return header


def inclusion(raw_transactions: Sequence[bytes], index: int) -> tuple[bytes, list[bytes]]:
    """The root of the trie of a block's transactions, and the nodes from it to the one at `index`."""
    items = sorted(
        (_nibbles(rlp.encode_integer(number)), raw) for number, raw in enumerate(raw_transactions)
    )
    key = _nibbles(rlp.encode_integer(index))
    path: list[bytes] = []
    root = rlp.encode(_node(items, 0, key, path))
    path.insert(0, root)
    return keccak_256(root), path


def _node(
    items: Sequence[tuple[bytes, bytes]], depth: int, key: bytes | None, path: list[bytes]
) -> Node:
    """The node over `items`, which agree in the first `depth` nibbles. Nodes below it that lie on the
    way to `key` go to the front of `path`; None: it does not lead there."""
    if len(items) == 1:
        return [_prefixed(items[0][0][depth:], _LEAF), items[0][1]]
    shared = _shared(items[0][0], items[-1][0])
    if shared > depth:
        below = _reference(items, shared, key, path)
        return [_prefixed(items[0][0][depth:shared], 0), below]
    branch: Node = [b""] * 17
    for nibble in range(16):
        group = [item for item in items if item[0][depth] == nibble]
        if group:
            leads = key if key is not None and key[depth] == nibble else None
            branch[nibble] = _reference(group, depth + 1, leads, path)
    return branch


def _reference(
    items: Sequence[tuple[bytes, bytes]], depth: int, key: bytes | None, path: list[bytes]
) -> rlp.Item:
    """What stands for a node in its parent: its hash, or itself if that is not longer."""
    node = _node(items, depth, key, path)
    encoded = rlp.encode(node)
    if len(encoded) < _HASH_BYTES:
        return node
    if key is not None:
        path.insert(0, encoded)
    return keccak_256(encoded)


def _prefixed(nibbles: bytes, flag: int) -> bytes:
    """Hex-prefix encoding (Yellow Paper, appendix C)."""
    odd = len(nibbles) % 2
    head = bytes((flag | odd, nibbles[0])) if odd else bytes((flag, 0))
    joined = head + nibbles[odd:]
    return bytes(high << 4 | low for high, low in zip(joined[::2], joined[1::2], strict=True))


def _nibbles(key: bytes) -> bytes:
    return bytes(nibble for byte in key for nibble in (byte >> 4, byte & 15))


def _shared(raw: bytes, other: bytes) -> int:
    length = 0
    while length < min(len(raw), len(other)) and raw[length] == other[length]:
        length += 1
    return length


def _field(name: str, value: str) -> bytes:
    if name not in _SCALARS:
        return unhex(value)
    return rlp.integer_bytes(int(value, 16))


def unhex(text: str) -> bytes:
    """Bytes of a 0x-prefixed text."""
    return bytes.fromhex(text.removeprefix("0x"))
