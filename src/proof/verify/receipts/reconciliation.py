"""Whether somebody's own list of transactions says what the statement's lines say, and where it does not.

The list is CSV with a row of names: `merchant_transaction_id`, and any of a line's other columns. Amounts
are compared as numbers, moments as moments, words without regard to case. Nothing stands for no amount.
"""

import csv
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Final

from proof.verify.errors import quoted
from proof.verify.receipts.statement_lines import AMOUNTS, COLUMNS

MAX_ROWS: Final = 1_000_000
_ID: Final = "merchant_transaction_id"
_MOMENTS: Final = frozenset({"refunded_at", "created_at", "updated_at"})
_BYTE_ORDER_MARK: Final = "\ufeff"
_DELIMITERS: Final = ",;\t"


class OwnListError(Exception):
    """The list to compare with cannot be read; the message says where and why. No proof is at fault."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One value of one transaction: the statement's, and the list's."""

    transaction: str
    column: str
    stated: str
    own: str


@dataclass(slots=True)
class Reconciliation:
    """What a comparison found. `compared`: the columns that were; `ignored`: names in the list that are no
    column. `missing`: in the statement alone, `extra`: in the list alone, by id."""

    compared: tuple[str, ...]
    ignored: tuple[str, ...]
    transactions: int = 0
    agreeing: int = 0
    differences: list[Difference] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)

    @property
    def agrees(self) -> bool:
        """Whether the list has the statement's transactions and no others, all of them alike."""
        return not (self.differences or self.missing or self.extra)


class OwnList:
    """A list read whole. `see` takes the statement's lines one after the other; `result` is then complete.

    Raises OwnListError.
    """

    def __init__(self, lines: Iterable[bytes]) -> None:
        texts = iter(map(_text, lines))
        head = next(texts, "").removeprefix(_BYTE_ORDER_MARK)
        delimiter = max(_DELIMITERS, key=head.count)
        names = [_name(each) for each in next(csv.reader([head], delimiter=delimiter), [])]
        if _ID not in names:
            raise OwnListError(f"its first row names no column {_ID}")
        if twice := next((each for each in names if each and names.count(each) > 1), None):
            raise OwnListError(f"its first row names {quoted(twice)} twice")
        self._rows = _rows(csv.reader(texts, delimiter=delimiter), names)
        compared = tuple(name for name in COLUMNS if name in names and name != _ID)
        ignored = tuple(name for name in names if name and name not in COLUMNS)
        self._found = Reconciliation(compared, ignored)

    def see(self, line: dict[str, str]) -> None:
        """Compare one line of the statement."""
        found, name = self._found, line[_ID]
        found.transactions += 1
        own = self._rows.pop(name, None)
        if own is None:
            found.missing.append(name)
            return
        differences = [
            Difference(name, column, line[column], own[column])
            for column in found.compared
            if not _alike(column, line[column], own[column])
        ]
        found.differences += differences
        found.agreeing += not differences

    def result(self) -> Reconciliation:
        """Once all lines were seen."""
        self._found.extra = sorted(self._rows)
        return self._found


def _text(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:
        raise OwnListError("it is not UTF-8 text; save it as CSV UTF-8") from None


def _name(text: str) -> str:
    return text.strip().lower().replace(" ", "_")


def _rows(reader: Iterable[list[str]], names: list[str]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    try:
        for number, cells in enumerate(reader, 2):
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(names):
                raise OwnListError(
                    f"its row {number} has {len(cells)} cells, its first row {len(names)}"
                )
            row = {name: _value(cell) for name, cell in zip(names, cells, strict=True)}
            identifier = row[_ID].lower()
            if identifier in found:
                raise OwnListError(f"its row {number} names {quoted(identifier)} a second time")
            if len(found) >= MAX_ROWS:
                raise OwnListError(f"it has over {MAX_ROWS} rows")
            found[identifier] = row
    except csv.Error as error:
        raise OwnListError(f"it is no CSV: {error}") from None
    return found


def _value(cell: str) -> str:
    return cell.strip().removeprefix("'")


def _alike(column: str, stated: str, own: str) -> bool:
    if stated == own:
        return True
    if column in AMOUNTS:
        return _amount(stated) == _amount(own)
    if column in _MOMENTS:
        return _moment(stated) == _moment(own)
    return stated.casefold() == own.casefold()


def _amount(text: str) -> Decimal | str:
    """As a number; what is none equals itself alone."""
    try:
        found = Decimal(text or "0")
    except InvalidOperation:
        return text
    return found if found.is_finite() else text


def _moment(text: str) -> datetime | str:
    """In UTC, which is what a time without an offset is taken for."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return text
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
