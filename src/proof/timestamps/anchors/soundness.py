"""Nothing of a chain is published that our own verifier does not accept."""

from collections.abc import Iterable

from proof.timestamps.anchors.chain import ChainError
from proof.timestamps.anchors.kinds import kind_of
from proof.timestamps.types import Currency, Tree
from proof.verify import RefusedError, verify_payload
from proof.verify.trust import NO_CHAINS, ChainTrust


class UnsoundEvidenceError(ChainError):
    """The verifier refuses what a chain gave as evidence; the tree is not published."""


def trust_in(currency: Currency, block: str | None) -> ChainTrust:
    """Trust in the one block our own node saw a root in, by its hash as the chain writes it; of an
    authority, in the certificate that its token was believed under, by its SHA-256 in hex. The log's keys
    are what is trusted of it, and no block says anything of it."""
    if currency is Currency.LOG or block is None:
        return NO_CHAINS
    return kind_of(currency).trust(bytes.fromhex(block.removeprefix("0x")))


def joined(trusts: Iterable[ChainTrust]) -> ChainTrust:
    """Trust in every block, certificate and test network that any of them trusts."""
    found = list(trusts)
    blocks: dict[str, set[bytes]] = {}
    for trust in found:
        for kind, hashes in trust.blocks.items():
            blocks.setdefault(kind, set()).update(hashes)
    return ChainTrust(
        bitcoin_blocks={block for trust in found for block in trust.bitcoin_blocks},
        ethereum_blocks={block for trust in found for block in trust.ethereum_blocks},
        networks={network for trust in found for network in trust.networks},
        tsa_certificates={each for trust in found for each in trust.tsa_certificates},
        blocks=blocks,
    )


def require_sound(tree: Tree, evidence: dict[str, object], block: str | None) -> None:
    """Check that evidence ties a tree's roots and time to that block. Raises UnsoundEvidenceError."""
    assert tree.root is not None
    root = tree.root.hex()
    payload: dict[str, object] = {
        "sha256": root,
        "tree": tree.wire(),
        "branch": {"sha256": root, "depth": 0},
        "evidence": evidence,
    }
    try:
        established = verify_payload(payload, chains=trust_in(tree.currency, block))
    except (RefusedError, ValueError) as error:  # ValueError: no hash where the block's should be
        raise UnsoundEvidenceError(
            f"the evidence of {tree.currency.name} tree {tree.tree_id} is refused: {error}"
        ) from error
    carried = tree.plain_root if kind_of(tree.currency).carries_plain_root else None
    if established.plain_root != carried:
        raise UnsoundEvidenceError(
            f"the evidence of {tree.currency.name} tree {tree.tree_id} carries another plain root"
        )
    if not established.tied:
        reasons = " ".join(established.remaining)
        raise UnsoundEvidenceError(
            f"the evidence of {tree.currency.name} tree {tree.tree_id} proves nothing: {reasons}"
        )
