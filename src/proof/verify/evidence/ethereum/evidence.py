"""Evidence of type `ethereum`: a transaction's data is the root, or the root and then a plain root, and a
block holds the transaction.

    {"type": "ethereum", "chainId", "header": hex(rlp), "index", "proof": [hex(rlp)…]}

`proof` holds the nodes of the transactions trie from its root down to the transaction, which stands in
the last of them. A header of proof of stake carries no work, so nothing but the block's hash, which the
caller must have from somewhere it trusts, ties it to a chain.

Sources: the timestamp API contract, "POST /v1/proof" (evidence); the Ethereum Yellow Paper, 4.3 and 4.4;
EIP-155, EIP-1559, EIP-2718.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from proof.verify.errors import (
    ChainIdError,
    CurrencyMismatchError,
    EthereumDataError,
    EthereumHeaderError,
    EthereumTransactionError,
    TimestampMismatchError,
    TransactionMismatchError,
    quoted,
)
from proof.verify.established import ClaimedTree, Established, EthereumInclusion, utc_text
from proof.verify.evidence.ethereum import rlp
from proof.verify.evidence.ethereum.keccak import block_part_hash
from proof.verify.evidence.ethereum.trie import MAX_NODES, value_at
from proof.verify.evidence.kinds import Caller
from proof.verify.merkle import Branch
from proof.verify.strict_json import hex_bytes, hex_list, integer

MAX_NODE_BYTES: Final = 4_096
"""A branch takes 532 bytes; the leaf holds our transaction, of some 200. Bounds the hashing."""


MAX_HEADER_BYTES: Final = 2_048

_MAX_INDEX: Final = 2**24 - 1

_MAX_CHAIN_ID: Final = 2**63 - 1

_MAX_TIME_S: Final = 253_402_300_799

_ROOT_BYTES: Final = 32


# Yellow Paper 4.4: 15 fields from the first block on; later forks have appended more, up to 21 by 2025.
_FIXED_FIELDS: Final = (
    (0, 32),
    (1, 32),
    (2, 20),
    (3, 32),
    (4, 32),
    (5, 32),
    (6, 256),
    (13, 32),
    (14, 8),
)

_LEAST_FIELDS, _MOST_FIELDS = 15, 40

_TRANSACTIONS_ROOT, _NUMBER, _TIME = 4, 8, 11


_FEE_MARKET: Final = 0x02

_FIRST_LIST: Final = 0xC0  # EIP-2718: a legacy transaction is an RLP list, a typed one begins below

_FEE_MARKET_FIELDS, _LEGACY_FIELDS = 12, 9

_FEE_MARKET_DATA, _LEGACY_DATA, _LEGACY_V = 7, 5, 6

_LEGACY_FIRST_V: Final = 35  # EIP-155: 35 or 36 more than twice the chain's id


@dataclass(frozen=True, slots=True)
class EthereumHeader:
    """The fields used here; hashes are 32 bytes."""

    hash: bytes
    transactions_root: bytes
    number: int
    time_s: int


@dataclass(frozen=True, slots=True)
class EthereumLike:
    """A chain whose blocks and transactions are made as Ethereum's: its name, the `currencyId` and
    `currency` of its trees, and what its evidence establishes."""

    name: str
    currency_id: int
    currency: str
    inclusion: type[EthereumInclusion]


_ETHEREUM: Final = EthereumLike("Ethereum", 1, "ETH", EthereumInclusion)


def verify_ethereum(
    branch: Branch, tree: ClaimedTree, evidence: dict[str, object], caller: Caller
) -> Established:
    """Steps 5 to 7 of `verify_payload`, for a root in an Ethereum transaction. Raises what
    `verify_ethereum_like` does."""
    blocks = caller.chains.ethereum_blocks
    return verify_ethereum_like(branch, tree, evidence, blocks, _ETHEREUM)


def verify_ethereum_like(
    branch: Branch,
    tree: ClaimedTree,
    evidence: dict[str, object],
    blocks: Collection[bytes],
    chain: EthereumLike,
) -> Established:
    """The same for a root in a transaction of that chain; `blocks` are the hashes that are trusted.

    Raises HexError, MemberError, RlpError, EthereumHeaderError, the errors of `trie.value_at`,
    EthereumTransactionError, ChainIdError, EthereumDataError; CurrencyMismatchError,
    TransactionMismatchError and TimestampMismatchError when `tree` says otherwise. Not checked: the
    transaction's signature and whether it succeeded; its data is in the block in any case.
    """
    chain_id = integer(evidence, "chainId", "evidence", _MAX_CHAIN_ID)
    index = integer(evidence, "index", "evidence", _MAX_INDEX)
    header = parse_ethereum_header(
        hex_bytes(evidence.get("header"), "evidence.header", 1, MAX_HEADER_BYTES)
    )
    nodes = hex_list(evidence.get("proof"), "evidence.proof", MAX_NODES, 1, MAX_NODE_BYTES)
    transaction = value_at(header.transactions_root, rlp.encode_integer(index), nodes)  # 6
    plain_root = check_transaction(transaction, branch.root, chain_id)  # 5
    found = chain.inclusion(
        chain_id=chain_id,
        number=header.number,
        block_hash=header.hash,
        transaction_hash=block_part_hash(transaction),
        index=index,
        time_s=header.time_s,
        tied=header.hash in blocks,  # 7
        plain_root=plain_root,
    )
    _check_tree(tree, found, chain)
    return Established.of(
        branch,
        tree,
        found.time_s * 1000 if found.tied else None,
        () if found.tied else (_remaining(found),),
        found=found,
    )


def parse_ethereum_header(raw: bytes) -> EthereumHeader:
    """Read a block header from its RLP. Raises RlpError, EthereumHeaderError."""
    fields = rlp.decode_list(raw)
    if not _LEAST_FIELDS <= len(fields) <= _MOST_FIELDS:
        raise EthereumHeaderError(
            f"the header has {len(fields)} fields, not {_LEAST_FIELDS} or more"
        )
    if not all(isinstance(field, bytes) for field in fields):
        raise EthereumHeaderError("a field of the header is a list")
    for at, size in _FIXED_FIELDS:
        if len(fields[at]) != size:
            raise EthereumHeaderError(f"field {at} of the header is not {size} bytes long")
    root = fields[_TRANSACTIONS_ROOT]
    assert isinstance(root, bytes)
    number = rlp.integer(fields[_NUMBER], "the header's number")
    time_s = rlp.integer(fields[_TIME], "the header's time")
    if time_s > _MAX_TIME_S:
        raise EthereumHeaderError("the header's time is after the year 9999")
    return EthereumHeader(block_part_hash(raw), root, number, time_s)


def check_transaction(raw: bytes, root: bytes, chain_id: int) -> bytes | None:
    """Whether the data of a transaction is `root`, alone or with a plain root of 32 bytes behind it, which
    is answered, and the transaction is for that chain.

    `raw` is an envelope of type 2 (EIP-1559) or a legacy transaction. Raises RlpError,
    EthereumTransactionError, ChainIdError, EthereumDataError.
    """
    typed = raw[0] == _FEE_MARKET
    if not typed and raw[0] < _FIRST_LIST:
        raise EthereumTransactionError(
            f"the transaction is of type {raw[0]}, not 2 or a legacy one"
        )
    fields = rlp.decode_list(raw[1:] if typed else raw)
    if len(fields) != (_FEE_MARKET_FIELDS if typed else _LEGACY_FIELDS):
        raise EthereumTransactionError("the transaction is neither of type 2 nor a legacy one")
    if typed:
        named, data = rlp.integer(fields[0], "the chain's id"), fields[_FEE_MARKET_DATA]
    else:
        v, data = rlp.integer(fields[_LEGACY_V], "the transaction's v"), fields[_LEGACY_DATA]
        named = (v - _LEGACY_FIRST_V) // 2
    if named != chain_id:
        raise ChainIdError(f"the transaction is not for chain {chain_id} alone")
    if not isinstance(data, bytes) or len(data) not in {_ROOT_BYTES, 2 * _ROOT_BYTES}:
        raise EthereumDataError(
            "the transaction's data has neither exactly 32 bytes nor exactly 64"
        )
    carried, plain_root = data[:_ROOT_BYTES], data[_ROOT_BYTES:]
    if carried != root and plain_root == root:
        raise EthereumDataError("the transaction's data has the root where the plain root stands")
    if carried != root:
        raise EthereumDataError("the transaction's data is another root")
    return plain_root or None


def _check_tree(tree: ClaimedTree, found: EthereumInclusion, chain: EthereumLike) -> None:
    if tree.currency_id != chain.currency_id or tree.currency != chain.currency:
        raise CurrencyMismatchError(
            f"the evidence is of {chain.name}, but the tree names currency {tree.currency_id} "
            f"({quoted(tree.currency)}) instead of {chain.currency_id} ({chain.currency})"
        )
    transaction = "0x" + found.transaction_hash.hex()
    if tree.transaction != transaction:
        raise TransactionMismatchError(
            f"the evidence is of transaction {transaction}, but tree.transaction is "
            f"{quoted(tree.transaction)}"
        )
    if tree.timestamp_ms != found.time_s * 1000:
        raise TimestampMismatchError(
            f"tree.timestamp is {tree.timestamp_ms}, but the block's time is {found.time_s * 1000}"
        )


def _remaining(found: EthereumInclusion) -> str:
    return (
        f"The hash of block {found.number} was not given by you, so nothing says that chain"
        f" {found.chain_id} has the block 0x{found.block_hash.hex()}; the time"
        f" {utc_text(found.time_s * 1000)} is only what that header says."
    )
