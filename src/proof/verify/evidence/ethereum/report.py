"""What is told of evidence of Ethereum."""

from proof.verify.established import (
    EthereumInclusion,
    plain_root_text,
)


def ethereum_facts(found: EthereumInclusion) -> dict[str, object]:
    return {
        "chainId": found.chain_id,
        "number": found.number,
        "block": "0x" + found.block_hash.hex(),
        "transaction": "0x" + found.transaction_hash.hex(),
        "index": found.index,
        "timestamp": found.time_s * 1000,
        "tiedBy": "block" if found.tied else None,
        "plainRoot": found.plain_root and found.plain_root.hex(),
    }


def ethereum_steps(found: EthereumInclusion) -> list[str]:
    behind = ""
    if found.plain_root is not None:
        behind = f", and behind it\n             {plain_root_text(found.plain_root)}"
    return [
        (
            f"ok  The root is the data of the transaction\n             0x{found.transaction_hash.hex()}"
            f"\n             for chain {found.chain_id}{behind}."
        ),
        (
            f"ok  The transaction is number {found.index} of block {found.number}\n             0x"
            f"{found.block_hash.hex()}."
        ),
        "ok  The block's hash is one you gave."
        if found.tied
        else "--  The block's hash is none that you gave.",
    ]


def ethereum_witness(found: EthereumInclusion) -> str:
    return f"the time of block {found.number} of Ethereum's chain {found.chain_id}"
