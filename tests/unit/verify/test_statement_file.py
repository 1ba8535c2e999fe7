"""A whole statement: its signature, its proofs, its list of transactions, the day before."""

import csv
import io
import json
import random
from base64 import b64decode, b64encode
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support import statements
from tests.support.receipts import KEY, LOG, START, STRANGER, WITNESS, Json
from tests.support.statements import content, csv_text, day_lines, file, ndjson

from proof.core.note_keys import ed25519_verify
from proof.verify import Policy, RefusedError, errors
from proof.verify.receipts import errors as receipt_errors
from proof.verify.receipts.statement import read_statement
from proof.verify.receipts.statement_file import (
    MAX_LINE_BYTES,
    EstablishedStatement,
    check_lines,
    verify_statement,
)
from proof.verify.receipts.statement_lines import COLUMNS, csv_row, value_of

LINES = day_lines()
STATED = content(LINES)
GOOD = file(STATED)
TRUST: dict[str, Any] = {
    "receipt_keys": [KEY.key],
    "policy": Policy.of_keys([LOG.key, WITNESS.key]),
    "ed25519_verify": ed25519_verify,
}
GOOD_CASES = list(statements.good())
TAMPERINGS = list(statements.tamperings())
EXPECTED = json.loads((statements.FOLDER / "expected.json").read_bytes())


def check(value: Json, cells: bytes | None = None, **how: Any) -> EstablishedStatement:
    lines = None if cells is None else cut(cells)
    return verify_statement(json.dumps(value).encode(), lines=lines, **(TRUST | how))


def cut(raw: bytes) -> list[bytes]:
    """As a file is read: after each newline."""
    return list(io.BytesIO(raw))


@pytest.mark.parametrize(
    ("stated", "cells"), [each[1:] for each in GOOD_CASES], ids=[each[0] for each in GOOD_CASES]
)
def test_a_statement_and_its_list_are_established(stated: Json, cells: bytes) -> None:
    found = check(stated, cells)
    assert (found.tied, found.signed_by, found.lines) == (True, KEY.name, "csv")
    assert found.remaining == ()


def test_the_list_may_be_json_and_lines_are_seen_in_order() -> None:
    seen: list[dict[str, str]] = []
    assert check(GOOD, ndjson(LINES), see=seen.append).lines == "ndjson"
    assert seen == LINES
    check(GOOD, csv_text(LINES), see=(seen := []).append)
    assert seen == LINES


@pytest.mark.parametrize(
    ("error", "stated", "cells"),
    [each[1:] for each in TAMPERINGS],
    ids=[each[0] for each in TAMPERINGS],
)
def test_a_tampering_is_refused_by_name(error: str, stated: Json, cells: bytes) -> None:
    kind = getattr(receipt_errors, error, None) or getattr(errors, error)
    with pytest.raises(kind):
        check(stated, cells)


def test_the_corpus_is_what_its_program_writes() -> None:
    written = statements.corpus()
    assert {path.name for path in statements.FOLDER.iterdir()} == written.keys()
    for name, raw in written.items():
        assert (statements.FOLDER / name).read_bytes() == raw, name


@pytest.mark.parametrize("name", EXPECTED)
def test_the_corpus_is_decided_as_it_says(name: str) -> None:
    raw = (statements.FOLDER / f"{name}.json").read_bytes()
    lines = cut((statements.FOLDER / f"{name}.csv").read_bytes())
    expected = EXPECTED[name]
    if expected["result"] == "tied":
        found = verify_statement(raw, lines=lines, **TRUST)
        assert found.tied
        assert found.statement.sha256.hex() == expected["sha256"]
        return
    with pytest.raises(RefusedError) as refused:
        verify_statement(raw, lines=lines, **TRUST)
    assert refused.type.__name__ == expected["error"]


