"""Daily statements for tests of their verifier, and the corpus that other verifiers are held to.

python -m tests.support.statements     writes tests/vectors/receipts/statements/

They share no code with the verifier but the encoders of notes: CSV is the standard library's, canonical
JSON the package `rfc8785`'s, the tree naive, and sums are of fractions.
"""

import copy
import csv
import io
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from tests.support import receipts, signer
from tests.support.receipts import PARTNER, START, Json, canonical, moment, signed

FOLDER = Path(__file__).parents[1] / "vectors" / "receipts" / "statements"
Line = dict[str, str]
COLUMNS = (
    "merchant_transaction_id", "type", "status", "currency", "network", "crypto_amount",
    "fiat_currency", "fiat_amount", "fiat_fee", "rate", "payment_method", "failure_reason",
    "chain_transaction", "refund_status", "refund_amount", "refund_currency", "refunded_at",
    "created_at", "updated_at", "records", "head",
)  # fmt: skip
_GROUP = ("type", "status", "currency", "fiat_currency", "refund_status", "refund_currency")
_SUMS = ("crypto_amount", "fiat_amount", "fiat_fee", "refund_amount")


def line(number: int, **members: str) -> Line:
    """The line of a transaction: a purchase that was completed, but for these members."""
    at = START + timedelta(minutes=number)
    return {
        "merchant_transaction_id": str(uuid5(NAMESPACE_URL, f"stated {number}")),
        "type": "buy",
        "status": "completed",
        "currency": "USDT",
        "network": "TRC20",
        "crypto_amount": "25.5",
        "fiat_currency": "EUR",
        "fiat_amount": "26.92",
        "fiat_fee": "1.20",
        "rate": "1.008627",
        "payment_method": "card",
        "failure_reason": "",
        "chain_transaction": sha256(b"coins %d" % number).hexdigest(),
        "refund_status": "none",
        "refund_amount": "",
        "refund_currency": "",
        "refunded_at": "",
        "created_at": moment(at),
        "updated_at": moment(at + timedelta(minutes=3)),
        "records": "5",
        "head": sha256(b"head %d" % number).hexdigest(),
    } | members


def day_lines() -> list[Line]:
    """A day with every kind of line, in the order of a statement."""
    unpaid = dict.fromkeys(("fiat_currency", "fiat_amount", "fiat_fee", "rate"), "")
    unpaid |= {"chain_transaction": "", "payment_method": ""}
    refund = {"refund_currency": "EUR", "refund_amount": "26.92", "refunded_at": moment(START)}
    found = [
        line(1),
        line(2, crypto_amount="0.000000000000000001", fiat_amount="0.01", fiat_fee="0.00"),
        line(3, crypto_amount="99999999999999999999", fiat_amount="100000000000000000000.125"),
        line(4, status="pending", records="1", **unpaid),
        line(5, status="failed", failure_reason="payment_declined", **unpaid),
        line(6, type="sell", fiat_amount="20.00", payment_method=""),
        line(7, currency="BTC", network="BTC", crypto_amount="0.00042"),
        line(8, refund_status="refunded", **refund),
        line(9, refund_status="charged_back", **refund | {"refund_amount": "5"}),
        line(10, refund_status="requested"),
        line(11, payment_method='=1+"2",\n@bank'),
        line(12, payment_method="'quoted"),
        line(13, fiat_fee="", rate=""),
    ]
    return sorted(found, key=lambda each: each["merchant_transaction_id"])


def ndjson(lines: Sequence[Line]) -> bytes:
    return b"".join(canonical(each) + b"\n" for each in lines)


def csv_text(lines: Sequence[Line]) -> bytes:
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for each in lines:
        writer.writerow([_cell(each[name]) for name in COLUMNS])
    return file.getvalue().encode()


def _cell(value: str) -> str:
    return f"'{value}" if value[:1] in tuple("=+-@\t\r'") else value


