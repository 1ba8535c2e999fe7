"""A partner's own list beside a statement's lines: what agrees, what differs, what only one has."""

import pytest
from tests.support.statements import Line, day_lines

from proof.verify.receipts.reconciliation import OwnList, OwnListError, Reconciliation

LINES = day_lines()
FIRST = LINES[0]
ID = FIRST["merchant_transaction_id"]


def own(columns: str, *rows: str) -> list[bytes]:
    return [f"{each}\n".encode() for each in (columns, *rows)]


def compared(lines: list[bytes], stated: list[Line] = LINES[:1]) -> Reconciliation:
    mine = OwnList(lines)
    for line in stated:
        mine.see(line)
    return mine.result()


def test_a_list_that_agrees() -> None:
    columns = ("merchant_transaction_id", "status", "crypto_amount", "fiat_amount", "created_at")
    rows = [",".join(line[name] for name in columns) for line in LINES]
    found = compared(own(",".join(columns), *rows), LINES)
    assert found.agrees
    assert (found.agreeing, found.compared) == (len(LINES), columns[1:])


@pytest.mark.parametrize(
    ("column", "text"),
    [
        ("crypto_amount", "+0025.50"),
        ("fiat_amount", "26.920"),
        ("status", "COMPLETED"),
        ("status", " completed "),
        ("refund_amount", "0.00"),
        ("created_at", "2026-03-01 10:01:00+01:00"),
        ("created_at", "2026-03-01T09:01:00"),
    ],
)
def test_what_is_written_otherwise_is_alike(column: str, text: str) -> None:
    line = next(each for each in LINES if each["created_at"].startswith("2026-03-01T09:01"))
    name = line["merchant_transaction_id"].upper()
    assert compared(own(f"Merchant Transaction ID,{column}", f"{name},{text}"), [line]).agrees


@pytest.mark.parametrize(
    ("column", "text"),
    [
        ("crypto_amount", "25.51"),
        ("crypto_amount", ""),
        ("fiat_amount", "26,92"),
        ("fiat_amount", "NaN"),
        ("status", "failed"),
        ("head", "00"),
        ("created_at", "yesterday"),
        ("created_at", "2026-03-01T09:01:01Z"),
    ],
)
def test_what_differs_is_named(column: str, text: str) -> None:
    line = FIRST | {"crypto_amount": "25.5", "fiat_amount": "26.92", "status": "completed"}
    found = compared(own(f"merchant_transaction_id;{column}", f"{ID};{text}"), [line])
    (difference,) = found.differences
    assert (difference.transaction, difference.column) == (ID, column)
    assert (difference.stated, difference.own) == (line[column], text)
    assert not found.agrees


def test_what_only_one_of_them_has_is_named() -> None:
    found = compared(
        own("\ufeffmerchant_transaction_id\tnote", f"{ID}\thello", "zzz\tx", "\t"), LINES
    )
    assert found.missing == [each["merchant_transaction_id"] for each in LINES[1:]]
    assert found.extra == ["zzz"]
    assert (found.compared, found.ignored) == ((), ("note",))


@pytest.mark.parametrize(
    "lines",
    [
        [],
        own("id,status", "a,b"),
        own("merchant_transaction_id,merchant_transaction_id", "a,b"),
        own("merchant_transaction_id,status", "a"),
        own("merchant_transaction_id", "a", "A"),
        [b"merchant_transaction_id\n", b"\xff\n"],
        own("merchant_transaction_id,status", "a," + "x" * 200_000),
    ],
)
def test_a_list_that_cannot_be_compared_is_said_to_be_one(lines: list[bytes]) -> None:
    with pytest.raises(OwnListError):
        compared(lines)
