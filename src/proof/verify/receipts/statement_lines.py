"""The lines of a daily statement: one transaction each, as JSON, as CSV, as a leaf, and in sums.

A line has the members of `COLUMNS`, all of them strings. As JSON it is canonical (RFC 8785), and a file of
lines ends each with a newline. As CSV (RFC 4180) a file begins with a row of the columns' names, every row
ends with CR LF, and a value that a spreadsheet would take for a formula has an apostrophe before it, as has
one that begins with an apostrophe, so that each value can be told from its cell. The leaf is what the
statement's Merkle tree is over.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import Final

COLUMNS: Final = (
    "merchant_transaction_id",
    "type",
    "status",
    "currency",
    "network",
    "crypto_amount",
    "fiat_currency",
    "fiat_amount",
    "fiat_fee",
    "rate",
    "payment_method",
    "failure_reason",
    "chain_transaction",
    "refund_status",
    "refund_amount",
    "refund_currency",
    "refunded_at",
    "created_at",
    "updated_at",
    "records",
    "head",
)

AMOUNTS: Final = ("crypto_amount", "fiat_amount", "fiat_fee", "rate", "refund_amount")

_SUMMED: Final = ("crypto_amount", "fiat_amount", "fiat_fee", "refund_amount")
_GROUPED_BY: Final = (
    "type",
    "status",
    "currency",
    "fiat_currency",
    "refund_status",
    "refund_currency",
)
_CENT_DECIMALS: Final = 2

# Sums of amounts with 38 digits and more, which are never rounded.
_EXACT: Final = Context(prec=200, traps=[Inexact, InvalidOperation])

_AMOUNT: Final = re.compile(r"[0-9]{1,60}(?:\.[0-9]{1,60})?").fullmatch
_formula_cell: Final = re.compile(r",[=+\-@']").search
_COMMAS: Final = len(COLUMNS) - 1
_SORTED: Final = tuple(sorted(COLUMNS))
_TEMPLATE: Final = "{" + ",".join(f'"{name}":"%s"' for name in _SORTED) + "}\n"
_QUOTED: Final = re.compile(r'[",\r\n]').search
_FORMULA: Final = re.compile(r"[=+\-@\t\r']").match
_encode: Final = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode

Line = dict[str, str]

CSV_HEAD: Final = (",".join(COLUMNS) + "\r\n").encode()


def json_line(line: Mapping[str, str]) -> bytes:
    """The line as canonical JSON, with its newline."""
    values = tuple([line[name] for name in _SORTED])
    joined = "".join(values)
    if joined.isprintable() and '"' not in joined and "\\" not in joined:
        # Nothing to escape, as in nearly every line: a third of the time.
        return (_TEMPLATE % values).encode()
    return _encode(line).encode() + b"\n"


def csv_row(line: Mapping[str, str]) -> bytes:
    """The line as a row, with its CR LF."""
    values = [line[name] for name in COLUMNS]
    joined = ",".join(values)
    # Nothing to quote, as in nearly every line, and what begins a formula is found by the comma before it.
    if (
        joined.isprintable()
        and '"' not in joined
        and joined.count(",") == _COMMAS
        and not _formula_cell("," + joined)
    ):
        return (joined + "\r\n").encode()
    return (",".join(map(_cell, values)) + "\r\n").encode()


def value_of(cell: str) -> str:
    """What a cell that `csv_row` wrote stands for."""
    return cell.removeprefix("'")


def leaf(transaction_id: str, records: int, head: str) -> bytes:
    """The canonical leaf of a chain: its transaction's UUID, number of records and newest hash in hex."""
    return (
        f'{{"head":"{head}","merchant_transaction_id":"{transaction_id}","records":{records}}}'
    ).encode()


def _cell(value: str) -> str:
    if _FORMULA(value):
        value = "'" + value
    return '"' + value.replace('"', '""') + '"' if _QUOTED(value) else value


@dataclass(slots=True)
class _Sum:
    """Of the lines of one group. An amount that no line has is None."""

    transactions: int = 0
    amounts: list[Decimal | None] = field(default_factory=lambda: [None] * len(_SUMMED))


class Totals:
    """Sums over lines, for each combination of what they are grouped by that occurs."""

    def __init__(self) -> None:
        self._sums: dict[tuple[str, ...], _Sum] = {}

    def add(self, line: Mapping[str, str]) -> None:
        """Take a line in. Raises ValueError that names the member which is no amount."""
        group = tuple([line[name] for name in _GROUPED_BY])
        found = self._sums.get(group)
        if found is None:
            found = self._sums[group] = _Sum()
        found.transactions += 1
        for at, name in enumerate(_SUMMED):
            if text := line[name]:
                if not _AMOUNT(text):
                    raise ValueError(name)
                before, amount = found.amounts[at], Decimal(text)
                found.amounts[at] = amount if before is None else _EXACT.add(before, amount)

    def members(self) -> list[dict[str, str]]:
        """As the statement has them: strings, in the order of what they are grouped by."""
        return [_member(group, found) for group, found in sorted(self._sums.items(), key=_group)]


def _group(item: tuple[tuple[str, ...], _Sum]) -> tuple[str, ...]:
    return item[0]


def _member(group: Sequence[str], found: _Sum) -> dict[str, str]:
    crypto, *fiat = found.amounts
    amounts = ["" if crypto is None else _text(crypto, 0), *map(_fiat_text, fiat)]
    return {
        **dict(zip(_GROUPED_BY, group, strict=True)),
        "transactions": str(found.transactions),
        **dict(zip(_SUMMED, amounts, strict=True)),
    }


def _fiat_text(amount: Decimal | None) -> str:
    return "" if amount is None else _text(amount, _CENT_DECIMALS)


def _text(amount: Decimal, places: int) -> str:
    """Every digit, no zeros at the end beyond so many decimals."""
    whole, _, decimals = format(amount, "f").partition(".")
    decimals = decimals.rstrip("0").ljust(places, "0")
    return f"{whole}.{decimals}" if decimals else whole
