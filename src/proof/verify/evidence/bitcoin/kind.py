"""Bitcoin as a kind of evidence."""

from dataclasses import replace

from proof.verify.evidence.bitcoin.evidence import verify_bitcoin
from proof.verify.evidence.bitcoin.report import bitcoin_facts, bitcoin_steps, bitcoin_witness
from proof.verify.evidence.kinds import EvidenceKind, TrustOption
from proof.verify.trust import ChainTrust


def _trusted(chains: ChainTrust, hashes: frozenset[bytes]) -> ChainTrust:
    return replace(chains, bitcoin_blocks=frozenset(found[::-1] for found in hashes))


KIND = EvidenceKind(
    type="bitcoin",
    verify=verify_bitcoin,
    facts=bitcoin_facts,
    steps=bitcoin_steps,
    witness=bitcoin_witness,
    option=TrustOption("--bitcoin-block", "HASH", "hash of a Bitcoin block you trust", _trusted),
)
