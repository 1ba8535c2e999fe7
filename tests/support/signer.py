"""A log in a few lines, for tests of the verifier: naive trees, real keys, payloads to forge.

It shares no tree or signing code with the product except the note encoders, which have their own
tests.
"""

from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from proof.verify.evidence.log import note

ORIGIN = "log.example/test"
COSIGNER = "cosigner.example/test"
TIME_S = 1_770_000_000
EXISTED_BY_MS = (TIME_S + 1) * 1000


def openssl_verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """The reference for `proof.verify.evidence.log.ed25519.verify`."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


@dataclass(frozen=True)
class Signer:
    """A key with its name and signature type, made from a text so that a test repeats."""

    name: str
    key_type: int
    private: Ed25519PrivateKey | MLDSA44PrivateKey

    @classmethod
    def named(cls, name: str, key_type: int, seed: str = "") -> "Signer":
        secret = sha256(f"{name} {key_type} {seed}".encode()).digest()
        if key_type == note.MLDSA_COSIGNER_KEY:
            return cls(name, key_type, MLDSA44PrivateKey.from_seed_bytes(secret))
        return cls(name, key_type, Ed25519PrivateKey.from_private_bytes(secret))

    @property
    def public(self) -> bytes:
        return self.private.public_key().public_bytes_raw()

    @property
    def text(self) -> str:
        return note.verifier_key(self.name, self.key_type, self.public)

    @property
    def key(self) -> note.VerifierKey:
        return note.parse_verifier_key(self.text)

    def line(self, body: bytes, time_s: int = TIME_S) -> bytes:
        payload = self.private.sign(body)
        if self.key_type != note.LOG_KEY:
            signature = self.private.sign(self._cosigned(body, time_s))
            payload = note.cosignature_payload(time_s, signature)
        return note.signature_line(self.name, self.key.key_hash, payload)

    def _cosigned(self, body: bytes, time_s: int) -> bytes:
        if self.key_type == note.COSIGNER_KEY:
            return note.cosignature_message(time_s, body)
        origin, size, root = body.decode().split("\n")[:3]
        return note.cosigned_message(self.name, time_s, origin, int(size), b64decode(root))


LOG = Signer.named(ORIGIN, note.LOG_KEY)
WITNESS = Signer.named(COSIGNER, note.COSIGNER_KEY)
MLDSA_WITNESS = Signer.named(COSIGNER, note.MLDSA_COSIGNER_KEY)
KEYS = (LOG.key, WITNESS.key)


def plain_root(leaves: Sequence[bytes]) -> bytes:
    """MTH of RFC 9162 section 2.1.1 over entries, as its recursion reads."""
    return log_root([sha256(b"\x00" + leaf).digest() for leaf in leaves])


def plain_path(leaves: Sequence[bytes], index: int) -> list[dict[str, str]]:
    """The siblings of a leaf as evidence carries them."""
    return PlainTrees(leaves).path(index, len(leaves))


class PlainTrees:
    """The trees over the first so many of these leaves, of which each part is hashed once."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        hashes = [sha256(b"\x00" + leaf).digest() for leaf in leaves]

        @cache
        def root(start: int, end: int) -> bytes:
            if end - start == 1:
                return hashes[start]
            middle = start + _split(end - start)
            return sha256(b"\x01" + root(start, middle) + root(middle, end)).digest()

        self._root = root

    def root(self, count: int) -> bytes:
        return self._root(0, count)

    def path(self, index: int, count: int) -> list[dict[str, str]]:
        """The siblings of a leaf in the tree over `count`, as evidence carries them."""
        steps: list[dict[str, str]] = []
        start, end = 0, count
        while end - start > 1:
            middle = start + _split(end - start)
            if index < middle:
                steps.append({"right": self._root(middle, end).hex()})
                end = middle
            else:
                steps.append({"left": self._root(start, middle).hex()})
                start = middle
        return steps[::-1]


def log_root(leaves: Sequence[bytes]) -> bytes:
    """MTH of RFC 6962 section 2.1 over leaf hashes, as its recursion reads."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = _split(len(leaves))
    return sha256(b"\x01" + log_root(leaves[:k]) + log_root(leaves[k:])).digest()


def inclusion_path(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    """PATH(m, D[n]) of RFC 6962 section 2.1.1."""
    if len(leaves) == 1:
        return []
    k = _split(len(leaves))
    if index < k:
        return [*inclusion_path(index, leaves[:k]), log_root(leaves[k:])]
    return [*inclusion_path(index - k, leaves[k:]), log_root(leaves[:k])]


def consistency_path(old_size: int, leaves: Sequence[bytes]) -> list[bytes]:
    """PROOF(m, D[n]) of RFC 6962 section 2.1.2."""
    return _subproof(old_size, leaves, known=True)


def _subproof(m: int, leaves: Sequence[bytes], *, known: bool) -> list[bytes]:
    if m == len(leaves):
        return [] if known else [log_root(leaves)]
    k = _split(len(leaves))
    if m <= k:
        return [*_subproof(m, leaves[:k], known=known), log_root(leaves[k:])]
    return [*_subproof(m - k, leaves[k:], known=False), log_root(leaves[:k])]


def _split(n: int) -> int:
    """The largest power of two smaller than n."""
    return 1 << (n - 1).bit_length() - 1


def pair_hash(left: str, right: str) -> str:
    """A node of the contract's tree over two others, all in hex."""
    return sha256((left + right).encode()).hexdigest()


