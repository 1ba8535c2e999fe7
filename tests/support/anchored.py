"""Small chains and payloads anchored in them, for tests of the verifier; they share no code with it.

Regtest blocks take two hashes on average to make. The Ethereum trie is built as its definition reads.
"""

import copy
import struct
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from typing import Any

import rlp
from eth_utils.crypto import keccak
from tests.support.signer import branch, plain_path, plain_root, some_leaves

REGTEST_BITS = 0x207FFFFF
REGTEST_GENESIS = bytes.fromhex(
    "0100000000000000000000000000000000000000000000000000000000000000000000003ba3edfd7a7b12b27ac72c3e"
    "67768f617fc81bc3888a51323a9fb8aa4b1e5e4adae5494dffff7f2002000000"
)
GENESIS_TIME_S = 1296688602
CHAIN_ID = 31337
Payload = dict[str, Any]


def double_sha256(data: bytes) -> bytes:
    return sha256(sha256(data).digest()).digest()


def mine(
    previous: bytes, merkle_root: bytes, time_s: int, bits: int = REGTEST_BITS, *, good: bool = True
) -> bytes:
    """A header after the one with hash `previous`, whose work was done, or with `good` False not."""
    target = (bits & 0x7FFFFF) << 8 * ((bits >> 24) - 3)
    for nonce in range(1 << 20):
        header = struct.pack("<i32s32sIII", 4, previous, merkle_root, time_s, bits, nonce)
        if (int.from_bytes(double_sha256(header), "little") <= target) is good:
            return header
    raise AssertionError("no nonce found")


def chain(
    count: int,
    roots: dict[int, bytes] | None = None,
    seed: int = 0,
    start_s: int = GENESIS_TIME_S,
) -> list[bytes]:
    """`count` regtest headers from the first block on, ten minutes apart from `start_s`; `roots` are Merkle
    roots at given heights."""
    headers = [REGTEST_GENESIS]
    while len(headers) < count:
        height = len(headers)
        root = (roots or {}).get(height, sha256(b"%d %d" % (seed, height)).digest())
        headers.append(mine(double_sha256(headers[-1]), root, start_s + 600 * height))
    return headers


def header_file(headers: Sequence[bytes], network: str = "regtest", start: int = 0) -> bytes:
    return f"proof-headers/1 {network} {start}\n".encode() + b"".join(headers)


def transaction(carried: bytes, *, witness: bool = False, outputs: Sequence[bytes] = ()) -> bytes:
    """One input, a payment, an OP_RETURN with one root or two, and further `outputs` (scripts)."""
    scripts = [b"\x00\x14" + bytes(20), bytes([0x6A, len(carried)]) + carried, *outputs]
    body = b"\x01" + sha256(b"coin").digest() + struct.pack("<I", 1) + b"\x00" + b"\xfd\xff\xff\xff"
    body += bytes([len(scripts)])
    for script in scripts:
        body += struct.pack("<Q", 1000) + bytes([len(script)]) + script
    if not witness:
        return struct.pack("<i", 2) + body + bytes(4)
    signature = b"\x02\x47" + bytes(71) + b"\x21" + bytes(33)
    return struct.pack("<i", 2) + b"\x00\x01" + body + signature + bytes(4)


def merkle(txids: Sequence[bytes], index: int) -> tuple[bytes, list[bytes]]:
    """The Merkle root of a block and the path of one of its transactions."""
    level, path = list(txids), []
    while len(level) > 1:
        level += level[-1:] * (len(level) % 2)
        path.append(level[index ^ 1])
        level = [double_sha256(a + b) for a, b in zip(level[::2], level[1::2], strict=True)]
        index //= 2
    return level[0], path


@dataclass(frozen=True)
class Anchored:
    """A payload and the chain that holds it: a header file of 12 blocks, ours at height 7."""

    payload: Payload
    headers: tuple[bytes, ...]

    @property
    def file(self) -> bytes:
        return header_file(self.headers)

    def changed(self) -> Payload:
        return copy.deepcopy(self.payload)


