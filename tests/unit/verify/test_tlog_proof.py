"""Proofs in the log as c2sp.org/tlog-proof: what is written, read, established and refused."""

import json
from base64 import b64decode, b64encode
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support import signer
from tests.support.aics_log import aics_tlog
from tests.support.signer import EXISTED_BY_MS, LOG, MLDSA_WITNESS, ORIGIN, WITNESS

from proof.verify import (
    EstablishedTlogProof,
    Policy,
    RefusedError,
    errors,
    parse_policy,
    verify_payload,
    verify_tlog_proof,
)
from proof.verify.cli import main
from proof.verify.evidence.log.note import MAX_NOTE_BYTES
from proof.verify.evidence.log.tlog_proof import (
    MAX_TLOG_PROOF_BYTES,
    TlogProof,
    parse_tlog_proof,
    write_tlog_proof,
)

PAYLOAD = signer.payload()
RAW = signer.tlog_proof(PAYLOAD)
TRUSTED = Policy.of_keys(signer.KEYS)
LINES = RAW.split(b"\n")
EXTRA = b64decode(LINES[1].removeprefix(b"extra "))


def checked(raw: bytes, trusted: Policy = TRUSTED) -> EstablishedTlogProof:
    return verify_tlog_proof(raw, trusted, signer.openssl_verify)


def with_line(number: int, line: bytes) -> bytes:
    return b"\n".join([*LINES[:number], line, *LINES[number + 1 :]])


def with_extra(extra: bytes) -> bytes:
    return with_line(1, b"extra " + b64encode(extra))


def test_it_establishes_what_the_payload_does() -> None:
    found, payload = (
        checked(RAW),
        verify_payload(json.dumps(PAYLOAD).encode(), log_keys=signer.KEYS),
    )
    assert found.tied
    assert (found.leaf, found.root) == (payload.leaf, payload.root)
    assert found.inclusion == payload.inclusion
    assert found.checkpoint == payload.checkpoint
    assert (found.signed_by, found.timestamp_ms) == (ORIGIN, EXISTED_BY_MS)
    assert (found.levels, found.remaining) == (3, ())


@pytest.mark.parametrize(
    ("leaf_count", "leaf_index", "log_size", "log_index"),
    [(2, 0, 1, 0), (2, 1, 2, 1), (5, 4, 11, 10), (7, 6, 300, 255), (1, 0, 3, 2)],
)
def test_every_shape_is_read_and_written(
    leaf_count: int, leaf_index: int, log_size: int, log_index: int
) -> None:
    payload = signer.payload(leaf_count, leaf_index, log_size, log_index)
    raw = signer.tlog_proof(payload, leaf_count, leaf_index)
    assert checked(raw).leaf.hex() == payload["sha256"]
    assert write_tlog_proof(parse_tlog_proof(raw)) == raw


def test_without_keys_only_the_arithmetic_is_established() -> None:
    found = checked(RAW, Policy.of_keys(()))
    assert not found.tied
    assert found.signed_by is None
    assert "No key of the log" in found.remaining[0]


def test_the_quorum_of_a_policy_is_needed() -> None:
    witnesses = f"witness a {WITNESS.text}\nwitness b {MLDSA_WITNESS.text}\ngroup g all a b\n"
    policy = parse_policy(f"log {LOG.text}\n{witnesses}quorum g\n".encode())
    found = checked(RAW, policy)
    assert (found.tied, found.signed_by) == (False, ORIGIN)
    assert "without 'b'" in found.remaining[0]
    cosigned = signer.payload(signers=(LOG, WITNESS, MLDSA_WITNESS))
    assert checked(signer.tlog_proof(cosigned), policy).tied


def joined(*parts: list[bytes]) -> bytes:
    return b"\n".join(line for part in parts for line in part)