def merkle_levels(
    leaves: Sequence[str], over: Callable[[str, str], str] = pair_hash
) -> list[list[str]]:
    """All levels of the contract's tree in hex, leaves first. `over` is `pair_hash`, or what keeps what
    it said."""
    levels = [list(leaves)]
    while len(levels[-1]) > 1:
        level = levels[-1] + levels[-1][-1:] * (len(levels[-1]) % 2)
        pairs = zip(level[::2], level[1::2], strict=True)
        levels.append([over(a, b) for a, b in pairs])
    return levels


def branch(leaves: Sequence[str], index: int) -> dict[str, Any]:
    """The contract's nested branch from the root to leaf `index`."""
    levels = merkle_levels(leaves)
    depth = len(levels) - 1
    node: dict[str, Any] = {"sha256": leaves[index], "depth": depth}
    for height in range(depth):
        level, position = levels[height], index >> height
        left = position & ~1
        right = min(left + 1, len(level) - 1)
        side = "right" if position & 1 else "left"
        node = {
            "sha256": levels[height + 1][position >> 1],
            "depth": depth - height - 1,
            "leftSha256": level[left],
            "rightSha256": level[right],
            side: node,
        }
    return node


def some_leaves(count: int, among: str | None = None) -> list[str]:
    """Leaves that are always the same, or these with one more among them; in hex, ascending."""
    found = [sha256(str(n).encode()).hexdigest() for n in range(count)]
    return sorted(found if among is None else [*found, among])


def checkpoint(
    size: int, root: bytes, signers: Sequence[Signer] = (LOG, WITNESS), origin: str = ORIGIN
) -> str:
    body = note.checkpoint_body(origin, size, root)
    return note.signed_note(body, [signer.line(body) for signer in signers]).decode()


def payload(
    leaf_count: int = 5,
    leaf_index: int = 2,
    log_size: int = 11,
    log_index: int = 6,
    signers: Sequence[Signer] = (LOG, WITNESS),
    about: str | None = None,
) -> dict[str, Any]:
    """A whole valid payload with `log` evidence; tests alter it. It is about the leaf `about`, or about
    the one at `leaf_index` of some that are always the same."""
    leaves = some_leaves(leaf_count, about)
    leaf_index = leaf_index if about is None else leaves.index(about)
    node = branch(leaves, leaf_index)
    entries = [sha256(b"entry %d" % n).digest() * 2 for n in range(log_size)]
    plain = plain_root([bytes.fromhex(leaf) for leaf in leaves])
    entries[log_index] = bytes.fromhex(node["sha256"]) + plain
    hashes = [sha256(b"\x00" + entry).digest() for entry in entries]
    return {
        "sha256": leaves[leaf_index],
        "tree": {
            "treeId": "eada2ff6-dc26-4c50-ba47-b5865d1ca6bd",
            "currencyId": 900,
            "currency": "LOG",
            "submitStatus": 3,
            "timestamp": EXISTED_BY_MS,
            "rootSha256": node["sha256"],
            "transaction": str(log_index),
        },
        "branch": node,
        "evidence": {
            "type": "log",
            "origin": ORIGIN,
            "index": log_index,
            "inclusion": [h.hex() for h in inclusion_path(log_index, hashes)],
            "checkpoint": checkpoint(log_size, log_root(hashes), signers),
            "plainRoot": plain.hex(),
        },
    }


def tlog_proof(given: dict[str, Any], leaf_count: int = 5, leaf_index: int = 2) -> bytes:
    """The tlog-proof of a payload of `payload`, its extra data as "Proofs and verifying" has them."""
    leaves = sorted(sha256(str(n).encode()).digest() for n in range(leaf_count))
    extra = b"\x01" + leaves[leaf_index] + bytes.fromhex(given["tree"]["rootSha256"])
    for step in plain_path(leaves, leaf_index):
        ((side, digits),) = step.items()
        extra += (b"\x01" if side == "left" else b"\x00") + bytes.fromhex(digits)
    evidence = given["evidence"]
    lines = [
        "c2sp.org/tlog-proof@v1",
        f"extra {b64encode(extra).decode()}",
        f"index {evidence['index']}",
    ]
    lines += [b64encode(bytes.fromhex(digits)).decode() for digits in evidence["inclusion"]]
    return "\n".join([*lines, "", evidence["checkpoint"]]).encode()
