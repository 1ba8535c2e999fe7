"""A whole daily statement: who signed it, when it was stamped, and whether a list of lines is its own.

The file is `{"format": "proof-statement/1", "statement", "signature", "proofs"}`. The lines lie beside it,
as CSV or as canonical JSON one a line (`proof.verify.receipts.statement_lines`); each form gives the other,
and the tree's leaves, so one of them is enough to check all that the statement says.
"""

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from hashlib import sha256
from typing import Any, Final

from proof.verify.errors import (
    RefusedError,
    quoted,
)
from proof.verify.established import Established
from proof.verify.evidence.log import ed25519, mldsa44
from proof.verify.evidence.log.ed25519 import Ed25519Verify
from proof.verify.evidence.log.mldsa44 import Mldsa44Verify
from proof.verify.evidence.log.note import VerifierKey
from proof.verify.evidence.log.policy import Policy
from proof.verify.evidence.log.rfc6962 import EMPTY_ROOT, leaf_hash, node_hash
from proof.verify.payload import verify_payload
from proof.verify.receipts.errors import (
    ProofSubjectError,
    StatementDayError,
    StatementFormatError,
    StatementLinesError,
    StatementSumsError,
)
from proof.verify.receipts.signature import verify_signature
from proof.verify.receipts.statement import FORMAT, Statement, read_statement
from proof.verify.receipts.statement_lines import (
    COLUMNS,
    CSV_HEAD,
    Line,
    Totals,
    csv_row,
    json_line,
    leaf,
    value_of,
)
from proof.verify.strict_json import MAX_RECEIPT_BYTES, parse_json
from proof.verify.trust import NO_CHAINS, ChainTrust

MAX_PROOFS: Final = 16
MAX_LINE_BYTES: Final = 64 * 1024

_MEMBERS: Final = frozenset({"format", "statement", "signature", "proofs"})
_JSON_BEGIN: Final = b"{"
_HASH_DIGITS: Final = 64
_ONE_DAY: Final = timedelta(days=1)

SeeLine = Callable[[Line], None]


@dataclass(frozen=True, slots=True)
class StatementFile:
    """A statement with its signature, a note, and the proofs of its hash, which are not yet verified."""

    statement: Statement
    signature: str
    proofs: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class EstablishedStatement:
    """What a statement that was not refused establishes.

    `signed_by`: the name of the trusted receipts key that signed it, or None. `proofs`: what each of its
    proofs establishes. `lines`: `csv` or `ndjson` where a list was found to be the statement's own.
    `follows`: the statement before it was given, and is the one it names.
    """

    statement: Statement
    signed_by: str | None
    proofs: tuple[Established, ...]
    lines: str | None
    follows: bool

    @property
    def timestamp_ms(self) -> int | None:
        """The earliest time by which it existed, in ms since 1970 UTC, by what the caller trusts."""
        times = [each.timestamp_ms for each in self.proofs if each.timestamp_ms is not None]
        return min(times, default=None)

    @property
    def tied(self) -> bool:
        """Whether somebody the caller trusts signed it, and its time is tied to what the caller trusts."""
        return self.signed_by is not None and self.timestamp_ms is not None

    @property
    def remaining(self) -> tuple[str, ...]:
        """Sentences, one for each thing that is not established."""
        found = []
        if self.signed_by is None:
            found.append(
                "nobody you trust has signed the statement: give the operator's receipts key"
                " (`/receipts/key` on its server) with --receipt-key."
            )
        if not self.proofs:
            found.append(
                "when it existed: it has no proof yet; fetch it again a few seconds later."
            )
        elif self.timestamp_ms is None:
            found += dict.fromkeys(each for proof in self.proofs for each in proof.remaining)
        if self.lines is None:
            found.append(
                "which transactions it is of: no list was given; name its CSV behind the statement."
            )
        return tuple(found)


def read_statement_file(raw: bytes) -> StatementFile:
    """Parse the file, whose statement stands alone or with a signature and proofs.

    Raises StatementFormatError, and what `parse_json` and `read_statement` raise.
    """
    value = parse_json(raw, limit=MAX_RECEIPT_BYTES, what="the statement")
    if type(value) is not dict or value.keys() != _MEMBERS or value["format"] != FORMAT:
        raise StatementFormatError(
            "the file has not the members of a statement's file: format, statement, signature, proofs"
        )
    signature, proofs = value["signature"], value["proofs"]
    if type(signature) is not str:
        raise StatementFormatError("the signature is not text")
    if type(proofs) is not list or len(proofs) > MAX_PROOFS:
        raise StatementFormatError(f"the proofs are not a list of at most {MAX_PROOFS}")
    if not all(type(each) is dict for each in proofs):
        raise StatementFormatError("a proof is not an object")
    return StatementFile(read_statement(value["statement"]), signature, tuple(proofs))


