"""Verifying complete Bitcoin proofs on one core: payloads and `.ots` files, down to a header file.

The proof has 20 levels of ours, in the plain tree too, and 12 of its block, as a block of four thousand
transactions has. Processor time, and the fastest of many short rounds: whatever else runs can only slow one
down.
"""

import json
import random
import struct
import time
from collections.abc import Callable
from hashlib import sha256
from uuid import UUID

from bench.figures import Figure, Target
from bench.options import Options
from proof.core.canonical import canonical_json
from proof.timestamps.proofs.service import payload, plain_path
from proof.timestamps.trees.merkle import PathStep, PlainStep
from proof.timestamps.types import Currency, Roots, SubmitStatus, Tree
from proof.verify import ChainTrust, load_headers, parent, to_ots, verify_ots, verify_payload
from proof.verify.evidence.bitcoin.evidence import merkle_root
from proof.verify.evidence.bitcoin.headers import HeaderChain
from proof.verify.evidence.bitcoin.networks import NETWORKS
from proof.verify.plain import plain_root, read_plain_path

LEVELS, BLOCK_LEVELS = 20, 12
_INDEX = 2_741
_TIME_S = 1_760_000_000
_TARGET = Target("at least", 10_000)
_BITS = 0x207FFFFF


def run(options: Options) -> list[Figure]:
    """Proofs a second, and headers a second when a header file is checked."""
    rounds, repeats = (5, 200) if options.quick else (40, 500)
    raw, header = _proof()
    chains = ChainTrust(headers=load_headers(_file(header)), networks={"regtest"})
    ots, parsed = to_ots(raw), json.loads(raw)
    assert verify_payload(raw, chains=chains).tied
    assert verify_ots(ots, chains=chains).tied
    options.say(f"  payload {len(raw):,} bytes, .ots {len(ots):,} bytes")
    variants: dict[str, Callable[[], object]] = {
        "payload, raw bytes": lambda: verify_payload(raw, chains=chains),
        "payload, parsed": lambda: verify_payload(parsed, chains=chains),
        ".ots": lambda: verify_ots(ots, chains=chains),
    }
    rates: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(rounds):
        for name, verify in variants.items():
            rates[name].append(_rate(verify, repeats))
    figures = [
        Figure(f"verify Bitcoin, {name}", "proofs/s", max(measured), target=_TARGET)
        for name, measured in rates.items()
    ]
    return [*figures, Figure("check a header file", "headers/s", _headers_rate(options))]


def _rate(verify: Callable[[], object], repeats: int) -> float:
    started = time.process_time()
    for _ in range(repeats):
        verify()
    return repeats / (time.process_time() - started)


def _headers_rate(options: Options) -> float:
    headers, previous = [], bytes(32)
    for height in range(2_016 if options.quick else 20_160):
        headers.append(_mine(previous, bytes(32), _TIME_S + height))
        previous = _double(headers[-1])
    raw = b"".join(headers)
    started = time.process_time()
    HeaderChain(NETWORKS["regtest"], 1).extend(raw)
    return len(headers) / (time.process_time() - started)


def _proof() -> tuple[bytes, bytes]:
    """A payload as the server sends it, and the header of its block."""
    source = random.Random(0)
    leaf, steps = source.randbytes(32), []
    node = leaf
    for _ in range(LEVELS):
        sibling, from_right = source.randbytes(32), source.random() < 0.5
        left, right = (sibling, node) if from_right else (node, sibling)
        steps.append(PathStep(left, right, from_right))
        node = parent(left, right)
    plain = [PlainStep(source.randbytes(32), step.from_right) for step in steps]
    plain_members = [plain_path(plain)]
    roots = Roots(node, plain_root(leaf, read_plain_path(plain_members)))
    transaction = _transaction(source, roots)
    txid = _double(transaction)
    path = [source.randbytes(32) for _ in range(BLOCK_LEVELS)]
    header = _mine(source.randbytes(32), merkle_root(txid, _INDEX, path), _TIME_S)
    tree = Tree(
        UUID(int=1),
        Currency.BTC,
        SubmitStatus.VERIFIED,
        _TIME_S * 1000,
        roots.root,
        txid[::-1].hex(),
        roots.plain,
    )
    evidence: dict[str, object] = {
        "type": "bitcoin",
        "network": "regtest",
        "height": 1,
        "header": header.hex(),
        "transaction": transaction.hex(),
        "index": _INDEX,
        "path": [node.hex() for node in path],
        "plainPath": plain_members,
    }
    return canonical_json(payload(leaf, tree, steps, evidence)), header


def _transaction(source: random.Random, roots: Roots) -> bytes:
    """One input, the roots, and change."""
    return (
        struct.pack("<i", 2)
        + b"\x01" + source.randbytes(32) + bytes(4) + b"\x00" + b"\xfd\xff\xff\xff"
        + b"\x02" + bytes(8) + b"\x42\x6a\x40" + roots.joined
        + struct.pack("<Q", 90_000) + b"\x16\x00\x14" + source.randbytes(20)
        + bytes(4)
    )  # fmt: skip


def _file(header: bytes) -> bytes:
    return b"proof-headers/1 regtest 1\n" + header


def _mine(previous: bytes, root: bytes, time_s: int) -> bytes:
    nonce = 0
    while True:
        header = struct.pack("<i32s32sIII", 4, previous, root, time_s, _BITS, nonce)
        if _double(header)[-1] < 0x7F:
            return header
        nonce += 1


def _double(data: bytes) -> bytes:
    return sha256(sha256(data).digest()).digest()
