"""What the verifier tells of a daily statement, and of a list that was compared with it."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from proof.verify import files
from proof.verify.errors import quoted
from proof.verify.established import utc_text
from proof.verify.evidence.account import time_witness
from proof.verify.evidence.log.policy import Policy
from proof.verify.files import UsageError
from proof.verify.receipts.reconciliation import OwnList, OwnListError, Reconciliation
from proof.verify.receipts.report import read_receipts_keys
from proof.verify.receipts.statement_file import (
    MAX_LINE_BYTES,
    EstablishedStatement,
    verify_statement,
)
from proof.verify.strict_json import MAX_RECEIPT_BYTES
from proof.verify.trust import ChainTrust

_SHOWN: Final = 50


@dataclass(frozen=True, slots=True)
class Beside:
    """The paths of what is given beside a statement: files of keys, the list of its transactions, a list of
    one's own to compare with it, and the statement of the day before."""

    receipt_keys: Sequence[str] = ()
    lines: str | None = None
    against: str | None = None
    previous: str | None = None


def check(
    raw: bytes, policy: Policy, chains: ChainTrust, beside: Beside
) -> tuple[EstablishedStatement, Reconciliation | None]:
    """What a statement establishes by what the caller trusts, and how the list of one's own differs.

    Raises RefusedError, UsageError.
    """
    if beside.against is not None and beside.lines is None:
        raise UsageError(
            "--against compares with the list of the statement's transactions: name its CSV behind the"
            " statement"
        )
    own = None if beside.against is None else _own_list(beside.against)
    found = verify_statement(
        raw,
        lines=None if beside.lines is None else _lines(beside.lines),
        see=None if own is None else own.see,
        previous=None if beside.previous is None else _read(beside.previous),
        receipt_keys=[key for path in beside.receipt_keys for key in read_receipts_keys(path)],
        policy=policy,
        chains=chains,
    )
    return found, None if own is None else own.result()


def _read(path: str) -> bytes:
    return files.read(path, MAX_RECEIPT_BYTES + 1)


def _own_list(path: str) -> OwnList:
    try:
        return OwnList(_lines(path))
    except OwnListError as error:
        raise UsageError(f"{quoted(path)} cannot be compared: {error}") from error


def _lines(path: str) -> Iterator[bytes]:
    """The lines of a file with their ends; of one that is too long, more than is allowed."""
    try:
        with files.opened(path) as file:
            while line := file.readline(MAX_LINE_BYTES + 1):
                yield line
    except (OSError, ValueError) as error:
        raise files.unreadable(path, error) from error


def text(found: EstablishedStatement, compared: Reconciliation | None) -> str:
    """The numbered account: what was checked, what is established, what remains, what differs."""
    lines = [f" {number}. {line}" for number, line in enumerate(_steps(found), 1)]
    lines += ["", f"Established: {_sentence(found)}"]
    lines += [f"Not established: {sentence}" for sentence in found.remaining]
    if compared is not None:
        lines += ["", *_compared(compared)]
    return "\n".join(lines)


def as_json(found: EstablishedStatement, compared: Reconciliation | None, exit_code: int) -> str:
    """The same facts as one JSON object; hashes in hex, times in milliseconds since 1970 UTC."""
    statement = found.statement
    result = "tied" if found.tied else "untied"
    if compared is not None and not compared.agrees:
        result = "refused"
    facts: dict[str, Any] = {
        "result": result,
        "exitCode": exit_code,
        "format": "statement",
        "partnerId": statement.partner_id,
        "environment": statement.environment,
        "date": statement.date,
        "sha256": statement.sha256.hex(),
        "transactions": statement.members["transactions"],
        "totals": statement.members["totals"],
        "signedBy": found.signed_by,
        "timestamp": found.timestamp_ms,
        "proofs": [
            {"currency": each.claimed.currency, "timestamp": each.timestamp_ms}
            for each in found.proofs
        ],
        "lines": found.lines,
        "follows": found.follows,
        "remaining": list(found.remaining),
    }
    if compared is not None:
        facts["reconciliation"] = _facts(compared)
    return json.dumps(facts, indent=2)


def _steps(found: EstablishedStatement) -> list[str]:
    statement = found.statement
    lines = [
        "ok  The statement is strict JSON of one meaning.",
        f"ok  Its SHA-256 is {statement.sha256.hex()}.",
        "ok  Its signature is over that hash.",
        "--  Nobody you trust has signed it."
        if found.signed_by is None
        else f"ok  {quoted(found.signed_by)}, a key you gave, has signed it.",
    ]
    for each in found.proofs:
        name = each.claimed.currency
        if each.timestamp_ms is None:
            lines.append(
                f"--  Its proof in {quoted(name)} is right, and tied to nothing you trust."
            )
        else:
            when = utc_text(each.timestamp_ms)
            lines.append(f"ok  It existed by {when}, {time_witness(each)}.")
    if found.lines is None:
        lines.append("--  No list of its transactions was given.")
    else:
        count = statement.members["transactions"]
        lines += [
            f"ok  The list of {count} transactions is the one it names, byte for byte.",
            "ok  The tree over their chains' heads has the statement's root.",
            f"ok  Their sums are its {len(statement.members['totals'])} totals.",
        ]
    if found.follows:
        lines.append("ok  It follows the statement of the day before: no day was left out.")
    return lines


def _sentence(found: EstablishedStatement) -> str:
    statement = found.statement
    what = (
        f"the statement of {statement.date} (UTC) for {quoted(statement.partner_id)},"
        f" {statement.environment}"
    )
    if found.signed_by is not None:
        what += f", is what {quoted(found.signed_by)} says"
    if found.timestamp_ms is None:
        return f"{what}, with {statement.members['transactions']} transactions."
    return f"{what}, and it existed by {utc_text(found.timestamp_ms)}."


def _compared(found: Reconciliation) -> list[str]:
    lines = [
        f"Compared: {', '.join(found.compared) or 'the ids alone'}.",
        f"{found.agreeing} of {found.transactions} transactions agree.",
    ]
    if found.ignored:
        lines.append(f"Not compared: {', '.join(map(quoted, found.ignored))}.")
    lines += _some(
        "differs",
        [
            f"{quoted(each.transaction)}  {each.column}: {quoted(each.stated)} by the statement,"
            f" {quoted(each.own)} by yours"
            for each in found.differences
        ],
    )
    lines += _some("only in the statement", [quoted(each) for each in found.missing])
    lines += _some("only in yours", [quoted(each) for each in found.extra])
    return lines


def _some(label: str, items: list[str]) -> list[str]:
    lines = [f"{label}: {each}" for each in items[:_SHOWN]]
    if len(items) > _SHOWN:
        lines.append(f"{label}: {len(items) - _SHOWN} more; --json has them all")
    return lines


def _facts(found: Reconciliation) -> dict[str, Any]:
    return {
        "agrees": found.agrees,
        "compared": list(found.compared),
        "ignored": list(found.ignored),
        "agreeing": found.agreeing,
        "differences": [
            {
                "merchant_transaction_id": each.transaction,
                "column": each.column,
                "statement": each.stated,
                "own": each.own,
            }
            for each in found.differences
        ],
        "onlyInStatement": found.missing,
        "onlyInOwn": found.extra,
    }
