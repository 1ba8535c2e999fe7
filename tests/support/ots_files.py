"""OpenTimestamps files to read: public examples, and one of ours with the headers it leads to."""

import json
from hashlib import sha256
from pathlib import Path

from tests.support import anchored

from proof.verify import ChainTrust, TrustedHeaders, load_headers, to_ots
from proof.verify.evidence.bitcoin.headers import MIN_MAIN_WORK
from proof.verify.evidence.bitcoin.networks import MAIN, NETWORKS
from proof.verify.evidence.ots import format as ots

FOLDER = Path(__file__).parents[1] / "vectors"
VECTORS = json.loads((FOLDER / "ots.json").read_text())
BLOCK = json.loads((FOLDER / "bitcoin.json").read_text())["block_358391"]
HELLO = bytes.fromhex(VECTORS["hello_world"]["ots"])
INCOMPLETE = bytes.fromhex(VECTORS["incomplete"]["ots"])
BRANCHES = bytes.fromhex(VECTORS["two_branches"]["ots"])

ANCHORED = anchored.bitcoin()
OURS = to_ots(ANCHORED.payload)
HEADERS = load_headers(ANCHORED.file)
TRUST = ChainTrust(headers=HEADERS, networks={"regtest"})
HEAD = ots.MAGIC + b"\x01"
DIGEST = sha256(b"x").digest()
PENDING = bytes(1) + ots.PENDING_TAG + b"\x0c\x0bhttps://a.b"
BITCOIN = bytes(1) + ots.BITCOIN_TAG + b"\x01\x07"


def about(body: bytes) -> bytes:
    """A file about the SHA-256 of `x`."""
    return HEAD + b"\x08" + DIGEST + body


def main_headers(work: int = MIN_MAIN_WORK) -> TrustedHeaders:
    """Block 358,391 as if its chain had been checked from the first block on."""
    raw = memoryview(bytes.fromhex(BLOCK["header"]))
    return TrustedHeaders(NETWORKS[MAIN], 358_391, 358_392, work, raw)