def totals(lines: Sequence[Line]) -> list[Line]:
    """Sums by group, of fractions."""
    groups: dict[tuple[str, ...], list[Line]] = {}
    for each in lines:
        groups.setdefault(tuple(each[name] for name in _GROUP), []).append(each)
    return [
        dict(zip(_GROUP, group, strict=True))
        | {"transactions": str(len(members))}
        | {name: _sum([each[name] for each in members], name) for name in _SUMS}
        for group, members in sorted(groups.items())
    ]


def _sum(texts: list[str], name: str) -> str:
    amounts = [Fraction(Decimal(text)) for text in texts if text]
    if not amounts:
        return ""
    scaled = sum(amounts) * 10**60
    whole, decimals = divmod(int(scaled), 10**60)
    places = f"{decimals:060d}".rstrip("0").ljust(0 if name == "crypto_amount" else 2, "0")
    return f"{whole}.{places}" if places else str(whole)


def content(lines: Sequence[Line], day: datetime = START, previous: str = "") -> Json:
    """The statement of a day with these lines."""
    leaves = [
        {
            "merchant_transaction_id": each["merchant_transaction_id"],
            "records": int(each["records"]),
            "head": each["head"],
        }
        for each in lines
    ]
    tree = [sha256(b"\x00" + canonical(leaf)).digest() for leaf in leaves]
    return {
        "format": "proof-statement/1",
        "partner_id": PARTNER,
        "environment": "production",
        "date": day.date().isoformat(),
        "made_at": moment(day + timedelta(days=1, minutes=5)),
        "previous_sha256": previous,
        "transactions": len(lines),
        "totals": totals(lines),
        "tree_size": len(lines),
        "root": (signer.log_root(tree) if tree else sha256(b"").digest()).hex(),
        "lines_sha256": sha256(ndjson(lines)).hexdigest(),
        "csv_sha256": sha256(csv_text(lines)).hexdigest(),
    }


def file(stated: Json, *, sign: Callable[[bytes], str] = signed, proved: bool = True) -> Json:
    """The statement's file: signed, and in the log unless it is not `proved`."""
    digest = sha256(canonical(stated)).hexdigest()
    whose = (stated["partner_id"], stated["environment"], stated["date"])
    text = "".join(f"{each}\n" for each in ("proof-statement/1", *whose, digest))
    at = int(datetime.fromisoformat(stated["made_at"]).timestamp()) + 2
    proofs = receipts.log_proofs((digest,), at) if proved else ()
    return {
        "format": "proof-statement/1",
        "statement": stated,
        "signature": sign(text.encode()),
        "proofs": [copy.deepcopy(each) for each in proofs],
    }


