"""The published proof in a witnessed log: ours reads it as it says, and so does its README's program."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from tests.support import log_vectors
from tests.support.log_vectors import FOLDER, POLICIES

from proof.verify import RefusedError, parse_policy, verify_payload, verify_tlog_proof
from proof.verify.evidence.log import note

EXPECTED: dict[str, Any] = json.loads((FOLDER / "expected.json").read_text())
RAW = (FOLDER / "proof.tlog-proof").read_bytes()


def test_the_files_are_what_the_rule_makes() -> None:
    published = json.loads((FOLDER / "proof.json").read_text())
    again = log_vectors.payload(published["evidence"]["checkpoint"])
    assert {path.name: path.read_bytes() for path in FOLDER.iterdir() if path.suffix != ".md"} == (
        log_vectors.files(again)
    )
    made = note.parse_note(log_vectors.payload()["evidence"]["checkpoint"].encode())
    held = note.parse_note((FOLDER / "checkpoint").read_bytes())
    assert made.body == held.body
    # ML-DSA-44 signs with random bits; the others' signatures are those of their keys.
    assert [_deterministic(line) for line in made.signatures] == [
        _deterministic(line) for line in held.signatures
    ]


def _deterministic(line: note.SignatureLine) -> tuple[str, bytes, bytes]:
    return line.name, line.key_hash, line.payload if len(line.payload) < 100 else line.payload[:8]


@pytest.mark.parametrize("name", POLICIES)
def test_each_policy_establishes_what_is_said(name: str) -> None:
    policy = parse_policy((FOLDER / f"{name}.policy").read_bytes())
    said = EXPECTED["policies"][name]
    payload = verify_payload((FOLDER / "proof.json").read_bytes(), policy=policy)
    tlog = verify_tlog_proof(RAW, policy)
    for found in (payload, tlog):
        checkpoint = found.checkpoint
        assert checkpoint is not None
        assert found.leaf.hex() == EXPECTED["sha256"]
        assert {
            "logSigned": found.signed_by is not None,
            "quorumReached": checkpoint.quorum_reached,
            "missing": [witness.name for witness in checkpoint.missing],
            "timestamp": found.timestamp_ms,
        } == said
    assert payload.inclusion == tlog.inclusion


@pytest.mark.parametrize("altered", EXPECTED["refused"], ids=lambda altered: altered["why"])
def test_each_alteration_is_refused(altered: dict[str, str]) -> None:
    policy = parse_policy((FOLDER / "two-of-three.policy").read_bytes())
    text = RAW.decode()
    assert text.count(altered["find"]) == 1
    with pytest.raises(RefusedError):
        verify_tlog_proof(text.replace(altered["find"], altered["replace"]).encode(), policy)


def test_the_readmes_program_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FOLDER)
    (program,) = re.findall(r"```python\n(.*?)```", Path("README.md").read_text(), re.DOTALL)
    exec(program, {})  # noqa: S102 - our own page


def test_the_readmes_program_would_notice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", (FOLDER / "README.md").read_text(), re.DOTALL)
    for path in FOLDER.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.chdir(tmp_path)
    (tmp_path / "two-of-three.policy").write_bytes((FOLDER / "unreached.policy").read_bytes())
    with pytest.raises(AssertionError, match="two-of-three"):
        exec(program, {})  # noqa: S102 - our own page
