"""Ethereum as a kind of evidence."""

from dataclasses import replace

from proof.verify.evidence.ethereum.evidence import verify_ethereum
from proof.verify.evidence.ethereum.report import ethereum_facts, ethereum_steps, ethereum_witness
from proof.verify.evidence.kinds import EvidenceKind, TrustOption
from proof.verify.trust import ChainTrust


def _trusted(chains: ChainTrust, hashes: frozenset[bytes]) -> ChainTrust:
    return replace(chains, ethereum_blocks=hashes)


KIND = EvidenceKind(
    type="ethereum",
    verify=verify_ethereum,
    facts=ethereum_facts,
    steps=ethereum_steps,
    witness=ethereum_witness,
    option=TrustOption("--ethereum-block", "HASH", "hash of an Ethereum block you trust", _trusted),
)
