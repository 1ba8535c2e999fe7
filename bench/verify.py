"""Verifying a proof of twenty levels on one core, the Ed25519 arithmetic excluded.

Processor time, and the fastest of many short rounds: whatever else runs can only slow one down.
"""

import json
import random
import time
from collections.abc import Callable
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bench.figures import Figure, Target
from bench.options import Options
from proof.core.canonical import canonical_json
from proof.timestamps.anchors.log.keys import CheckpointSigner, SigningKey
from proof.timestamps.proofs.payload import payload
from proof.timestamps.trees.merkle import Step
from proof.timestamps.types import Currency, SubmitStatus, Tree
from proof.verify import (
    VerifierKey,
    parent,
    parse_verifier_key,
    root_from_inclusion,
    verify_branch,
    verify_payload,
)
from proof.verify.note import COSIGNER_KEY, LOG_KEY, verifier_key
from proof.verify.rfc6962 import leaf_hash

LEVELS = 20
_LOG_INDEX, _LOG_SIZE, _LOG_LEVELS = 694_207, 1 << 20, 20
_SIGNED_AT_S = 1_760_000_000
_TARGET = Target("at least", 15_000)


def run(options: Options) -> list[Figure]:
    """Proofs a second: raw bytes, parsed, and without the evidence of a log."""
    rounds, repeats = (5, 500) if options.quick else (40, 1_000)
    raw, keys = _proof()
    parsed = json.loads(raw)
    bare = {name: parsed[name] for name in ("sha256", "tree", "branch")}
    bare_raw = canonical_json(bare)
    options.say(f"  {len(raw):,} bytes, of which {len(bare_raw):,} without evidence")
    variants: dict[str, Callable[[], object]] = {
        "raw bytes, no evidence": lambda: verify_payload(bare_raw),
        "raw bytes, log evidence": lambda: verify_payload(
            raw, log_keys=keys, ed25519_verify=_assume_signed
        ),
        "parsed, log evidence": lambda: verify_payload(
            parsed, log_keys=keys, ed25519_verify=_assume_signed
        ),
        "parsed, no evidence": lambda: verify_payload(bare),
        "branch alone": lambda: verify_branch(bare["branch"]),
        "json.loads alone": lambda: json.loads(raw),
    }
    rates: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(rounds):
        for name, verify in variants.items():
            rates[name].append(_rate(verify, repeats))
    return [
        Figure(
            f"verify, {name}",
            "proofs/s",
            max(measured),
            target=None if "alone" in name else _TARGET,
        )
        for name, measured in rates.items()
    ]


def _rate(verify: Callable[[], object], repeats: int) -> float:
    started = time.process_time()
    for _ in range(repeats):
        verify()
    return repeats / (time.process_time() - started)


def _assume_signed(_public_key: bytes, _message: bytes, _signature: bytes) -> bool:
    return True


def _proof() -> tuple[bytes, list[VerifierKey]]:
    """A proof as the server sends it, and the keys that tie it."""
    source = random.Random(0)
    leaf = source.randbytes(32)
    steps = _steps(source, leaf)
    root = parent(steps[-1].left, steps[-1].right)
    path = [source.randbytes(32) for _ in range(_LOG_LEVELS)]
    log_root = root_from_inclusion(_LOG_INDEX, _LOG_SIZE, leaf_hash(root), path)
    signer = _signer("bench.example/log")
    tree = Tree(
        UUID(int=1),
        Currency.LOG,
        SubmitStatus.VERIFIED,
        _SIGNED_AT_S * 1000,
        root,
        str(_LOG_INDEX),
    )
    evidence: dict[str, object] = {
        "type": "log",
        "origin": signer.origin,
        "index": _LOG_INDEX,
        "inclusion": [node.hex() for node in path],
        "checkpoint": signer.sign(_LOG_SIZE, log_root, _SIGNED_AT_S).decode(),
    }
    raw = canonical_json(payload(leaf, tree, steps, evidence))
    return raw, [_public(signer.log), _public(signer.cosigner)]


def _steps(source: random.Random, leaf: bytes) -> list[Step]:
    steps: list[Step] = []
    node = leaf
    for _ in range(LEVELS):
        sibling, from_right = source.randbytes(32), source.random() < 0.5
        left, right = (sibling, node) if from_right else (node, sibling)
        steps.append(Step(left, right, from_right))
        node = parent(left, right)
    return steps


def _signer(origin: str) -> CheckpointSigner:
    log = SigningKey(origin, LOG_KEY, Ed25519PrivateKey.generate())
    cosigner = SigningKey(f"{origin}/cosigner", COSIGNER_KEY, Ed25519PrivateKey.generate())
    return CheckpointSigner(origin, log, cosigner)


def _public(key: SigningKey) -> VerifierKey:
    public = key.private.public_key().public_bytes_raw()
    return parse_verifier_key(verifier_key(key.name, key.key_type, public))
