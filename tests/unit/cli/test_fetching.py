"""proof status, fetch and verify where nothing is to be asked, or what answers is not Proof."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from tests.support import receipts, signer
from tests.support.middleman import Answer, Middleman
from tests.unit.cli.conftest import Proof
from tests.unit.verify import test_audit

from proof.timestamps.types import Currency

CONTENT = b"0"  # a leaf of every tree the signer builds
HASH = sha256(CONTENT).hexdigest()


def payload() -> dict[str, Any]:
    leaves = sorted(sha256(str(n).encode()).hexdigest() for n in range(5))
    return signer.payload(leaf_index=leaves.index(HASH))


@pytest.fixture
def report(tmp_path: Path) -> Path:
    path = tmp_path / "report.pdf"
    path.write_bytes(CONTENT)
    return path


def test_two_proofs_for_one_name_are_wrong_usage(
    proof: Proof, stranger: Middleman, report: Path
) -> None:
    (report.parent / "sub").mkdir()
    (report.parent / "sub" / "report.pdf").write_bytes(b"1")
    done = proof("fetch", "report.pdf", "sub/report.pdf", "-o", "proofs")
    assert done.exit_code == 2
    assert "leave out -o" in done.stderr
    assert not stranger.asked


def test_a_chain_that_there_is_not_is_wrong_usage(
    proof: Proof, stranger: Middleman, report: Path
) -> None:
    done = proof("fetch", "report.pdf", "--chain", "doge")
    assert done.exit_code == 2
    for chain in (*(currency.name.lower() for currency in Currency), "all"):
        assert chain in done.stderr
    assert not stranger.asked


def test_status_of_a_strange_server_is_harmless(proof: Proof, stranger: Middleman) -> None:
    tree = {"treeId": "[red]\x1b[2J", "currencyId": 0, "currency": "X", "submitStatus": 9}
    tree |= {"timestamp": 10**18}
    body = {"dateCreated": -(10**17), "trees": [tree]}
    stranger.answers[f"/v1/timestamp/{HASH}"] = Answer(200, json.dumps(body).encode())
    done = proof("status", HASH)
    assert done.exit_code == 3
    assert "[red]\\x1b[2J" in done.stdout
    assert "unknown" in done.stdout


def test_a_proof_is_verified_from_standard_input(proof: Proof, report: Path) -> None:
    for arguments, given in ((("-",), payload()), (("report.pdf", "-"), payload())):
        raw = json.dumps(given).encode()
        assert proof("verify", *arguments, given=raw).exit_code == 3
        assert proof("verify", *arguments, given=b"").exit_code == 1
    (report.parent / "p.proof.json").write_text(json.dumps(payload()))
    assert proof("verify", "-", "p.proof.json", given=CONTENT).exit_code == 3
    assert proof("verify", "-", "p.proof.json", given=b"other").exit_code == 1
    assert proof("verify", "-", "--files", ".", given=b"{}").exit_code == 2


@pytest.mark.parametrize("kind", ["receipt", "act"])
def test_what_stands_alone_is_given_alone_under_any_name(
    proof: Proof, report: Path, kind: str
) -> None:
    folder = report.parent
    story = receipts.Story("cli").opened().status("cancelled", "provider")
    made = {
        "receipt": (receipts.receipt(story.records, story.at), receipts.KEY, receipts.LOG),
        "act": (test_audit.proof(), test_audit.KEY, signer.LOG),
    }
    file, key, log = made[kind]
    witness = receipts.WITNESS if kind == "receipt" else signer.WITNESS
    (folder / "any.json").write_text(json.dumps(file))
    (folder / "receipts.key").write_text(key.text)
    (folder / "log.key").write_text(f"{log.text}\n{witness.text}\n")
    trusted = ("--receipt-key", "receipts.key", "--log-key", "log.key")
    assert proof("verify", "any.json", *trusted).exit_code == 0
    assert proof("verify", "any.json").exit_code == 3
    assert proof("verify", "any.json", "--webhooks", "none.ndjson").exit_code == 2