def bitcoin(
    leaf_count: int = 5,
    leaf_index: int = 2,
    transactions: int = 7,
    index: int = 3,
    *,
    witness: bool = False,
    height: int = 7,
    foreign: bool = False,
    about: str | None = None,
    start_s: int = GENESIS_TIME_S,
) -> Anchored:
    """A whole valid payload with `bitcoin` evidence on regtest; `foreign`: of somebody whose transactions
    carry the root alone. It is about the leaf `about`, or about the one at `leaf_index` of some that are
    always the same."""
    leaves = some_leaves(leaf_count, about)
    leaf_index = leaf_index if about is None else leaves.index(about)
    node = branch(leaves, leaf_index)
    raw_leaves = [bytes.fromhex(leaf) for leaf in leaves]
    carried = bytes.fromhex(node["sha256"])
    plain = {} if foreign else {"plainPath": [plain_path(raw_leaves, leaf_index)]}
    if not foreign:
        carried += plain_root(raw_leaves)
    txids = [sha256(b"transaction %d" % n).digest() for n in range(transactions)]
    txids[index] = double_sha256(transaction(carried))
    merkle_root, path = merkle(txids, index)
    headers = chain(12, {height: merkle_root}, start_s=start_s)
    payload = {
        "sha256": leaves[leaf_index],
        "tree": {
            "treeId": "eada2ff6-dc26-4c50-ba47-b5865d1ca6bd",
            "currencyId": 0,
            "currency": "BTC",
            "submitStatus": 3,
            "timestamp": (start_s + 600 * height) * 1000,
            "rootSha256": node["sha256"],
            "transaction": txids[index][::-1].hex(),
        },
        "branch": node,
        "evidence": {
            "type": "bitcoin",
            "network": "regtest",
            "height": height,
            "header": headers[height].hex(),
            "transaction": transaction(carried, witness=witness).hex(),
            "index": index,
            "path": [node.hex() for node in path],
            **plain,
        },
    }
    return Anchored(payload, tuple(headers))


def rebuilt(
    payload: Payload, raw: bytes, path: list[bytes] | None = None, index: int = 0
) -> Payload:
    """The payload around another transaction in a block of its own, consistent but for the attack."""
    txid = double_sha256(raw)
    root, given_path = merkle([txid], 0) if path is None else (b"", path)
    if path is not None:
        root, position = txid, index
        for sibling in path:
            root = double_sha256(sibling + root if position & 1 else root + sibling)
            position >>= 1
    header = mine(bytes(32), root, GENESIS_TIME_S + 4200)
    payload["evidence"] |= {
        "header": header.hex(),
        "transaction": raw.hex(),
        "path": [node.hex() for node in given_path],
        "index": index,
    }
    payload["tree"]["transaction"] = txid[::-1].hex()
    return payload


# Ethereum


def eth_account() -> Any:
    """eth-account's Account. Importing it takes as long as collecting all tests of a chain, so only those
    who sign do. It raises the interpreter's limit of recursion, which Hypothesis takes for a fault while it
    draws, and which is not ours to raise for other tests: it is put back."""
    limit = sys.getrecursionlimit()
    from eth_account import Account

    sys.setrecursionlimit(limit)
    return Account


@cache
def signed_transaction(data: bytes, nonce: int = 0, *, legacy: bool = False) -> bytes:
    """A signed transaction as nodes broadcast it, which is as blocks hold it."""
    fields: dict[str, Any] = {
        "to": "0x" + "11" * 20,
        "value": 0,
        "gas": 30_000,
        "nonce": nonce,
        "chainId": CHAIN_ID,
        "data": "0x" + data.hex(),
    }
    fees = (
        {"gasPrice": 10**9}
        if legacy
        else {"type": 2, "maxFeePerGas": 2 * 10**9, "maxPriorityFeePerGas": 10**9}
    )
    return bytes(eth_account().sign_transaction(fields | fees, b"\x01" * 32).raw_transaction)


