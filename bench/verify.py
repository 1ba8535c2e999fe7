"""Verifying proofs of twenty levels on one core, the Ed25519 arithmetic excluded.

Every proof is of another hash. Those of one round come with the same checkpoint and inclusion path, which
the verifier reads once while it keeps them; of proofs of a round each, nothing is the same.

Processor time, and the fastest of many short rounds: whatever else runs can only slow one down.
"""

import json
import random
import time
from collections.abc import Callable
from itertools import cycle
from uuid import UUID

from bench.figures import Figure, Target
from bench.options import Options
from proof.core.canonical import canonical_json
from proof.core.note_keys import SigningKey
from proof.timestamps.anchors.log.keys import CheckpointSigner
from proof.timestamps.proofs.service import payload
from proof.timestamps.trees.merkle import PathStep
from proof.timestamps.types import Currency, Roots, SubmitStatus, Tree
from proof.verify import (
    VerifierKey,
    parent,
    root_from_inclusion,
    verify_branch,
    verify_payload,
)
from proof.verify.evidence.log.note import COSIGNER_KEY, LOG_KEY, end_of_second_ms
from proof.verify.evidence.log.rfc6962 import leaf_hash

_Payload = dict[str, object]

LEVELS = 20
_PROOFS = 256  # more than any cache of the verifier's keeps
_LOG_SIZE, _LOG_LEVELS = 1 << 20, 20
_SIGNED_AT_S = 1_760_000_000
_TARGET = Target("at least", 15_000)


def run(options: Options) -> list[Figure]:
    """Proofs a second: raw bytes and parsed, without a log's evidence and with it."""
    rounds, repeats = (5, 500) if options.quick else (40, 1_000)
    signer = _signer("bench.example/log")
    keys = [signer.log.public, signer.cosigners[0].public]
    apart = _proofs(signer, rounds=_PROOFS)
    together = _proofs(signer, rounds=1)
    bare = [{name: proof[name] for name in ("sha256", "tree", "branch")} for proof in apart]
    size, bare_size = len(canonical_json(apart[0])), len(canonical_json(bare[0]))
    options.say(f"  {size:,} bytes, of which {bare_size:,} without evidence")

    branches = cycle([proof["branch"] for proof in bare])
    texts = cycle([canonical_json(proof) for proof in apart])
    variants: dict[str, Callable[[], object]] = {
        "raw bytes, no evidence": _verifying(bare, keys),
        "raw bytes, log evidence, one round": _verifying(together, keys),
        "raw bytes, log evidence, a round each": _verifying(apart, keys),
        "parsed, no evidence": _verifying(bare, keys, parsed=True),
        "parsed, log evidence, one round": _verifying(together, keys, parsed=True),
        "parsed, log evidence, a round each": _verifying(apart, keys, parsed=True),
        "branch alone": lambda: verify_branch(next(branches)),
        "json.loads alone": lambda: json.loads(next(texts)),
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


def _verifying(
    proofs: list[_Payload], keys: list[VerifierKey], *, parsed: bool = False
) -> Callable[[], object]:
    """Verify the next one of the proofs at each call."""
    texts = [canonical_json(proof) for proof in proofs]
    source = cycle([json.loads(text) if parsed else text for text in texts])
    return lambda: verify_payload(next(source), log_keys=keys, ed25519_verify=_assume_signed)


def _rate(verify: Callable[[], object], repeats: int) -> float:
    started = time.process_time()
    for _ in range(repeats):
        verify()
    return repeats / (time.process_time() - started)


def _assume_signed(_public_key: bytes, _message: bytes, _signature: bytes) -> bool:
    return True


def _proofs(signer: CheckpointSigner, rounds: int) -> list[_Payload]:
    """`_PROOFS` proofs as the server sends them, of so many rounds, each in a checkpoint of its own."""
    source = random.Random(0)
    proofs: list[_Payload] = []
    for number in range(rounds):
        root, paths = _round(source, _PROOFS // rounds)
        tree, evidence = _logged(source, signer, root, _SIGNED_AT_S + number)
        proofs += [payload(leaf, tree, steps, evidence) for leaf, steps in paths]
    return proofs


def _round(source: random.Random, leaves: int) -> tuple[bytes, list[tuple[bytes, list[PathStep]]]]:
    """A root, and leaves with their ways up to it: a small tree, and above it one path."""
    level = [source.randbytes(32) for _ in range(leaves)]
    places = list(range(leaves))
    paths: list[tuple[bytes, list[PathStep]]] = [(leaf, []) for leaf in level]
    for _ in range(LEVELS):
        if len(level) == 1:
            side = source.randrange(2)
            level.insert(1 - side, source.randbytes(32))
            places = [side] * leaves
        for (_leaf, steps), place in zip(paths, places, strict=True):
            steps.append(PathStep(level[place & ~1], level[place | 1], bool(place & 1)))
        level = [parent(*pair) for pair in zip(level[::2], level[1::2], strict=True)]
        places = [place // 2 for place in places]
    return level[0], paths


def _logged(
    source: random.Random, signer: CheckpointSigner, root: bytes, signed_at_s: int
) -> tuple[Tree, dict[str, object]]:
    """A round's tree, and the evidence that it is in a log of a million rounds."""
    index = source.randrange(_LOG_SIZE)
    path = [source.randbytes(32) for _ in range(_LOG_LEVELS)]
    roots = Roots(root, source.randbytes(32))
    log_root = root_from_inclusion(index, _LOG_SIZE, leaf_hash(roots.joined), path)
    evidence: dict[str, object] = {
        "type": "log",
        "origin": signer.log.name,
        "index": index,
        "inclusion": [node.hex() for node in path],
        "checkpoint": signer.sign(_LOG_SIZE, log_root, signed_at_s).decode(),
        "plainRoot": roots.plain.hex(),
    }
    by_ms = end_of_second_ms(signed_at_s)
    tree = Tree(UUID(int=1), Currency.LOG, SubmitStatus.VERIFIED, by_ms, root, str(index))
    return tree, evidence


def _signer(origin: str) -> CheckpointSigner:
    log = SigningKey.generate(origin, LOG_KEY)
    cosigner = SigningKey.generate(f"{origin}/cosigner", COSIGNER_KEY)
    return CheckpointSigner(log, (cosigner,))