def verify_statement(
    raw: bytes,
    *,
    lines: Iterable[bytes] | None = None,
    see: SeeLine | None = None,
    previous: bytes | None = None,
    receipt_keys: Sequence[VerifierKey] = (),
    policy: Policy | None = None,
    ed25519_verify: Ed25519Verify = ed25519.verify,
    mldsa44_verify: Mldsa44Verify = mldsa44.verify,
    chains: ChainTrust = NO_CHAINS,
) -> EstablishedStatement:
    """Verify a statement's file, with the list of its lines and the file of the day before where given.

    `lines`: what the list's file holds, cut after each newline, CSV or NDJSON; `see` is handed every line
    in order, before it is known whether the list is right. `receipt_keys` are the operator's, trusted;
    `policy` and `chains` what the caller trusts for time. Nothing in the file adds to them.

    1. The statement has the members of its format, and the canonical form that is hashed.
    2. Its signature is over this statement; a line by a trusted key verifies.
    3. Each proof is about the statement's hash, and is right (`verify_payload`).
    4. The list: its bytes, and its other form's, have the hashes that the statement names; the tree over
       its lines has the statement's root and size; its sums are the statement's totals.
    5. The statement before: of the same partner and environment, of the day before, and named by its hash.

    Raises a RefusedError. Not checked: that lines tell the truth about their transactions, which a receipt
    shows for each.
    """
    file = read_statement_file(raw)
    statement = file.statement
    key = verify_signature(
        file.signature, statement.signed_text, "the statement", receipt_keys, ed25519_verify
    )
    proofs = tuple(
        _proof(statement, each, policy, ed25519_verify, mldsa44_verify, chains)
        for each in file.proofs
    )
    form = None if lines is None else check_lines(statement, lines, see)
    if previous is not None:
        _check_previous(statement, read_statement_file(previous).statement)
    return EstablishedStatement(
        statement, None if key is None else key.name, proofs, form, previous is not None
    )


def check_lines(statement: Statement, lines: Iterable[bytes], see: SeeLine | None = None) -> str:
    """Establish that these are the statement's lines; `csv` or `ndjson`, whichever they are.

    Raises StatementLinesError and StatementSumsError. Holds one line at a time.
    """
    hashed, given = sha256(), _hashing(lines)
    first = next(given.lines, b"")
    form = "ndjson" if first[:1] == _JSON_BEGIN else "csv"
    if not first and statement.members["transactions"] == 0:
        form = "ndjson"
    read = _read_ndjson if form == "ndjson" else _read_csv
    write, other = (csv_row, "csv") if form == "ndjson" else (json_line, "ndjson")
    hashed.update(CSV_HEAD if other == "csv" else b"")
    tree, totals, last = _Tree(), Totals(), ""
    for number, line in enumerate(read(first, given.lines), 1):
        _check_line(line, number, last)
        last = line["merchant_transaction_id"]
        tree.add(leaf_hash(leaf(last, int(line["records"]), line["head"])))
        _add(totals, line, number)
        hashed.update(write(line))
        if see is not None:
            see(line)
    sums = {form: given.hash.hexdigest(), other: hashed.hexdigest()}
    _compare(statement, sums, tree, totals, form)
    return form


@dataclass(slots=True)
class _Hashing:
    lines: Iterator[bytes]
    hash: Any


def _hashing(lines: Iterable[bytes]) -> _Hashing:
    """The lines, and a hash of those that were read so far."""
    found = sha256()

    def read() -> Iterator[bytes]:
        for line in lines:
            if len(line) > MAX_LINE_BYTES:
                raise StatementLinesError(
                    f"the list has a line of more than {MAX_LINE_BYTES} bytes"
                )
            found.update(line)
            yield line

    return _Hashing(read(), found)


def _read_ndjson(first: bytes, others: Iterator[bytes]) -> Iterator[Line]:
    number = 0
    while first:
        number += 1
        try:
            value = parse_json(first, limit=MAX_LINE_BYTES, what=f"line {number} of the list")
        except RefusedError as error:
            raise StatementLinesError(f"line {number} of the list: {error}") from error
        yield _texts(value, number)
        first = next(others, b"")


def _read_csv(first: bytes, others: Iterator[bytes]) -> Iterator[Line]:
    if first != CSV_HEAD:
        raise StatementLinesError("the list does not begin with the row of a statement's columns")
    rows, number = csv.reader(map(_decoded, others), strict=True), 0
    while True:
        number += 1
        try:
            row = next(rows, None)
        except csv.Error as error:
            raise StatementLinesError(f"row {number} of the list is no CSV: {error}") from error
        if row is None:
            return
        if len(row) != len(COLUMNS):
            raise StatementLinesError(
                f"row {number} of the list has {len(row)} cells, not {len(COLUMNS)}"
            )
        yield dict(zip(COLUMNS, map(value_of, row), strict=True))


