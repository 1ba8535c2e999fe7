"""The command line's part for receipts: the files beside one, the account, the facts for programs."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from proof.verify import files
from proof.verify.errors import quoted
from proof.verify.established import Established, utc_text
from proof.verify.evidence.log.note import VerifierKey
from proof.verify.evidence.log.policy import Policy
from proof.verify.files import UsageError
from proof.verify.receipts.disclosure import Disclosure
from proof.verify.receipts.receipt import (
    DatedRecord,
    DatedStatement,
    EstablishedReceipt,
    Stamp,
    verify_receipt,
)
from proof.verify.receipts.records import (
    Chain,
    Record,
)
from proof.verify.receipts.signature import KEY_SUFFIX, is_receipts_key
from proof.verify.receipts.webhooks import Comparison, bounded_lines, compare
from proof.verify.strict_json import MAX_RECEIPT_BYTES
from proof.verify.trust import ChainTrust

_CAUSES: Final = {
    "callback": "told by the provider's callback",
    "provider": "told by the provider when asked",
    "operator": "set by an operator",
    "expiry": "because its time was over",
}
_REFUNDS: Final = {
    "requested": "a refund was requested",
    "refunded": "the refund was paid",
    "charged_back": "the payment was charged back",
}
_SHOWN_FINDINGS: Final = 20
_SHOWS: Final = (
    "What it shows: what the operator said, in which order, and by when. That what a provider told the"
    " operator is true, it does not show."
)


@dataclass(frozen=True, slots=True)
class Beside:
    """The paths of what is given beside a receipt: files of keys, files of disclosures, one of webhook
    bodies."""

    receipt_keys: Sequence[str] = ()
    disclosures: Sequence[str] = ()
    webhooks: str | None = None


def check(
    raw: bytes, policy: Policy, chains: ChainTrust, beside: Beside
) -> tuple[EstablishedReceipt, Comparison | None]:
    """What a receipt establishes by what the caller trusts, and how webhook bodies stand to it.

    Raises RefusedError, UsageError.
    """
    keys = [key for path in beside.receipt_keys for key in read_receipts_keys(path)]
    shown = [files.read(path, MAX_RECEIPT_BYTES + 1) for path in beside.disclosures]
    found = verify_receipt(raw, receipt_keys=keys, policy=policy, chains=chains, disclosures=shown)
    return found, None if beside.webhooks is None else _compare(beside.webhooks, found.chain)


def read_receipts_keys(path: str) -> list[VerifierKey]:
    """The receipts keys of a key file. Raises UsageError."""
    keys = files.read_keys(path)
    for key in keys:
        if not is_receipts_key(key):
            raise UsageError(
                f"{quoted(key.name)} in {quoted(path)} is no receipts key, whose name ends in {KEY_SUFFIX};"
                " take it from /receipts/key of the server, and give the log's keys with --log-key"
            )
    return keys


def _compare(path: str, chain: Chain) -> Comparison:
    try:
        with files.opened(path) as file:
            return compare(bounded_lines(file), chain)
    except (OSError, ValueError) as error:
        raise files.unreadable(path, error) from error


# For people


def text(found: EstablishedReceipt, compared: Comparison | None) -> str:
    """The account: what it is about, the steps, each record, what is established and what remains."""
    lines = [_title(found), _bought(found.chain), ""]
    lines += [f" {number}. {line}" for number, line in enumerate(_steps(found, compared), 1)]
    lines += ["", "What was said, and by when it had been:"]
    for dated in found.records:
        lines += _record_lines(dated)
    lines += _disclosed(found.disclosures)
    lines += ["", f"Established: {_sentence(found)}"]
    lines += [f"Not established: {sentence}" for sentence in found.remaining]
    lines += [f"Claimed: {sentence}" for sentence in _claims(found)]
    lines += _differences(compared)
    return "\n".join([*lines, _SHOWS])


def _title(found: EstablishedReceipt) -> str:
    first = found.chain.first
    name, environment = first.text("merchant_transaction_id"), first.text("environment")
    partner = _plain(first.text("partner_id"))
    return f"Receipt of transaction {name} of {partner} in {environment}, as of {found.as_of}"


def _bought(chain: Chain) -> str:
    """What the newest record says of the transaction as a whole, in one line."""
    told = chain.told
    verb = "Bought" if told.text("type") == "buy" else "Sold"
    amount = _money(told.text("crypto_amount"), told.text("currency"))
    parts = [f"{verb}: {amount} on {_plain(told.text('network'))}"]
    if told.text("fiat_amount"):
        money = _money(told.text("fiat_amount"), told.text("fiat_currency"))
        parts.append(f"for {money}{_fees(told)}")
    parts.append(f"- {chain.status}")
    if chain.refund_status != "none":
        parts.append(f"({_REFUNDS[chain.refund_status]})")
    return " ".join(parts)


def _fees(told: Record) -> str:
    if not told.text("fiat_fee"):
        return ""
    return (
        f", fees of {told.text('fiat_fee')} within it, at {told.text('rate')} for each coin before"
    )


def _steps(found: EstablishedReceipt, compared: Comparison | None) -> Iterator[str]:
    chain = found.chain
    count = len(chain.records)
    yield "ok  The receipt is strict JSON."
    if count == 1:
        yield "ok  Its one record is whole, and the first."
    else:
        yield f"ok  Its {count} records are whole, in their order, and each names the one before it."
    yield "ok  They keep the rules of statuses, causes, refunds and amounts."
    if found.signed_by is None:
        yield "--  No signature was checked under a receipts key you gave."
    else:
        yield f"ok  {quoted(found.signed_by)} signed that these are all as of {found.as_of}."
    proofs = sum(len(dated.stamp.proofs) for dated in found.records)
    proved = sum(dated.existed_by_ms is not None for dated in found.records)
    mark = "ok" if proved == count else "--"
    yield (
        f"{mark}  {proofs} proofs are right and about these records; {proved} of {count} records have a"
        " time by what you trust."
    )
    yield _statement_step(found.statement, count)
    if found.disclosures:
        yield f"ok  What is disclosed, {len(found.disclosures)} in all, is what the records' hashes are of."
    if compared is not None:
        yield _webhooks_step(compared)


def _statement_step(statement: DatedStatement | None, count: int) -> str:
    if statement is None:
        return (
            "--  It holds no daily statement: only its signature says that it ends where it should."
        )
    day, records = statement.statement.date, statement.leaf.records
    signed = statement.signed_by
    mark, by = ("--", "which no key you gave signed") if signed is None else ("ok", "signed")
    more = "" if records == count else f", and {count - records} newer ones are here"
    return f"{mark}  The statement of {day}, {by}, counts {records} records of it{more}."


def _webhooks_step(compared: Comparison) -> str:
    mark = "ok" if compared.agrees else "NO"
    return (
        f"{mark}  Of the webhook bodies {compared.matching} are what was recorded, {compared.differing} are"
        f" not, {compared.others} speak of something else."
    )


def _record_lines(dated: DatedRecord) -> Iterator[str]:
    record = dated.record
    at = record.text("recorded_at") or record.text("updated_at")
    yield f" {record.place:>3}  {at}  {_story(record)}"
    yield f"      {_proved(dated)}"


def _story(record: Record) -> str:
    match record.kind:
        case "session.opened":
            amount = _money(record.text("crypto_amount"), record.text("currency"))
            return f"session opened: {record.text('type')} {amount}, the price quoted in the widget"
        case "provider.callback":
            return f"callback of {_plain(record.text('provider'))} came in"
        case "operator.resolution":
            return f"an operator resolved it as {record.text('status')}"
        case "transaction.refund":
            amount = record.text("refund_amount")
            money = f": {_money(amount, record.text('fiat_currency'))}" if amount else ""
            cause = _CAUSES[record.text("caused_by")]
            return f"{_REFUNDS[record.text('refund_status')]}{money}, {cause}"
    cause = _CAUSES.get(record.text("caused_by"), "")
    reason = record.text("failure_reason")
    said = record.text("status") + (f" ({reason})" if reason else "")
    return f"status {said}{f', {cause}' if cause else ''}"


def _proved(dated: DatedRecord) -> str:
    own = ", ".join(_proof(each) for each in dated.stamp.proofs) or "no proof of its own yet"
    if dated.existed_by_ms is None:
        return f"at an unproved time ({own})"
    by = utc_text(dated.existed_by_ms)
    if dated.stamp.existed_by_ms == dated.existed_by_ms:
        return f"existed by {by} ({own})"
    return f"existed by {by}, as did what names it ({own})"


def _proof(established: Established) -> str:
    currency = _plain(established.claimed.currency)
    if established.timestamp_ms is None:
        return f"{currency}: tied to nothing you gave"
    return f"{currency} {utc_text(established.timestamp_ms)}"


def _disclosed(disclosures: Sequence[Disclosure]) -> Iterator[str]:
    if disclosures:
        yield ""
        yield "Disclosed:"
    for each in disclosures:
        yield f" {each.sequence:>3}  {each.field}: {quoted(each.value)}"


def _sentence(found: EstablishedReceipt) -> str:
    first, count = found.chain.first, len(found.chain.records)
    name = first.text("merchant_transaction_id")
    if found.signed_by is None:
        if count == 1:
            return f"this is the first record of {name}, whoever said it."
        return f"these {count} records of {name} belong together, whoever said them."
    said = f"these {count} records of {name}, in this order and no others"
    if count == 1:
        said = f"this one record of {name} and no other"
    return f"the holder of {quoted(found.signed_by)} said {said}, as of {found.as_of}."


def _claims(found: EstablishedReceipt) -> Iterator[str]:
    if found.claimed_personal == "erased":
        yield "the person was erased, so nobody can disclose what the salted hashes are of."


def _differences(compared: Comparison | None) -> Iterator[str]:
    if compared is None:
        return
    for finding in compared.findings[:_SHOWN_FINDINGS]:
        yield f"Not what was recorded: line {finding.line}: {finding.reason}."
    if compared.differing > _SHOWN_FINDINGS:
        yield f"And {compared.differing - _SHOWN_FINDINGS} more; --json lists up to 1,000 of them."
    if compared.untold:
        places = ", ".join(map(str, compared.untold[:_SHOWN_FINDINGS]))
        yield f"No webhook body in the file says what was recorded in record {places}."


def _money(amount: str, currency: str) -> str:
    return f"{amount} {_plain(currency)}"


def _plain(text: str) -> str:
    """A name from a record for a terminal: quoted unless it is short and ordinary."""
    ordinary = text.isascii() and text.replace("_", "").replace("-", "").isalnum()
    return text if ordinary and len(text) <= 64 else quoted(text)


# For programs


def as_json(found: EstablishedReceipt, compared: Comparison | None, exit_code: int) -> str:
    """The same facts as one JSON object; hashes in hex, times in milliseconds since 1970 UTC.

    Records are as they stand. `existedBy` is what is established of a record, by its own proofs or those of
    what names it; `claimed` what nobody signed.
    """
    chain, first = found.chain, found.chain.first
    result = "tied" if found.tied else "untied"
    if compared is not None and not compared.agrees:
        result = "refused"
    facts: dict[str, Any] = {
        "result": result,
        "exitCode": exit_code,
        "format": "receipt",
        "merchantTransactionId": first.text("merchant_transaction_id"),
        "partnerId": first.text("partner_id"),
        "environment": first.text("environment"),
        "asOf": found.as_of,
        "status": chain.status,
        "refundStatus": chain.refund_status,
        "head": chain.head.hex(),
        "signedBy": found.signed_by,
        "records": [_record_facts(dated) for dated in found.records],
        "statement": _statement_facts(found.statement),
        "disclosures": [
            {"sequence": each.sequence, "field": each.field, "value": each.value}
            for each in found.disclosures
        ],
        "webhooks": _webhook_facts(compared),
        "remaining": list(found.remaining),
        "claimed": {"personal": found.claimed_personal},
    }
    return json.dumps(facts, indent=2)


def _record_facts(dated: DatedRecord) -> dict[str, Any]:
    return {
        "record": dict(dated.record.members),
        "sha256": dated.record.sha256.hex(),
        "existedBy": dated.existed_by_ms,
        "proofs": _stamp_facts(dated.stamp),
    }


def _stamp_facts(stamp: Stamp) -> list[dict[str, Any]]:
    return [
        {
            "currency": each.claimed.currency,
            "transaction": each.claimed.transaction,
            "timestamp": each.timestamp_ms,
        }
        for each in stamp.proofs
    ]


def _statement_facts(statement: DatedStatement | None) -> dict[str, Any] | None:
    if statement is None:
        return None
    return {
        "date": statement.statement.date,
        "sha256": statement.statement.sha256.hex(),
        "signedBy": statement.signed_by,
        "records": statement.leaf.records,
        "head": statement.leaf.head.hex(),
        "existedBy": statement.stamp.existed_by_ms,
        "proofs": _stamp_facts(statement.stamp),
    }


def _webhook_facts(compared: Comparison | None) -> dict[str, Any] | None:
    if compared is None:
        return None
    return {
        "matching": compared.matching,
        "differing": compared.differing,
        "others": compared.others,
        "findings": [{"line": each.line, "reason": each.reason} for each in compared.findings],
        "recordsWithoutBody": list(compared.untold),
    }
