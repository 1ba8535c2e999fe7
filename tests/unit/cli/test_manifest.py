"""Manifests: canonical bytes, hostile texts refused, folders compared."""

import json
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from proof.cli.proofs.hashing import HashedFile
from proof.cli.proofs.manifest import Difference, ManifestError, build, compare, parse

FOLDER = Path("folder")
A, B = "a" * 64, "b" * 64

_names = st.text(
    st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=20
).filter(lambda name: name not in {".", ".."})
_paths = st.lists(_names, min_size=1, max_size=3).map("/".join)
_folders = st.dictionaries(
    _paths, st.tuples(st.binary(min_size=32, max_size=32), st.integers(0, 2**53 - 1)), max_size=8
)


def hashed(path: str, sha256: str = A, size: int = 1) -> HashedFile:
    return HashedFile(FOLDER / path, size, sha256)


@given(_folders)
def test_canonical_and_read_back(folder: dict[str, tuple[bytes, int]]) -> None:
    files = [hashed(path, sha.hex(), size) for path, (sha, size) in folder.items()]
    content, unnamed = build(FOLDER, files)
    assert not unnamed
    assert content == rfc8785.dumps(json.loads(content))
    assert {e.path: (bytes.fromhex(e.sha256), e.size) for e in parse(content)} == folder
    assert not compare(parse(content), FOLDER, files)


def test_order_of_files_does_not_matter() -> None:
    files = [hashed("b"), hashed("a/x"), hashed("a")]
    assert build(FOLDER, files) == build(FOLDER, files[::-1])
    assert [entry.path for entry in parse(build(FOLDER, files)[0])] == ["a", "a/x", "b"]


def test_known_bytes() -> None:
    content, _ = build(FOLDER, [hashed("sub/ü.txt", B, 7)])
    expected = (
        f'{{"files":[{{"path":"sub/ü.txt","sha256":"{B}","size":7}}],'
        '"type":"proof-manifest","version":1}'
    )
    assert content == expected.encode()


def test_name_that_is_not_text_is_told_apart() -> None:
    content, unnamed = build(FOLDER, [hashed("a"), hashed("b\udcff")])
    assert [entry.path for entry in parse(content)] == ["a"]
    assert "not UTF-8" in unnamed[0].reason


def manifest(*paths: str, **members: Any) -> bytes:
    files = [{"path": path, "sha256": A, "size": 1} for path in paths]
    return json.dumps({"files": files, "type": "proof-manifest", "version": 1} | members).encode()


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (manifest("../etc/passwd"), "does not stay inside"),
        (manifest("/etc/passwd"), "does not stay inside"),
        (manifest("a/./b"), "does not stay inside"),
        (manifest("a//b"), "does not stay inside"),
        (manifest("a/"), "does not stay inside"),
        (manifest(""), "does not stay inside"),
        (manifest("a\0"), "does not stay inside"),
        (manifest("a", "a"), "listed twice"),
        (manifest("b", "a"), "out of order"),
        (manifest(version=2), "not a manifest"),
        (manifest(type="other"), "not a manifest"),
        (manifest(extra=1), "not a manifest"),
        (manifest("a").replace(b"aaaa", b"AAAA"), "not a manifest"),
        (manifest("a").replace(b'"size": 1', b'"size": -1'), "not a manifest"),
        (manifest("a").replace(b'"size": 1', b'"size": true'), "not a manifest"),
        (manifest("a").replace(A.encode(), A.encode() + b"\\n"), "not a manifest"),
        (b"", "not a manifest"),
        (b"\xff", "not a manifest"),
        (b"[" * 200_000, "not a manifest"),
        (b'{"files":[', "not a manifest"),
    ],
)
def test_hostile_manifest_is_refused(raw: bytes, reason: str) -> None:
    with pytest.raises(ManifestError, match=reason):
        parse(raw)


def test_too_long_manifest_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proof.cli.proofs.manifest.MAX_BYTES", 10)
    with pytest.raises(ManifestError, match="at most 10 bytes"):
        parse(manifest("a"))


def test_control_characters_of_a_path_are_escaped_in_the_refusal() -> None:
    with pytest.raises(ManifestError) as refusal:
        parse(manifest("../\x1b[2J"))
    assert "\x1b" not in refusal.value.message


def test_control_characters_of_a_member_are_escaped_in_the_refusal() -> None:
    with pytest.raises(ManifestError) as refusal:
        parse(manifest("a").replace(b'"type"', b'"\\u001b]0;x\\u0007"'))
    assert refusal.value.message.isprintable()


def test_comparing_names_what_differs() -> None:
    entries = parse(manifest("changed", "gone", "grown", "same"))
    now = [
        hashed("changed", B),
        hashed("grown", A, size=2),
        hashed("new"),
        hashed("same"),
    ]
    expected = Difference(missing=("gone",), changed=("changed", "grown"), extra=("new",))
    assert compare(entries, FOLDER, now) == expected