def _decoded(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise StatementLinesError("the list is not UTF-8 text") from error


def _texts(value: object, number: int) -> Line:
    if type(value) is not dict or value.keys() != set(COLUMNS):
        raise StatementLinesError(f"line {number} of the list has not the members of a line")
    if not all(type(each) is str for each in value.values()):
        raise StatementLinesError(f"line {number} of the list has a member that is not text")
    return value


def _check_line(line: Line, number: int, last: str) -> None:
    name, records, head = (line[each] for each in ("merchant_transaction_id", "records", "head"))
    if name <= last:
        raise StatementLinesError(
            f"line {number} of the list, {quoted(name)}, is not in the order of the transactions' ids"
        )
    if not (records.isascii() and records.isdigit() and len(records) < 16) or records[:1] == "0":
        raise StatementLinesError(f"line {number} of the list has no number of records")
    if len(head) != _HASH_DIGITS or head.strip("0123456789abcdef"):
        raise StatementLinesError(f"line {number} of the list has a head that is no SHA-256 in hex")


def _add(totals: Totals, line: Line, number: int) -> None:
    try:
        totals.add(line)
    except ValueError as error:
        raise StatementLinesError(f"line {number} of the list: its {error} is no amount") from error


def _compare(
    statement: Statement, sums: dict[str, str], tree: "_Tree", totals: Totals, form: str
) -> None:
    said = statement.members
    if tree.size != said["transactions"] or tree.size != statement.tree_size:
        raise StatementLinesError(
            f"the list has {tree.size} transactions, the statement is of {said['transactions']},"
            f" and its tree has {statement.tree_size} leaves"
        )
    _compare_totals(said["totals"], totals.members())
    if tree.root() != statement.root:
        raise StatementLinesError(
            "the list names another head or number of records of a transaction than the statement's tree"
        )
    names = {"csv": "csv_sha256", "ndjson": "lines_sha256"}
    if sums[form] != said[names[form]]:
        raise StatementLinesError(
            f"the list was altered: its SHA-256 is {sums[form]}, the statement's {names[form]} is"
            f" {said[names[form]]}"
        )
    for other, name in names.items():
        if sums[other] != said[name]:
            raise StatementLinesError(f"the statement's {name} is not that of the same lines")


def _compare_totals(said: list[dict[str, str]], found: list[dict[str, str]]) -> None:
    for ours, theirs in zip(found, said, strict=False):
        if ours != theirs:
            wrong = next((name for name in ours if ours[name] != theirs.get(name)), "members")
            group = " ".join(filter(None, (ours["type"], ours["status"], ours["currency"])))
            raise StatementSumsError(
                f"the statement's totals are not the list's: {quoted(wrong)} of {quoted(group)} is"
                f" {quoted(ours.get(wrong, ''))} by the list, {quoted(theirs.get(wrong, ''))} by the"
                " statement"
            )
    if len(said) != len(found):
        raise StatementSumsError(
            f"the statement has {len(said)} totals, its list gives {len(found)}"
        )


class _Tree:
    """The root of a tree of RFC 9162, leaf by leaf; holds one hash for each bit of its size."""

    def __init__(self) -> None:
        self.size = 0
        self._nodes: list[tuple[int, bytes]] = []

    def add(self, hashed: bytes) -> None:
        self.size += 1
        height = 0
        while self._nodes and self._nodes[-1][0] == height:
            hashed = node_hash(self._nodes.pop()[1], hashed)
            height += 1
        self._nodes.append((height, hashed))

    def root(self) -> bytes:
        if not self._nodes:
            return EMPTY_ROOT
        root = self._nodes[-1][1]
        for _, node in reversed(self._nodes[:-1]):
            root = node_hash(node, root)
        return root


def _proof(
    statement: Statement,
    proof: dict[str, Any],
    policy: Policy | None,
    ed25519_verify: Ed25519Verify,
    mldsa44_verify: Mldsa44Verify,
    chains: ChainTrust,
) -> Established:
    established = verify_payload(
        proof,
        policy=policy,
        ed25519_verify=ed25519_verify,
        mldsa44_verify=mldsa44_verify,
        chains=chains,
    )
    if established.leaf != statement.sha256:
        raise ProofSubjectError(
            f"a proof is about {established.leaf.hex()}, the statement's SHA-256 is"
            f" {statement.sha256.hex()}"
        )
    return established


def _check_previous(statement: Statement, previous: Statement) -> None:
    """Raises StatementDayError unless `previous` is the statement that the other follows."""
    whose = (statement.partner_id, statement.environment)
    if (previous.partner_id, previous.environment) != whose:
        raise StatementDayError(
            "the statement before is of another partner or environment than the one that follows"
        )
    if statement.members["previous_sha256"] != previous.sha256.hex():
        raise StatementDayError(
            f"the statement of {statement.date} follows another than the one of {previous.date} given:"
            " a day lies between them, or one of them was made anew"
        )
    if date.fromisoformat(statement.date) - date.fromisoformat(previous.date) != _ONE_DAY:
        raise StatementDayError(
            f"the statement of {statement.date} follows that of {previous.date}: a day was left out"
        )
