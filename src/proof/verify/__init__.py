"""Check a timestamp proof without the server that made it; the standard library is all it needs.

    from proof.verify import parse_verifier_key, verify_payload

    established = verify_payload(payload_bytes, log_keys=[parse_verifier_key(line)])

`chains=ChainTrust(headers=load_headers(data))` does the same for Bitcoin's blocks, and `verify_ots` for
OpenTimestamps files. Each raises a subclass of `RefusedError` or returns an `Established`, or an
`EstablishedOts`, which names what is proved and, in `remaining`, what is not. Nothing here opens a file
or a connection or reads a clock; `python -m proof.verify --help` is the program that does open files.
"""

from proof.verify.errors import RefusedError
from proof.verify.established import (
    BitcoinInclusion,
    ClaimedTree,
    Established,
    EthereumInclusion,
    LogInclusion,
    TokenInclusion,
    UpstreamInclusion,
)
from proof.verify.evidence.bitcoin.headers import TrustedHeaders, load_headers
from proof.verify.evidence.log.checkpoint import Checkpoint, Cosignature, verify_checkpoint
from proof.verify.evidence.log.ed25519 import Ed25519Verify
from proof.verify.evidence.log.mldsa44 import Mldsa44Verify
from proof.verify.evidence.log.note import VerifierKey, VerifierKeyError, parse_verifier_key
from proof.verify.evidence.log.policy import Policy, PolicyError, parse_policy
from proof.verify.evidence.log.rfc6962 import root_from_inclusion, verify_consistency
from proof.verify.evidence.log.tlog_proof import EstablishedTlogProof, verify_tlog_proof
from proof.verify.evidence.ots.evidence import EstablishedOts, verify_ots
from proof.verify.evidence.ots.export import to_ots
from proof.verify.merkle import Branch, parent, verify_branch
from proof.verify.payload import verify_payload
from proof.verify.trust import ChainTrust, TrustError

__all__ = [
    "BitcoinInclusion",
    "Branch",
    "ChainTrust",
    "Checkpoint",
    "ClaimedTree",
    "Cosignature",
    "Ed25519Verify",
    "Established",
    "EstablishedOts",
    "EstablishedTlogProof",
    "EthereumInclusion",
    "LogInclusion",
    "Mldsa44Verify",
    "Policy",
    "PolicyError",
    "RefusedError",
    "TokenInclusion",
    "TrustError",
    "TrustedHeaders",
    "UpstreamInclusion",
    "VerifierKey",
    "VerifierKeyError",
    "load_headers",
    "parent",
    "parse_policy",
    "parse_verifier_key",
    "root_from_inclusion",
    "to_ots",
    "verify_branch",
    "verify_checkpoint",
    "verify_consistency",
    "verify_ots",
    "verify_payload",
    "verify_tlog_proof",
]
