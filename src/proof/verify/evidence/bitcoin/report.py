"""What is told of evidence of Bitcoin."""

from proof.verify.established import (
    BitcoinInclusion,
    plain_root_text,
)
from proof.verify.evidence.bitcoin.evidence import work_text


def bitcoin_facts(found: BitcoinInclusion) -> dict[str, object]:
    return {
        "network": found.network,
        "height": found.height,
        "block": found.block_hash[::-1].hex(),
        "transaction": found.txid[::-1].hex(),
        "timestamp": found.time_s * 1000,
        "work": str(found.work),  # beyond what JSON numbers hold
        "chainWork": None if found.chain_work is None else str(found.chain_work),
        "tiedBy": found.tied_by,
        "plainRoot": found.plain_root and found.plain_root.hex(),
        "plainPath": found.plain_path,
    }


def bitcoin_steps(found: BitcoinInclusion) -> list[str]:
    block, txid = found.block_hash[::-1].hex(), found.txid[::-1].hex()
    return [
        f"ok  The root is in the Bitcoin transaction\n             {txid}{_behind(found)}.",
        (
            f"ok  The transaction is in the {found.network} block\n             {block},"
            f"\n             whose header took {work_text(found.work)} hashes."
        ),
        _tie_step(found),
    ]


def _behind(found: BitcoinInclusion) -> str:
    """What stands behind the root."""
    if found.plain_root is None:
        return ""
    if found.plain_path:
        return (
            f",\n             and behind it {found.plain_root.hex()},\n             the plain root"
            " (RFC 9162) by which .ots files go; the plain path\n             leads from the hash to it"
        )
    return f",\n             and behind it {plain_root_text(found.plain_root)}"


def _tie_step(found: BitcoinInclusion) -> str:
    if found.tied_by == "headers" and found.chain_work is not None:
        return (
            f"ok  The block is the one at height {found.height} of the headers you gave,"
            f" which took {work_text(found.chain_work)} hashes."
        )
    if found.tied_by is not None:
        return "ok  The block's hash is one you gave."
    return "--  The block was found in no headers of yours that show enough work."


def bitcoin_witness(found: BitcoinInclusion) -> str:
    return f"the time of block {found.block_hash[::-1].hex()} of Bitcoin's {found.network} network"
