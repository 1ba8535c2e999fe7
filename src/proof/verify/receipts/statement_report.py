"""What the verifier tells of a daily statement, and of a list that was compared with it."""

import json
from typing import Any, Final

from proof.verify.errors import quoted
from proof.verify.established import utc_text
from proof.verify.evidence.account import time_witness
from proof.verify.receipts.reconciliation import Reconciliation
from proof.verify.receipts.statement_file import EstablishedStatement

SHOWN: Final = 50
"""How many differences of a kind are printed; as JSON there are all."""


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
    facts: dict[str, Any] = {
        "result": "tied" if found.tied else "untied",
        "exitCode": exit_code,
        "format": "proof-statement/1",
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
    lines = [f"{label}: {each}" for each in items[:SHOWN]]
    if len(items) > SHOWN:
        lines.append(f"{label}: {len(items) - SHOWN} more; --json has them all")
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
