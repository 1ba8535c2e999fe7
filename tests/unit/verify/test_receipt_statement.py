"""The pure parts of a daily statement: its form, its leaves, and a leaf's path."""

from hashlib import sha256
from typing import Any

import pytest
from tests.support import receipts, signer
from tests.support.receipts import START, Json, canonical

from proof.verify import RefusedError
from proof.verify.receipts.errors import StatementFormatError, StatementLeafError
from proof.verify.receipts.statement import check_path, read_leaf, read_statement

LEAF = receipts.statement_leaf(dict(receipts.stories())["buy-completed"].records)
PARTS = {others: receipts.statement(LEAF, START, others=others) for others in (0, 1, 6)}
CONTENT = PARTS[6]["statement"]


@pytest.mark.parametrize("others", PARTS)
def test_a_leaf_leads_to_the_root(others: int) -> None:
    part = PARTS[others]
    leaf = read_leaf(part["leaf"])
    assert leaf.canonical == canonical(LEAF)
    path = [bytes.fromhex(each) for each in part["path"]]
    check_path(read_statement(part["statement"]), leaf, part["index"], path)


def test_a_statement_has_the_hash_of_its_canonical_form_and_signs_five_lines() -> None:
    statement = read_statement(CONTENT)
    digest = statement.sha256.hex()
    assert sha256(canonical(CONTENT)).hexdigest() == digest
    text = f"proof-statement/1\n{receipts.PARTNER}\nproduction\n2026-03-01\n{digest}\n"
    assert statement.signed_text == text.encode()


@pytest.mark.parametrize(
    "changed",
    [
        {"index": PARTS[6]["index"] ^ 1},
        {"index": 7},
        {"path": PARTS[6]["path"][:-1]},
        {"path": [*PARTS[6]["path"], "00" * 32]},
        {"path": PARTS[6]["path"][::-1]},
        {"leaf": LEAF | {"records": 4}},
        {"leaf": LEAF | {"head": "00" * 32}},
    ],
)
def test_a_leaf_in_another_place_is_refused(changed: Json) -> None:
    part = PARTS[6] | changed
    path = [bytes.fromhex(each) for each in part["path"]]
    with pytest.raises(StatementLeafError):
        check_path(read_statement(CONTENT), read_leaf(part["leaf"]), part["index"], path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("format", "proof-statement/2"),
        ("partner_id", "ptr\nproduction"),
        ("partner_id", 7),
        ("environment", "test"),
        ("environment", None),
        ("environment", []),
        ("date", "2026-W09-7"),
        ("date", "20260301"),
        ("date", 5),
        ("made_at", "2026-03-02"),
        ("made_at", None),
        ("previous_sha256", "ab"),
        ("transactions", "7"),
        ("transactions", True),
        ("tree_size", -1),
        ("root", "AA" * 32),
        ("csv_sha256", None),
        ("totals", {}),
        ("totals", [{"transactions": 7}]),
        ("totals", ["7"]),
        ("note", ""),
    ],
)
def test_a_statement_of_another_form_is_refused(name: str, value: Any) -> None:
    with pytest.raises(StatementFormatError):
        read_statement(CONTENT | {name: value})


def test_a_day_may_have_no_transaction() -> None:
    quiet = CONTENT | {"tree_size": 0, "transactions": 0, "totals": []}
    assert read_statement(quiet).tree_size == 0


@pytest.mark.parametrize("value", [None, [], {}, "text", {**CONTENT, "totals": None}])
def test_what_is_no_statement_is_refused(value: Any) -> None:
    with pytest.raises(StatementFormatError):
        read_statement(value)


@pytest.mark.parametrize(
    "changed",
    [{"records": 0}, {"records": "5"}, {"head": "5"}, {"merchant_transaction_id": 5}, {"more": 1}],
)
def test_a_leaf_of_another_form_is_refused(changed: Json) -> None:
    with pytest.raises(StatementFormatError):
        read_leaf(LEAF | changed)


def test_the_tree_is_the_logs_own_rule() -> None:
    leaf = read_leaf(LEAF)
    assert signer.plain_root([leaf.canonical]) == leaf.hash
    assert issubclass(StatementLeafError, RefusedError)