def test_what_is_missing_is_said() -> None:
    nobody = check(GOOD, receipt_keys=[STRANGER.key])
    assert not nobody.tied
    assert any("--receipt-key" in each for each in nobody.remaining)
    young = check(file(STATED, proved=False))
    assert not young.tied
    assert any("no proof yet" in each for each in young.remaining)
    assert any("no list" in each for each in young.remaining)
    assert not check(GOOD, policy=None).tied


def test_a_line_by_another_key_of_the_same_name_is_refused() -> None:
    other = file(STATED, sign=_forged)
    with pytest.raises(receipt_errors.ReceiptSignatureError):
        check(other)


def _forged(body: bytes) -> str:
    """A line that claims to be by the key, made by another."""
    good = KEY.line(body).split(b" ")
    bad = STRANGER.line(body).split(b" ")
    payload = b64encode(b64decode(good[2])[:4] + b64decode(bad[2])[4:])
    return (body + b"\n" + b" ".join([*good[:2], payload]) + b"\n").decode()


def test_no_day_is_left_out() -> None:
    first = GOOD
    named = read_statement(STATED).sha256.hex()
    next_day = file(content(LINES, START + timedelta(days=1), named))
    before = json.dumps(first).encode()
    assert check(next_day, previous=before).follows
    for other in (
        file(content(LINES, START + timedelta(days=1))),  # names none
        file(content(LINES, START + timedelta(days=2), named)),  # leaves a day out
        file(content(LINES, START + timedelta(days=1), named) | {"environment": "sandbox"}),
    ):
        with pytest.raises(receipt_errors.StatementDayError):
            check(other, previous=before)


@pytest.mark.parametrize(
    "raw",
    [
        b"\xff\r\n",
        b"{}\n",
        b'{"a":1}\n',
        b"[]\n",
        b"x" * (MAX_LINE_BYTES + 1),
        csv_text(LINES)[:-1] + b'"unclosed',
        ndjson(LINES).replace(b'"records":"5"', b'"records":5', 1),
        ndjson(LINES).replace(b'"records":"5"', b'"records":"05"', 1),
        ndjson(LINES).replace(b'"records":"5"', b'"records":"0"', 1),
        ndjson(LINES).replace(b'"records":"5"', b'"records":"x"', 1),
        ndjson(LINES).replace(b'"crypto_amount":"25.5"', b'"crypto_amount":"2e5"', 1),
        ndjson(LINES).replace(b'"crypto_amount":"25.5"', b'"crypto_amount":"-1"', 1),
        ndjson(LINES).replace(b"{", b"{ ", 1),
        b"",
    ],
)
def test_a_malformed_list_is_refused(raw: bytes) -> None:
    lines = [raw] if len(raw) > MAX_LINE_BYTES else cut(raw)
    with pytest.raises(receipt_errors.StatementLinesError):
        check_lines(read_statement(STATED), lines)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\x00")))
def test_a_cell_gives_its_value_back_and_is_no_formula(text: str) -> None:
    line = dict.fromkeys(COLUMNS, "") | {"payment_method": text}
    (row,) = csv.reader(io.StringIO(csv_row(line).decode(), newline=""))
    assert not row[COLUMNS.index("payment_method")].startswith(("=", "+", "-", "@", "\t", "\r"))
    assert list(map(value_of, row)) == list(line.values())


def test_a_flipped_bit_is_never_accepted_as_another_statement() -> None:
    chance = random.Random(4)
    raw, cells = json.dumps(file(content(LINES[:2]))).encode(), csv_text(LINES[:2])
    good = verify_statement(raw, lines=cut(cells), **TRUST)
    for _ in range(300):
        mutant, listed = bytearray(raw), bytearray(cells)
        changed = chance.choice((mutant, listed))
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
        try:
            found = verify_statement(bytes(mutant), lines=cut(bytes(listed)), **TRUST)
        except RefusedError:
            continue
        assert found.statement.sha256 == good.statement.sha256
        assert bytes(listed) == cells
