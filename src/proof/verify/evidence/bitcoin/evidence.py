"""Evidence of type `bitcoin`: a transaction carries the root, and a block holds the transaction.

    {"type": "bitcoin", "network", "height", "header": hex80, "transaction": hex, "index", "path": [hex…],
     "plainPath": [[…]…]}

`header` and `transaction` are the bytes of the network; the hashes of `path`, from the transaction
upwards, stand in the order SHA-256 gives them, not reversed as people write them. `network` is named
as `getblockchaininfo` names it. `plainPath`, which may be absent, leads from the leaf to the plain root
that the transaction carries behind the root (`proof.verify.plain`).

Sources: the timestamp API contract, "POST /v1/proof" (evidence); Bitcoin Core `src/consensus/merkle.cpp`
(the tree and CVE-2012-2459).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from proof.verify.errors import (
    CurrencyMismatchError,
    DuplicatedNodeError,
    InnerNodeError,
    LowDifficultyError,
    MerklePathTooLongError,
    MerkleRootMismatchError,
    OtherHeaderError,
    OtherNetworkError,
    PlainPathError,
    PositionError,
    TimestampMismatchError,
    TransactionMismatchError,
    quoted,
)
from proof.verify.established import BitcoinInclusion, ClaimedTree, Established, utc_text
from proof.verify.evidence.bitcoin.header import HEADER_BYTES, MIN_LONE_WORK, Header, parse_header
from proof.verify.evidence.bitcoin.headers import TrustedHeaders
from proof.verify.evidence.bitcoin.networks import MAIN, NETWORKS, Network
from proof.verify.evidence.bitcoin.transaction import (
    MAX_TRANSACTION_BYTES,
    Anchor,
    is_transaction_of_64_bytes,
    read_anchor,
)
from proof.verify.evidence.kinds import Caller
from proof.verify.merkle import Branch
from proof.verify.plain import PlainPath, plain_root, read_plain_path
from proof.verify.strict_json import decode_hashes, hex_bytes, integer, text, text_list
from proof.verify.trust import ChainTrust

CURRENCY_ID: Final = 0

CURRENCY: Final = "BTC"

MAX_PATH: Final = 15
"""A block of 4,000,000 weight units holds at most 16,666 transactions of 60 bytes."""


_MAX_HEIGHT: Final = 2**31 - 1

_MIN_TRANSACTION_BYTES: Final = 60


@dataclass(frozen=True, slots=True)
class BitcoinEvidence:
    """Evidence whose every hash was recomputed; whether the block is in a chain is another question."""

    network: Network
    height: int
    raw_header: bytes
    header: Header
    anchor: Anchor
    index: int
    path: tuple[bytes, ...]


def verify_bitcoin(
    branch: Branch, tree: ClaimedTree, evidence: dict[str, object], caller: Caller
) -> Established:
    """Steps 5 to 7 of `verify_payload`, for a root in a Bitcoin transaction.

    Raises what `read_evidence` and `check_plain_path` raise; OtherNetworkError for a test network that
    the caller does not name; LowDifficultyError for a lone main-network header under the difficulty floor;
    OtherHeaderError when the trusted headers have another block at its height; CurrencyMismatchError,
    TransactionMismatchError and TimestampMismatchError when `tree` says otherwise.
    """
    chains, network = caller.chains, _network(evidence)
    if not chains.counts(network.name):
        raise OtherNetworkError(
            f"the evidence is of the test network {quoted(network.name)}, where anybody can make"
            " blocks; it counts only when you name that network"
        )
    found = read_evidence(branch.root, evidence)  # 5, 6
    plain_path = check_plain_path(branch.leaf, found.anchor, evidence)
    _check_tree(tree, found)
    tied_by = _tie(found, chains)  # 7
    header = found.header
    if tied_by is None and found.network.name == MAIN and header.work < MIN_LONE_WORK:
        raise LowDifficultyError(
            f"the header took {work_text(header.work)} hashes, under the {work_text(MIN_LONE_WORK)}"
            " that one without its chain must show; give the chain's headers or the block's hash"
        )
    inclusion = BitcoinInclusion(
        network=found.network.name,
        height=found.height,
        block_hash=header.hash,
        txid=found.anchor.txid,
        time_s=header.time_s,
        work=header.work,
        tied_by=tied_by,
        chain_work=chains.headers.work if chains.headers and tied_by == "headers" else None,
        plain_root=found.anchor.plain_root,
        plain_path=plain_path is not None,
    )
    return Established.of(
        branch,
        tree,
        header.time_s * 1000 if tied_by else None,
        () if tied_by else (_remaining(inclusion, chains),),
        found=inclusion,
    )


def read_evidence(root: bytes, evidence: dict[str, object]) -> BitcoinEvidence:
    """Check that the evidence leads from `root` to its header's proof of work.

    The transaction has one OP_RETURN output, which carries `root`, and perhaps a plain root; the path leads
    from its id to the header's Merkle root; the header's hash meets its target, and that its network's
    easiest one.
    Raises a subclass of RefusedError for each malformation. Not checked: whether the header is in any
    chain, at which height, and the rules of its network beside these.
    """
    network = _network(evidence)
    height = integer(evidence, "height", "evidence", _MAX_HEIGHT)
    raw_header = hex_bytes(evidence.get("header"), "evidence.header", HEADER_BYTES, HEADER_BYTES)
    raw_transaction = hex_bytes(
        evidence.get("transaction"),
        "evidence.transaction",
        _MIN_TRANSACTION_BYTES,
        MAX_TRANSACTION_BYTES,
    )
    index = integer(evidence, "index", "evidence", 2**MAX_PATH)
    path = evidence.get("path")
    if type(path) is list and len(path) > MAX_PATH:
        raise MerklePathTooLongError(f"evidence.path has more than {MAX_PATH} levels")
    hashes = decode_hashes(text_list(path, "evidence.path", MAX_PATH), "evidence.path")
    anchor = read_anchor(raw_transaction, root)  # 5
    header = parse_header(raw_header, network)
    if merkle_root(anchor.txid, index, hashes) != header.merkle_root:  # 6
        raise MerkleRootMismatchError(
            "evidence.path leads to another Merkle root than the header's"
        )
    return BitcoinEvidence(network, height, raw_header, header, anchor, index, tuple(hashes))


def check_plain_path(leaf: bytes, anchor: Anchor, evidence: dict[str, object]) -> PlainPath | None:
    """The evidence's plain path, which leads from `leaf` to the plain root; None if it has none.

    Raises PlainPathError, HexError.
    """
    if "plainPath" not in evidence:
        return None
    path = read_plain_path(evidence["plainPath"])
    if anchor.plain_root is None:
        raise PlainPathError(
            "evidence.plainPath is there, but the transaction carries no plain root"
        )
    if plain_root(leaf, path) != anchor.plain_root:
        raise PlainPathError(
            "evidence.plainPath leads to another plain root than the transaction's"
        )
    return path


def merkle_root(txid: bytes, index: int, path: Sequence[bytes]) -> bytes:
    """The Merkle root that a path leads to from the transaction at `index`, counted from 0.

    Raises PositionError, InnerNodeError, and DuplicatedNodeError for paths through the copies that
    fill odd levels: the last node is its own right sibling, never its left one, and above it every
    node without a left sibling is its own as well (CVE-2012-2459).
    """
    if index >> len(path):
        raise PositionError(f"index {index} lies outside a tree of {len(path)} levels")
    node, is_last = txid, False
    for sibling in path:
        if index & 1:
            if sibling == node:
                raise DuplicatedNodeError("the path goes through the right copy of a last node")
            pair = sibling + node
        else:
            if is_last and sibling != node:
                raise DuplicatedNodeError("the last node of a level has a right sibling above it")
            is_last = sibling == node
            pair = node + sibling
        if is_transaction_of_64_bytes(pair):
            raise InnerNodeError("an inner node of the path is a transaction of 64 bytes")
        node = sha256(sha256(pair).digest()).digest()
        index >>= 1
    return node


def work_text(work: int) -> str:
    """A number of hashes as a power of two, e.g. 2^78.6."""
    return f"2^{math.log2(work):.1f}"


def _network(evidence: dict[str, object]) -> Network:
    name = text(evidence, "network", "evidence")
    if name not in NETWORKS:
        raise OtherNetworkError(f"the evidence is of {quoted(name)}, an unknown network")
    return NETWORKS[name]


def _tie(found: BitcoinEvidence, chains: ChainTrust) -> str | None:
    if found.header.hash in chains.bitcoin_blocks:
        return "block"
    headers = chains.headers
    if headers is None or headers.network != found.network:
        return None
    trusted = headers.at(found.height)
    if trusted is None:
        return None
    if trusted != found.raw_header:
        raise OtherHeaderError(
            f"the trusted headers have another block at height {found.height} of"
            f" {found.network.name}"
        )
    return "headers" if headers.tie else None


def _check_tree(tree: ClaimedTree, found: BitcoinEvidence) -> None:
    if tree.currency_id != CURRENCY_ID or tree.currency != CURRENCY:
        raise CurrencyMismatchError(
            f"the evidence is of Bitcoin, but the tree names currency {tree.currency_id} "
            f"({quoted(tree.currency)}) instead of {CURRENCY_ID} ({CURRENCY})"
        )
    txid = found.anchor.txid[::-1].hex()
    if tree.transaction != txid:
        raise TransactionMismatchError(
            f"the evidence is of transaction {txid}, but tree.transaction is "
            f"{quoted(tree.transaction)}"
        )
    if tree.timestamp_ms != found.header.time_s * 1000:
        raise TimestampMismatchError(
            f"tree.timestamp is {tree.timestamp_ms}, but the block's time is "
            f"{found.header.time_s * 1000}"
        )


def _remaining(inclusion: BitcoinInclusion, chains: ChainTrust) -> str:
    block, when = inclusion.block_hash[::-1].hex(), utc_text(inclusion.time_s * 1000)
    said = f"the time {when} is only what that header says"
    if inclusion.network == MAIN:
        said += f", which took {work_text(inclusion.work)} hashes to make"
    return f"{untied_reason(inclusion.network, inclusion.height, chains.headers)} block {block}; {said}."


def untied_reason(network: str, height: int, headers: TrustedHeaders | None) -> str:
    """Why nothing says which block of the network stands at a height; a sentence up to its object."""
    where = f"that Bitcoin's {network} network has at height {height} the"
    if headers is None or headers.network.name != network:
        return f"Nothing you gave says {where}"
    if not headers.start <= height < headers.end:
        reach = f"{headers.start} to {headers.end - 1}"
        return f"The headers you gave are those of {reach}, so nothing says {where}"
    return (
        f"The headers you gave took only {work_text(headers.work)} hashes, too few to be the main"
        f" chain, so nothing says {where}"
    )
