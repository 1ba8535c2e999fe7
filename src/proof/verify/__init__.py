"""Check a timestamp proof without the server that made it; the standard library is all it needs.

    from proof.verify import parse_verifier_key, verify_payload

    established = verify_payload(payload_bytes, log_keys=[parse_verifier_key(line)])

`verify_payload` raises a subclass of `RefusedError` or returns an `Established`, which names what
is proved and, in `remaining`, what is not. Nothing here opens a file or a connection or reads a
clock; `python -m proof.verify --help` is the program that does open files.
"""

from proof.verify.checkpoint import Checkpoint, Cosignature, verify_checkpoint
from proof.verify.ed25519 import Ed25519Verify
from proof.verify.errors import RefusedError
from proof.verify.merkle import Branch, parent, verify_branch
from proof.verify.note import VerifierKey, VerifierKeyError, parse_verifier_key
from proof.verify.payload import ClaimedTree, Established, LogInclusion, verify_payload
from proof.verify.rfc6962 import root_from_inclusion, verify_consistency

__all__ = [
    "Branch",
    "Checkpoint",
    "ClaimedTree",
    "Cosignature",
    "Ed25519Verify",
    "Established",
    "LogInclusion",
    "RefusedError",
    "VerifierKey",
    "VerifierKeyError",
    "parent",
    "parse_verifier_key",
    "root_from_inclusion",
    "verify_branch",
    "verify_checkpoint",
    "verify_consistency",
    "verify_payload",
]