def tamperings() -> Iterator[tuple[str, str, Json, bytes]]:
    """Name, the error it is refused with, the file, and the CSV given with it."""
    lines = day_lines()
    good, stated, cells = file(content(lines)), content(lines), csv_text(lines)
    yield "csv-amount-changed", "StatementSumsError", good, cells.replace(b"20.00", b"20.01")
    yield "csv-id-changed", "StatementLinesError", good, _other_id(cells, lines)
    yield "csv-network-changed", "StatementLinesError", good, cells.replace(b"TRC20", b"ERC20", 1)
    head = lines[3]["head"].encode()
    yield "csv-head-changed", "StatementLinesError", good, cells.replace(head, b"0" * 64)
    yield "csv-records-changed", "StatementLinesError", good, cells.replace(b",1,", b",2,")
    yield "csv-row-dropped", "StatementLinesError", good, csv_text(lines[:-1])
    yield "csv-row-doubled", "StatementLinesError", good, csv_text([lines[0], *lines])
    yield "csv-row-invented", "StatementLinesError", good, csv_text([*lines, _last()])
    yield "csv-rows-exchanged", "StatementLinesError", good, csv_text(lines[::-1])
    yield "csv-line-ends-changed", "StatementLinesError", good, cells.replace(b"\r\n", b"\n")
    yield "csv-column-dropped", "StatementLinesError", good, cells.replace(b",head\r\n", b"\r\n", 1)
    yield "csv-cell-quoted", "StatementLinesError", good, cells.replace(b",card,", b',"card",', 1)
    yield "csv-cut-short", "StatementLinesError", good, cells[:-40]
    yield "csv-of-another-day", "StatementSumsError", good, csv_text([*lines[:-1], _last()])
    for name, members, error in (
        ("totals-changed", {"totals": _more(stated["totals"])}, "StatementSumsError"),
        ("totals-dropped", {"totals": stated["totals"][:-1]}, "StatementSumsError"),
        ("root-changed", {"root": "00" * 32}, "StatementLinesError"),
        ("lines-hash-changed", {"lines_sha256": "00" * 32}, "StatementLinesError"),
        ("csv-hash-changed", {"csv_sha256": "00" * 32}, "StatementLinesError"),
        ("size-changed", {"tree_size": 99}, "StatementLinesError"),
        ("transactions-changed", {"transactions": 99}, "StatementLinesError"),
        ("member-added", {"note": ""}, "StatementFormatError"),
        ("date-malformed", {"date": "2026-3-1"}, "StatementFormatError"),
    ):
        # Signed and stamped by the operator: who checks is told all the same.
        yield f"operator-{name}", error, file(stated | members), cells
        forged = good | {"statement": stated | members}
        other = (
            "StatementFormatError" if error == "StatementFormatError" else "ReceiptSignatureError"
        )
        yield f"forger-{name}", other, forged, cells
    other_day = content(lines, START + timedelta(days=1))
    yield (
        "signature-of-another-day",
        "ReceiptSignatureError",
        good | {"signature": file(other_day)["signature"]},
        cells,
    )
    yield (
        "proof-of-another-day",
        "ProofSubjectError",
        good | {"proofs": file(other_day)["proofs"]},
        cells,
    )
    yield "signature-dropped", "NoteFormatError", good | {"signature": ""}, cells
    broken = good["signature"][:-10] + "AAAAAAAA" + good["signature"][-2:]
    yield "signature-altered", "ReceiptSignatureError", good | {"signature": broken}, cells


def _more(given: list[Line]) -> list[Line]:
    return [given[0] | {"fiat_amount": "1.00"}, *given[1:]]


def _last() -> Line:
    return line(99) | {"merchant_transaction_id": "ffffffff-0000-4000-8000-000000000000"}


def _other_id(cells: bytes, lines: list[Line]) -> bytes:
    known = lines[-1]["merchant_transaction_id"].encode()
    return cells.replace(known, known[:-1] + (b"0" if known[-1:] != b"0" else b"1"))


def good() -> Iterator[tuple[str, Json, bytes]]:
    """Name, the file, its CSV."""
    lines = day_lines()
    yield "a-day", file(content(lines)), csv_text(lines)
    yield "one-transaction", file(content(lines[:1])), csv_text(lines[:1])
    yield "a-silent-day", file(content([])), csv_text([])
    many = sorted(
        (line(each) for each in range(40)), key=lambda each: each["merchant_transaction_id"]
    )
    yield "many", file(content(many)), csv_text(many)


def corpus() -> dict[str, bytes]:
    """The files of the corpus by name."""
    found: dict[str, bytes] = {}
    expected: dict[str, Any] = {}
    for name, stated, cells in good():
        expected[name] = {"result": "tied", "sha256": _sha256(stated)}
        found |= {f"{name}.json": _written(stated), f"{name}.csv": cells}
    for name, error, stated, cells in tamperings():
        expected[name] = {"result": "refused", "error": error}
        found |= {f"{name}.json": _written(stated), f"{name}.csv": cells}
    keys = [each.text for each in (receipts.KEY, receipts.LOG, receipts.WITNESS)]
    found["receipts.key"] = f"{keys[0]}\n".encode()
    found["log.key"] = "".join(f"{key}\n" for key in keys[1:]).encode()
    found["expected.json"] = json.dumps(expected, indent=1).encode() + b"\n"
    return found


def _sha256(stated: Json) -> str:
    return sha256(canonical(stated["statement"])).hexdigest()


def _written(value: Json) -> bytes:
    return json.dumps(value, indent=1).encode() + b"\n"


def main() -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    for name, raw in corpus().items():
        (FOLDER / name).write_bytes(raw)


if __name__ == "__main__":
    main()