CHECKPOINT = RAW.split(b"\n\n", 1)[1]
HEAD = len(LINES) - len(CHECKPOINT.split(b"\n"))  # up to the empty line, which is the last of these
HASH = b64encode(bytes(32))
MALFORMED: dict[str, tuple[type[RefusedError], bytes]] = {
    "empty": (errors.TlogProofError, b""),
    "another version": (errors.TlogProofError, with_line(0, b"c2sp.org/tlog-proof@v2")),
    "a byte order mark": (errors.TlogProofError, b"\xef\xbb\xbf" + RAW),
    "line feeds of Windows": (errors.TlogProofError, RAW.replace(b"\n", b"\r\n")),
    "no empty line": (errors.TlogProofError, RAW.split(b"\n\n")[0] + b"\n"),
    "only the first line": (errors.TlogProofError, LINES[0] + b"\n\n" + CHECKPOINT),
    "no index": (errors.TlogProofError, b"\n".join(LINES[:2] + LINES[3:])),
    "extra data behind the index": (
        errors.TlogProofError,
        joined(LINES[:1], LINES[2:3], LINES[1:2], LINES[3:]),
    ),
    "extra data twice": (errors.TlogProofError, b"\n".join([*LINES[:2], *LINES[1:]])),
    "index twice": (errors.TlogProofError, b"\n".join([*LINES[:3], *LINES[2:]])),
    "no extra data": (errors.TlogProofExtraError, b"\n".join([LINES[0], *LINES[2:]])),
    "extra data of nothing": (errors.TlogProofExtraError, with_line(1, b"extra ")),
    "extra data that are not base64": (errors.TlogProofError, with_line(1, b"extra !!!!")),
    "extra data with spare bits": (errors.TlogProofError, with_line(1, b"extra AB==")),
    "extra data behind two spaces": (errors.TlogProofError, with_line(1, LINES[1].replace(b" ", b"  "))),
    "extra data of another version": (errors.TlogProofExtraError, with_extra(b"\x02" + EXTRA[1:])),
    "extra data cut off": (errors.TlogProofExtraError, with_extra(EXTRA[:-1])),
    "extra data without a root": (errors.TlogProofExtraError, with_extra(EXTRA[:64])),
    "extra data with more": (errors.TlogProofExtraError, with_extra(EXTRA + b"\0")),
    "extra data with a third side": (
        errors.TlogProofExtraError,
        with_extra(EXTRA[:65] + b"\x02" + EXTRA[66:]),
    ),
    "extra data of 65 steps": (errors.TlogProofExtraError, with_extra(EXTRA[:65] + bytes(33) * 65)),
    "index with a leading zero": (errors.TlogProofError, with_line(2, b"index 06")),
    "index with a sign": (errors.TlogProofError, with_line(2, b"index +6")),
    "index below zero": (errors.TlogProofError, with_line(2, b"index -0")),
    "index behind two spaces": (errors.TlogProofError, with_line(2, b"index  6")),
    "index with a space behind": (errors.TlogProofError, with_line(2, b"index 6 ")),
    "index of the largest size": (errors.TlogProofError, with_line(2, b"index 9223372036854775807")),
    "index beyond the log": (errors.LogIndexError, with_line(2, b"index 11")),
    "another index": (errors.LogRootMismatchError, with_line(2, b"index 2")),
    "a hash of 31 bytes": (errors.TlogProofError, with_line(3, b64encode(bytes(31)))),
    "a hash that is not base64": (errors.TlogProofError, with_line(3, b"*" * 44)),
    "a hash with spare bits": (errors.TlogProofError, with_line(3, LINES[3][:-2] + b"B=")),
    "a hash with a space behind": (errors.TlogProofError, with_line(3, LINES[3] + b" ")),
    "a hash that is not ASCII": (errors.TlogProofError, with_line(3, LINES[3] + "é".encode())),
    "64 hashes": (errors.TlogProofError, b"\n".join([*LINES[:3], *[HASH] * 64, *LINES[HEAD - 1 :]])),
    "a hash left out": (errors.PathTooShortError, b"\n".join([*LINES[:3], *LINES[4:]])),
    "a hash more": (errors.PathTooLongError, b"\n".join([*LINES[:3], HASH, *LINES[3:]])),
    "two hashes exchanged": (
        errors.LogRootMismatchError,
        joined(LINES[:3], LINES[4:5], LINES[3:4], LINES[5:]),
    ),
    "two empty lines": (errors.CheckpointFormatError, RAW.replace(b"\n\n", b"\n\n\n", 1)),
    "no checkpoint": (errors.NoteFormatError, RAW.split(b"\n\n")[0] + b"\n\n"),
    "the checkpoint of another size": (errors.SignatureError, RAW.replace(b"\n11\n", b"\n12\n")),
    "too long": (errors.TlogProofError, RAW + b"x" * MAX_TLOG_PROOF_BYTES),
}  # fmt: skip


@pytest.mark.parametrize("fault", MALFORMED)
def test_a_malformed_proof_is_refused(fault: str) -> None:
    expected, raw = MALFORMED[fault]
    with pytest.raises(expected):
        checked(raw)


def test_the_longest_proof_has_room() -> None:
    steps = tuple([(True, bytes(32))] * 64)
    longest = TlogProof(
        bytes(32), bytes(32), steps, 2**63 - 2, (bytes(32),) * 63, b"x" * MAX_NOTE_BYTES
    )
    raw = write_tlog_proof(longest)
    assert len(raw) <= MAX_TLOG_PROOF_BYTES
    assert parse_tlog_proof(raw) == longest


