"""The facts in JSON, member by member: programs read them, so each name and unit is a promise."""

import json
from typing import Any

from tests.support import signer

from proof.verify import parse_policy, report, verify_checkpoint
from proof.verify.established import (
    BitcoinInclusion,
    ClaimedTree,
    Established,
    EthereumInclusion,
    LogInclusion,
    TokenInclusion,
    UpstreamInclusion,
)
from proof.verify.evidence.log import note
from proof.verify.evidence.ots import report as report_ots
from proof.verify.evidence.ots.evidence import (
    BitcoinAttestation,
    EstablishedOts,
    PendingAttestation,
)
from proof.verify.evidence.ots.format import Attestation

LEAF, ROOT = bytes(32), bytes(range(32))
REVERSED = ROOT[::-1].hex()
UNNAMED = report.Subject(None, None)


def established(**more: Any) -> dict[str, Any]:
    members: dict[str, Any] = {
        "leaf": LEAF,
        "root": ROOT,
        "levels": 3,
        "claimed": ClaimedTree("a-tree", 7, "LOG", 5000, "a-transaction"),
        "inclusion": None,
        "signed_by": None,
        "timestamp_ms": None,
        "remaining": ("one thing",),
    }
    facts: dict[str, Any] = json.loads(report.as_json(Established(**members | more), UNNAMED, 3))
    return facts


def test_of_a_payload() -> None:
    assert established() == {
        "result": "untied",
        "exitCode": 3,
        "sha256": LEAF.hex(),
        "rootSha256": ROOT.hex(),
        "levels": 3,
        "log": None,
        "bitcoin": None,
        "ethereum": None,
        "rfc3161": None,
        "upstream": None,
        "signedBy": None,
        "timestamp": None,
        "compared": False,
        "remaining": ["one thing"],
        "claimed": {
            "treeId": "a-tree",
            "currencyId": 7,
            "currency": "LOG",
            "timestamp": 5000,
            "transaction": "a-transaction",
        },
    }


def test_of_an_upstream() -> None:
    claimed = ClaimedTree("its-tree", 900, "LOG", 5000, "4")
    inner = Established(ROOT, LEAF, 2, claimed, None, "key", 5000, ())
    facts = established(found=UpstreamInclusion(inner), signed_by="key", timestamp_ms=5000)
    assert (facts["result"], facts["signedBy"], facts["log"]) == ("tied", "key", None)
    assert facts["upstream"] == {
        "rootSha256": LEAF.hex(),
        "levels": 2,
        "log": None,
        "bitcoin": None,
        "ethereum": None,
        "rfc3161": None,
        "upstream": None,
        "signedBy": "key",
        "timestamp": 5000,
        "claimed": {
            "treeId": "its-tree",
            "currencyId": 900,
            "currency": "LOG",
            "timestamp": 5000,
            "transaction": "4",
        },
    }


def test_of_a_log() -> None:
    inclusion = LogInclusion("log.example", 4, 9, ROOT, LEAF)
    other = note.signature_line("other.example", b"1234", bytes(5))
    text = signer.checkpoint(9, ROOT).encode() + other
    policy = parse_policy(
        f"log {signer.LOG.text}\nwitness w {signer.WITNESS.text}\n"
        f"witness v {signer.MLDSA_WITNESS.text}\ngroup g all v w\nquorum g\n".encode()
    )
    checkpoint = verify_checkpoint(text, policy)
    facts = established(
        inclusion=inclusion,
        signed_by="key",
        timestamp_ms=5000,
        remaining=(),
        checkpoint=checkpoint,
    )
    assert (facts["result"], facts["signedBy"], facts["timestamp"]) == ("tied", "key", 5000)
    assert facts["log"] == {
        "origin": "log.example",
        "index": 4,
        "size": 9,
        "rootSha256": ROOT.hex(),
        "plainRoot": LEAF.hex(),
        "signatures": [
            {
                "name": signer.ORIGIN,
                "keyId": signer.LOG.key.key_hash.hex(),
                "signer": "log",
                "witness": None,
                "timestamp": None,
            },
            {
                "name": signer.COSIGNER,
                "keyId": signer.WITNESS.key.key_hash.hex(),
                "signer": "witness",
                "witness": "w",
                "timestamp": signer.EXISTED_BY_MS,
            },
            {
                "name": "other.example",
                "keyId": b"1234".hex(),
                "signer": None,
                "witness": None,
                "timestamp": None,
            },
        ],
        "quorum": {"name": "g", "reached": False, "missing": ["v"]},
    }


def test_of_chains_and_authorities() -> None:
    bitcoin = BitcoinInclusion(
        network="main",
        height=8,
        block_hash=ROOT,
        txid=LEAF,
        time_s=5,
        work=2**70,
        chain_work=2**80,
        tied_by="headers",
        plain_root=LEAF,
        plain_path=True,
    )
    ethereum = EthereumInclusion(
        chain_id=1, number=19, block_hash=ROOT, transaction_hash=LEAF, index=2, time_s=5, tied=True
    )
    token = TokenInclusion(2**70, "1.2.3", 5001, 1000, ROOT, signature_checked=True, tied=True)
    facts = {
        found.kind: established(found=found)[found.kind] for found in (bitcoin, ethereum, token)
    }
    assert established(found=bitcoin)["ethereum"] is None
    assert facts["bitcoin"] == {
        "network": "main",
        "height": 8,
        "block": REVERSED,
        "transaction": LEAF.hex(),
        "timestamp": 5000,
        "work": str(2**70),
        "chainWork": str(2**80),
        "tiedBy": "headers",
        "plainRoot": LEAF.hex(),
        "plainPath": True,
    }
    assert facts["ethereum"] == {
        "chainId": 1,
        "number": 19,
        "block": "0x" + ROOT.hex(),
        "transaction": "0x" + LEAF.hex(),
        "index": 2,
        "timestamp": 5000,
        "tiedBy": "block",
        "plainRoot": None,
    }
    assert facts["rfc3161"] == {
        "serialNumber": str(2**70),
        "policy": "1.2.3",
        "timestamp": 5001,
        "accuracyMicroseconds": 1000,
        "certificateSha256": ROOT.hex(),
        "signatureChecked": True,
        "tiedBy": "certificate",
    }


def test_of_an_opentimestamps_file() -> None:
    found = EstablishedOts(
        "sha1",
        b"\x01" * 20,
        (BitcoinAttestation(8, ROOT, "main", 5), BitcoinAttestation(9, LEAF, None, None)),
        (PendingAttestation("https://calendar.example", ROOT),),
        (Attestation(b"unknown!", b"\x02"),),
        5000,
        (),
    )
    assert json.loads(report_ots.as_json(found, report.Subject(None, ROOT.hex()), 0)) == {
        "result": "tied",
        "exitCode": 0,
        "format": "ots",
        "operation": "sha1",
        "digest": "01" * 20,
        "sha256": None,
        "attestations": [
            {
                "type": "bitcoin",
                "height": 8,
                "merkleRoot": REVERSED,
                "tied": True,
                "network": "main",
                "timestamp": 5000,
            },
            {
                "type": "bitcoin",
                "height": 9,
                "merkleRoot": LEAF.hex(),
                "tied": False,
                "network": None,
                "timestamp": None,
            },
            {"type": "pending", "uri": "https://calendar.example", "message": ROOT.hex()},
            {"type": "unknown", "tag": b"unknown!".hex(), "payload": "02"},
        ],
        "timestamp": 5000,
        "compared": True,
        "remaining": [],
    }
