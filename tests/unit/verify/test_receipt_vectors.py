"""The published receipts: ours reads each as it says, and the files are what the rule makes."""

import json
import re
import shutil
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from tests.support import receipt_vectors
from tests.support.receipt_vectors import FOLDER
from tests.support.receipts import FORMER_KEY, KEY, LOG, WITNESS
from tests.support.signer import openssl_verify

from proof.verify import ChainTrust, RefusedError, load_headers, parse_verifier_key
from proof.verify.receipts.receipt import EstablishedReceipt, verify_receipt
from proof.verify.receipts.webhooks import bounded_lines, compare

EXPECTED: dict[str, Any] = json.loads((FOLDER / "expected.json").read_text())
CHAINS = ChainTrust(
    headers=load_headers((FOLDER / "regtest.headers").read_bytes()), networks={"regtest"}
)


def verified(group: str, name: str, *disclosures: bytes) -> EstablishedReceipt:
    return verify_receipt(
        (FOLDER / group / f"{name}.json").read_bytes(),
        receipt_keys=[KEY.key, FORMER_KEY.key],
        log_keys=[LOG.key, WITNESS.key],
        chains=CHAINS,
        disclosures=disclosures,
        ed25519_verify=openssl_verify,
    )


def facts(found: EstablishedReceipt) -> dict[str, Any]:
    return {
        "status": found.chain.status,
        "refundStatus": found.chain.refund_status,
        "records": len(found.records),
        "head": found.chain.head.hex(),
        "existedBy": [dated.existed_by_ms for dated in found.records],
        "disclosed": [[each.sequence, each.field] for each in found.disclosures],
    }


def test_the_files_are_what_the_rule_makes() -> None:
    made = receipt_vectors.files()
    held = {
        str(path.relative_to(FOLDER)): path.read_bytes()
        for path in FOLDER.rglob("*")
        if path.is_file() and path.suffix != ".md" and "statements" not in path.parts
    }
    assert sorted(held) == sorted(made)
    assert [name for name in held if held[name] != made[name]] == []


def program() -> str:
    (found,) = re.findall(r"```python\n(.*?)```", (FOLDER / "README.md").read_text(), re.DOTALL)
    return str(found)


def test_the_readmes_program_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FOLDER)
    exec(program(), {})  # noqa: S102 - our own page


def test_the_readmes_program_would_notice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = shutil.copytree(FOLDER, tmp_path / "receipts")
    shutil.copy(folder / "tied" / "refunded.json", folder / "refused" / "truncated.json")
    monkeypatch.chdir(folder)
    with pytest.raises(AssertionError, match="truncated is accepted"):
        exec(program(), {})  # noqa: S102 - our own page


def test_the_keys_are_those_of_the_files() -> None:
    lines = (FOLDER / "log.key").read_text().splitlines()
    assert [parse_verifier_key(line) for line in lines] == [LOG.key, WITNESS.key]
    lines = (FOLDER / "receipts.key").read_text().splitlines()
    assert [parse_verifier_key(line) for line in lines] == [KEY.key, FORMER_KEY.key]


@pytest.mark.parametrize("name", EXPECTED["tied"])
def test_a_tied_receipt_establishes_what_is_said(name: str) -> None:
    found = verified("tied", name)
    assert facts(found) == EXPECTED["tied"][name]
    assert found.tied
    assert found.remaining == ()
    assert found.signed_by == KEY.name


@pytest.mark.parametrize("name", EXPECTED["untied"])
def test_an_untied_receipt_says_what_remains(name: str) -> None:
    found = verified("untied", name)
    assert facts(found) == EXPECTED["untied"][name]
    assert not found.tied
    assert found.remaining


@pytest.mark.parametrize("name", EXPECTED["refused"])
def test_a_wrong_receipt_is_refused_by_name(name: str) -> None:
    with pytest.raises(RefusedError) as caught:
        verified("refused", name)
    assert type(caught.value).__name__ == EXPECTED["refused"][name]


def test_the_bodies_of_webhooks_are_told_apart() -> None:
    said = EXPECTED["webhooks"]
    chain = verified("tied", said["receipt"]).chain
    lines = bounded_lines(BytesIO((FOLDER / "webhooks.ndjson").read_bytes()))
    found = compare(lines, chain)
    assert (found.matching, found.others) == (said["matching"], said["others"])
    assert [finding.line for finding in found.findings] == said["differing"]
    assert found.differing == len(said["differing"])
    assert found.untold == ()
    assert not found.agrees


def test_a_disclosure_beside_a_receipt_is_checked() -> None:
    said = EXPECTED["disclosure"]
    found = verified("tied", said["receipt"], (FOLDER / "disclosure.json").read_bytes())
    assert [[each.sequence, each.field] for each in found.disclosures] == said["disclosed"]
    assert [each.value for each in found.disclosures if each.value in repr(found)] == []
