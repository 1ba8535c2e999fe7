"""The proof of one entry of the audit log: what it establishes, and every way in which it is refused."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from tests.support.signer import EXISTED_BY_MS, KEYS, LOG, WITNESS, Signer, payload

from proof.verify import Policy, RefusedError
from proof.verify.audit import verify_audit
from proof.verify.cli import main
from proof.verify.evidence.log import note

PREVIOUS = "11" * 32
ENTRY: dict[str, Any] = {
    "id": 7,
    "at": "2026-02-02T02:39:58.123456Z",
    "actor": "cli:anna@host",
    "address": None,
    "request_id": None,
    "action": "partner.edit",
    "partner_id": "ptr_a",
    "before": {"name": "Ac\u00e9me \x07\u2028"},
    "after": {"n": [1, None, True, -(2**53 - 1)]},
}


def proof(entry: Any = ENTRY, previous: str = PREVIOUS, **changed: Any) -> dict[str, Any]:
    leaf = sha256(bytes.fromhex(previous) + rfc8785.dumps(entry)).hexdigest()
    position = changed.get("position", 7)
    signed = f"proof-audit/1\n{entry['id']}\n{entry['partner_id'] or ''}\n{position}\n{leaf}\n"
    made = {
        "format": "proof-audit/1",
        "entry": entry,
        "position": 7,
        "previous": previous,
        "signature": note.signed_note(signed.encode(), [KEY.line(signed.encode())]).decode(),
        "proofs": [payload(about=leaf)],
    }
    return made | changed


KEY = Signer.named("log.example/receipts", note.LOG_KEY)
TRUSTED: dict[str, Any] = {"policy": Policy.of_keys(KEYS), "receipt_keys": (KEY.key,)}


def raw(value: object) -> bytes:
    return json.dumps(value).encode()


def test_who_did_what_to_whom_and_by_when() -> None:
    established = verify_audit(raw(proof()), **TRUSTED)
    assert (established.entry, established.position) == (ENTRY, 7)
    assert (established.timestamp_ms, established.signed_by) == (EXISTED_BY_MS, KEY.name)
    assert (established.tied, established.remaining) == (True, ())
    for missing in TRUSTED:
        known = {name: trusted for name, trusted in TRUSTED.items() if name != missing}
        untied = verify_audit(raw(proof()), **known)
        assert not untied.tied
        assert len(untied.remaining) == 1
    first = verify_audit(raw(proof(previous="00" * 32, position=1)), **TRUSTED)
    assert first.tied


def test_the_earliest_time_counts_and_what_is_untied_is_said() -> None:
    made = proof()
    unknown = json.loads(json.dumps(made["proofs"][0])) | {"evidence": {"type": "runes"}}
    made["proofs"] = [unknown, made["proofs"][0]]
    established = verify_audit(raw(made), **TRUSTED)
    assert established.timestamp_ms == EXISTED_BY_MS
    assert established.tied
    made["proofs"] = [unknown]
    established = verify_audit(raw(made), **TRUSTED)
    assert "evidence of type 'runes'" in established.remaining[0]


def _line(text: str) -> str:
    return text.splitlines()[-1].rpartition(" ")[2]


KEY_LINE, OTHER_LINE = (_line(proof(previous=each * 32)["signature"]) for each in ("11", "22"))

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "an actor exchanged": (
        proof(entry=ENTRY) | {"entry": ENTRY | {"actor": "cli:bob@host"}},
        "AuditSubjectError",
    ),
    "another hash before it": (proof() | {"previous": "22" * 32}, "AuditSubjectError"),
    "a proof of something else": (proof() | {"proofs": [payload()]}, "AuditSubjectError"),
    "one proof of two of something else": (
        proof() | {"proofs": [*proof()["proofs"], payload()]},
        "AuditSubjectError",
    ),
    "another position than was signed": (proof() | {"position": 8}, "ReceiptSignatureError"),
    "another entry's signature": (
        proof() | {"signature": proof(entry=ENTRY | {"id": 8})["signature"]},
        "ReceiptSignatureError",
    ),
    "a signature that does not verify": (
        proof() | {"signature": proof()["signature"].replace(KEY_LINE, OTHER_LINE)},
        "ReceiptSignatureError",
    ),
    "no signature": (proof(signature=None), "ReceiptSignatureError"),
    "no proof": (proof(proofs=[]), "AuditFormatError"),
    "proofs no list": (proof(proofs={}), "AuditFormatError"),
    "too many proofs": (proof(proofs=proof()["proofs"] * 17), "AuditFormatError"),
    "another format": (proof(format="proof-audit/2"), "AuditFormatError"),
    "a member more": (proof(note="x"), "AuditFormatError"),
    "position 0": (proof(position=0), "AuditFormatError"),
    "the first after something": (proof(position=1), "AuditFormatError"),
    "a later one after nothing": (proof(previous="00" * 32), "AuditFormatError"),
    "position a text": (proof(position="7"), "MemberError"),
    "upper-case hash": (proof() | {"previous": "AA" * 32}, "HexError"),
    "entry with a member more": (proof(entry=ENTRY | {"x": 1}), "AuditEntryError"),
    "entry with a member less": (
        proof(entry={k: v for k, v in ENTRY.items() if k != "after"}),
        "AuditEntryError",
    ),
    "actor no text": (proof(entry=ENTRY | {"actor": None}), "MemberError"),
    "address a number": (proof(entry=ENTRY | {"address": 1}), "MemberError"),
    "id a text": (proof(entry=ENTRY | {"id": "7"}), "MemberError"),
    "time without its fraction": (
        proof(entry=ENTRY | {"at": "2026-02-02T02:39:58Z"}),
        "AuditEntryError",
    ),
    "time that is none": (
        proof(entry=ENTRY | {"at": "2026-02-30T02:39:58.000000Z"}),
        "AuditEntryError",
    ),
    "written after it existed": (
        proof(entry=ENTRY | {"at": "2026-02-02T02:41:01.001000Z"}),
        "AuditTimeError",
    ),
}


@pytest.mark.parametrize("attack", REFUSED)
def test_forgeries_are_refused(attack: str) -> None:
    forged, error = REFUSED[attack]
    with pytest.raises(RefusedError) as refused:
        verify_audit(raw(forged), **TRUSTED)
    assert type(refused.value).__name__ == error


def test_a_member_named_twice_is_refused() -> None:
    twice = raw(proof()).replace(b'"position": 7', b'"position": 7, "position": 8')
    with pytest.raises(RefusedError, match="twice"):
        verify_audit(twice)


def test_every_single_altered_byte_of_the_entry_is_found() -> None:
    text = raw(proof())
    start, end = text.index(b'"entry"'), text.index(b'"position"')
    for at in range(start, end):
        for flipped in (text[at] ^ 1, text[at] ^ 32):
            altered = text[:at] + bytes([flipped]) + text[at + 1 :]
            try:
                established = verify_audit(altered, **TRUSTED)
            except RefusedError:
                continue
            # Hex of an escape and white space may be written otherwise; what they say is the same.
            assert established.entry == ENTRY


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "entry.json").write_bytes(raw(proof()))
    (tmp_path / "log.key").write_text(f"{LOG.text}\n{WITNESS.text}\n")
    (tmp_path / "receipts.key").write_text(f"{KEY.text}\n")
    return tmp_path


def test_the_program_tells_the_entry_and_obeys_no_terminal_code(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(folder / "entry.json"), "--log-key", str(folder / "log.key")]
    assert main(arguments) == 3
    assert "anybody can have a hash stamped" in capsys.readouterr().out
    arguments += ["--receipt-key", str(folder / "receipts.key")]
    assert main(arguments) == 0
    told = capsys.readouterr().out
    assert "this entry existed by 2026-02-02T02:40:01Z" in told
    assert "partner.edit on ptr_a" in told
    assert "by cli:anna@host" in told
    assert "'log.example/receipts' signed that the operator's audit log holds it." in told
    assert "Not established: That what the entry says is true" in told
    assert "No file was compared" not in told
    assert "\x07" not in told
    assert "\u2028" not in told
    assert main([*arguments, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["entry"], facts["timestamp"]) == (ENTRY, EXISTED_BY_MS)
    assert facts["proofs"][0]["log"]["origin"] == "log.example/test"
    assert main(arguments[:1]) == 3
    assert "at no time that you can trust" in capsys.readouterr().out


def test_the_program_compares_a_hash_and_names_what_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "entry.json"
    assert main([str(path), "--webhooks", str(path)]) == 2
    assert main([str(path), "--receipt-key", str(folder / "log.key")]) == 2
    capsys.readouterr()
    assert main([str(path), "--sha256", "00" * 32]) == 1
    assert "but what was given is" in capsys.readouterr().out
    path.write_bytes(path.read_bytes().replace(b"anna", b"anne"))
    assert main([str(path), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["error"] == "AuditSubjectError"