class Trie:
    """A Merkle Patricia trie of (key, value) pairs; nodes are made from below, as defined."""

    def __init__(self, values: dict[bytes, bytes]) -> None:
        pairs = [(_nibbles(key), value) for key, value in values.items()]
        self._tree = self._node(pairs)
        self.root = keccak(rlp.encode(self._tree))

    def path(self, key: bytes) -> list[bytes]:
        """The hashed nodes from the root down to the key's value."""
        nodes = [rlp.encode(self._tree)]
        node, rest = self._tree, _nibbles(key)
        while True:
            if len(node) == 17:
                if not rest:
                    return nodes
                child, rest = node[rest[0]], rest[1:]
            else:
                flag = node[0][0] >> 4
                used = 2 * (len(node[0]) - 1) + flag % 2
                rest = rest[used:]
                if flag >= 2:
                    return nodes
                child = node[1]
            if isinstance(child, bytes):
                nodes.append(self._stored[child])
                child = rlp.decode(self._stored[child])
            node = child

    def _node(self, pairs: list[tuple[list[int], bytes]]) -> list[Any]:
        if not hasattr(self, "_stored"):
            self._stored: dict[bytes, bytes] = {}
        if len(pairs) == 1:
            return [_hex_prefix(pairs[0][0], leaf=True), pairs[0][1]]
        shared = 0
        first = pairs[0][0]
        while all(len(key) > shared and key[shared] == first[shared] for key, _ in pairs):
            shared += 1
        if shared:
            rest = [(key[shared:], value) for key, value in pairs]
            return [_hex_prefix(first[:shared], leaf=False), self._child(self._node(rest))]
        children: list[Any] = [b""] * 17
        for digit in range(16):
            below = [(key[1:], value) for key, value in pairs if key and key[0] == digit]
            if below:
                children[digit] = self._child(self._node(below))
        children[16] = next((value for key, value in pairs if not key), b"")
        return children

    def _child(self, node: list[Any]) -> Any:
        raw = rlp.encode(node)
        if len(raw) < 32:
            return node
        self._stored[keccak(raw)] = raw
        return keccak(raw)


def ethereum_header(transactions_root: bytes, time_s: int, number: int = 19) -> bytes:
    fields = [
        sha256(b"parent").digest(), keccak(rlp.encode([])), bytes(20), sha256(b"state").digest(),
        transactions_root, sha256(b"receipts").digest(), bytes(256), 0, number, 30_000_000, 21_000,
        time_s, b"geth", sha256(b"randao").digest(), bytes(8), 7, sha256(b"withdrawals").digest(),
        0, 0, sha256(b"beacon").digest(),
    ]  # fmt: skip
    return bytes(rlp.encode(fields))


def ethereum(
    transactions: int = 3,
    index: int = 1,
    *,
    legacy: bool = False,
    time_s: int = 1_770_000_000,
    foreign: bool = False,
) -> Payload:
    """A whole valid payload with `ethereum` evidence; `foreign` as for Bitcoin."""
    leaves = sorted(sha256(str(n).encode()).hexdigest() for n in range(5))
    node = branch(leaves, 2)
    held = [signed_transaction(b"other", nonce) for nonce in range(transactions)]
    carried = bytes.fromhex(node["sha256"])
    if not foreign:
        carried += plain_root([bytes.fromhex(leaf) for leaf in leaves])
    held[index] = signed_transaction(carried, index, legacy=legacy)
    trie = Trie({rlp.encode(n): raw for n, raw in enumerate(held)})
    header = ethereum_header(trie.root, time_s)
    return {
        "sha256": leaves[2],
        "tree": {
            "treeId": "eada2ff6-dc26-4c50-ba47-b5865d1ca6bd",
            "currencyId": 1,
            "currency": "ETH",
            "submitStatus": 3,
            "timestamp": time_s * 1000,
            "rootSha256": node["sha256"],
            "transaction": "0x" + keccak(held[index]).hex(),
        },
        "branch": node,
        "evidence": {
            "type": "ethereum",
            "chainId": CHAIN_ID,
            "header": header.hex(),
            "index": index,
            "proof": [node.hex() for node in trie.path(rlp.encode(index))],
        },
    }


def _nibbles(key: bytes) -> list[int]:
    return [int(digit, 16) for digit in key.hex()]


def _hex_prefix(nibbles: list[int], *, leaf: bool) -> bytes:
    flag = (2 if leaf else 0) + len(nibbles) % 2
    digits = [flag, *([] if len(nibbles) % 2 else [0]), *nibbles]
    return bytes.fromhex("".join(f"{digit:x}" for digit in digits))
