"""A time-stamping authority's token as a kind of evidence."""

from dataclasses import replace

from proof.verify.evidence.kinds import EvidenceKind, TrustOption
from proof.verify.evidence.rfc3161.evidence import verify_rfc3161
from proof.verify.evidence.rfc3161.report import token_facts, token_steps, token_witness
from proof.verify.trust import ChainTrust


def _trusted(chains: ChainTrust, hashes: frozenset[bytes]) -> ChainTrust:
    return replace(chains, tsa_certificates=hashes)


KIND = EvidenceKind(
    type="rfc3161",
    verify=verify_rfc3161,
    facts=token_facts,
    steps=token_steps,
    witness=token_witness,
    option=TrustOption(
        "--tsa-certificate",
        "SHA256|FILE",
        "certificate of a time-stamping authority you trust, or its SHA-256",
        _trusted,
    ),
)