@pytest.mark.parametrize("octet", [0x00, 0x20, 0x30, 0x41, 0x2B])
def test_no_octet_of_any_line_can_be_another(octet: int) -> None:
    """Whatever is still accepted says the same: no line carries an octet that does not count, but for lines
    by keys that the caller does not know."""
    said = checked(RAW)
    for at, present in enumerate(RAW):
        altered = RAW[:at] + bytes([octet]) + RAW[at + 1 :]
        try:
            found = checked(altered)
        except RefusedError:
            continue
        assert (found.leaf, found.root, found.inclusion) == (said.leaf, said.root, said.inclusion)
        assert found.tied == (present == octet), f"octet {at} may be {octet:#x}"


@given(st.data())
def test_no_line_can_be_left_out_doubled_or_moved(data: st.DataObject) -> None:
    lines = list(LINES)
    at = data.draw(st.integers(0, len(lines) - 1))
    match data.draw(st.sampled_from(["drop", "double", "move", "empty"])):
        case "drop":
            del lines[at]
        case "double":
            lines.insert(at, lines[at])
        case "empty":
            lines.insert(at, b"")
        case _:
            lines.insert(data.draw(st.integers(0, len(lines) - 1)), lines.pop(at))
    raw = b"\n".join(lines)
    try:
        found = checked(raw)
    except RefusedError:
        return
    # The log's line and the witness's may change places; without the witness's no time is established.
    expected = (checked(RAW).leaf, checked(RAW).root, checked(RAW).inclusion)
    assert (found.leaf, found.root, found.inclusion) == expected
    assert found.timestamp_ms in {EXISTED_BY_MS, None}


@given(st.binary(max_size=200))
def test_any_octets_are_refused_or_read(raw: bytes) -> None:
    for text in (raw, b"c2sp.org/tlog-proof@v1\n" + raw):
        try:
            proof = parse_tlog_proof(text)
        except RefusedError:
            continue
        assert write_tlog_proof(proof) == text


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    leaves = sorted(sha256(str(n).encode()).hexdigest() for n in range(5))
    at = leaves.index(sha256(b"0").hexdigest())
    Path("report.pdf").write_bytes(b"0")
    Path("report.pdf.tlog-proof").write_bytes(
        signer.tlog_proof(signer.payload(leaf_index=at), leaf_index=at)
    )
    Path("log.key").write_text(f"{LOG.text}\n{WITNESS.text}\n")
    return tmp_path


def test_the_program_reads_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hashed = sha256(b"0").hexdigest()
    keys = ("--log-key", "log.key")
    assert main(["report.pdf", "report.pdf.tlog-proof", *keys]) == 0
    said = capsys.readouterr().out
    assert f"'report.pdf' (SHA-256 {hashed}) existed by 2026-02-02T02:40:01Z" in said
    assert "Entry 6 of 11 in the log 'log.example/test' ends in that plain root." in said
    assert f"'log.example/test' {LOG.key.key_hash.hex()}: a log's, valid" in said
    assert main(["report.pdf.tlog-proof", "--sha256", hashed, *keys, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts.keys() == {
        *("result", "exitCode", "format", "sha256", "rootSha256", "levels", "log", "signedBy"),
        *("timestamp", "compared", "remaining"),
    }
    assert (facts["format"], facts["result"], facts["sha256"]) == ("tlog-proof", "tied", hashed)
    assert (facts["timestamp"], facts["compared"], facts["log"]["index"]) == (
        EXISTED_BY_MS,
        True,
        6,
    )
    assert main(["report.pdf.tlog-proof"]) == 3
    assert "is under the plain root above." in capsys.readouterr().out
    assert main(["log.key", "report.pdf.tlog-proof", *keys]) == 1
    assert f"the proof is about {hashed}" in capsys.readouterr().out
    Path("report.pdf.tlog-proof").write_bytes(RAW[:-1])
    assert main(["report.pdf", "report.pdf.tlog-proof", *keys, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["error"] == "NoteFormatError"


def test_another_authors_verifier_follows_it(tmp_path: Path) -> None:
    head, _, checkpoint = RAW.partition(b"\n\n")
    _, _, index, *hashes = head.split(b"\n")
    found = checked(RAW).inclusion
    (tmp_path / "entry").write_bytes(parse_tlog_proof(RAW).root + found.plain_root)
    (tmp_path / "proof").write_bytes(b"\n".join(hashes) + b"\n")
    (tmp_path / "checkpoint").write_bytes(checkpoint)
    known = ("--log-key", LOG.text, "--witness-key", WITNESS.text, "--quorum", "1")
    signed = aics_tlog("verify-checkpoint", "--note", tmp_path / "checkpoint", *known)
    assert (signed["ok"], signed["size"]) == (True, found.size)
    place = ("--index", index.removeprefix(b"index ").decode(), "--size", found.size)
    root = ("--root", b64encode(found.root).decode(), "--proof", tmp_path / "proof")
    assert aics_tlog("verify-inclusion", "--leaf", tmp_path / "entry", *place, *root)["ok"]
