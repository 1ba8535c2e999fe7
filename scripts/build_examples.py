"""Build the static webhook examples, and the keys they verify under.

    python scripts/build_examples.py

The keys are made from fixed, public seeds: an example proves that a receiver and a verifier work, and
nothing else.
"""

from hashlib import sha256
from pathlib import Path
from uuid import UUID

import proof.timestamps.proofs.examples as package
from proof.core.canonical import canonical_json
from proof.core.note_keys import SigningKey
from proof.timestamps.anchors.log.keys import CheckpointSigner
from proof.timestamps.anchors.log.tree import append, inclusion_path, reader, root
from proof.timestamps.proofs.service import payload
from proof.timestamps.trees.merkle import build, tile_path
from proof.timestamps.types import Currency, Roots, SubmitStatus, Tree
from proof.verify.evidence.log.note import COSIGNER_KEY, LOG_KEY, end_of_second_ms
from proof.verify.evidence.log.rfc6962 import leaf_hash

ORIGIN = "example.org/log"
SIGNED_AT_S = 1_767_225_600
LEAF = sha256(b"an example of a timestamped document").digest()
OTHERS = [sha256(b"another leaf, %d" % number).digest() for number in range(4)]
OTHER_ROUNDS = [
    Roots(
        *(
            sha256(b"a root of another round, %d %d" % (number, which)).digest()
            for which in range(2)
        )
    )
    for number in range(2)
]


def main() -> None:
    """Write proof.json, tree.json and log-key.txt beside the package's `__init__`."""
    folder = Path(package.__file__).parent
    leaves = sorted([LEAF, *OTHERS])
    tree = build(b"".join(leaves))
    entries = [roots.joined for roots in (*OTHER_ROUNDS, tree.roots)]
    node = reader(append(0, {}, [leaf_hash(entry) for entry in entries]))
    signer = CheckpointSigner(
        _key(ORIGIN, LOG_KEY, 1), (_key(f"{ORIGIN}/cosigner", COSIGNER_KEY, 2),)
    )
    shown = Tree(
        UUID(int=0x1234_5678_9ABC_4DEF_8123_4567_89AB_CDEF),
        Currency.LOG,
        SubmitStatus.VERIFIED,
        end_of_second_ms(SIGNED_AT_S),
        tree.roots.root,
        str(len(entries) - 1),
        tree.roots.plain,
    )
    evidence: dict[str, object] = {
        "type": "log",
        "origin": ORIGIN,
        "index": len(entries) - 1,
        "inclusion": [
            value.hex() for value in inclusion_path(len(entries) - 1, len(entries), node)
        ],
        "checkpoint": signer.sign(len(entries), root(len(entries), node), SIGNED_AT_S).decode(),
        "plainRoot": tree.roots.plain.hex(),
    }
    steps = tile_path(tree.levels[0], leaves.index(LEAF), top=True)
    (folder / "proof.json").write_bytes(canonical_json(payload(LEAF, shown, steps, evidence)))
    (folder / "tree.json").write_bytes(canonical_json(shown.wire()))
    lines = [signer.log.text, signer.cosigners[0].text]
    (folder / "log-key.txt").write_text("".join(f"{line}\n" for line in lines))


def _key(name: str, key_type: int, seed: int) -> SigningKey:
    return SigningKey.from_seed(name, key_type, bytes([seed]) * 32)


if __name__ == "__main__":
    main()
