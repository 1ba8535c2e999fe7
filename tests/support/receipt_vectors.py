"""Receipts, right and wrong, and what each establishes or is refused for, for other implementations.

python -m tests.support.receipt_vectors     writes the files of tests/vectors/receipts beside README.md
"""

import copy
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

from tests.support import receipts
from tests.support.receipt_forgeries import BUY, FORGED, STORIES
from tests.support.receipts import (
    FORMER_KEY,
    KEY,
    LOG,
    START,
    STRANGER,
    WITNESS,
    Json,
    Story,
    canonical,
    hashes_of,
    relinked,
    signed,
)
from tests.support.signer import Signer

from proof.verify.evidence.log import note

FOLDER = Path(__file__).parents[1] / "vectors" / "receipts"
NOON = START + timedelta(hours=3)
NEXT_DAY = START + timedelta(hours=30)
# They have no head to sign, or no canonical form.
_WITHOUT_FORM = {"no record", "half of a surrogate pair"}
Build = Callable[[], Json | bytes]


@cache
def _good() -> dict[str, Json]:
    made = {
        name: receipts.receipt(story.records, NOON, personal="erased" if story.erased else "held")
        for name, story in STORIES.items()
    }
    made["with-statement"] = with_statement()
    bitcoin = receipts.receipt(BUY, NOON)
    bitcoin["records"][-1]["proofs"].append(receipts.bitcoin_proof(hashes_of(BUY)[-1]).payload)
    made["with-bitcoin"] = bitcoin
    made["dated-by-its-statement-alone"] = with_statement(unproved=len(BUY))
    made["signed-by-a-former-key"] = receipts.receipt(BUY, NOON, sign=_signed_by(FORMER_KEY))
    story = STORIES["buy-completed"]
    made["disclosed"] = receipts.receipt(BUY, NOON) | {
        "disclosures": [story.disclosure(1, "address"), story.disclosure(2, "body")]
    }
    return made


@cache
def _untied() -> dict[str, Json]:
    forged = relinked(_changed(BUY, 4, fiat_amount="2692.00"))
    no_key = receipts.receipt(BUY, NOON, sign=_signed_by(STRANGER))
    theirs = with_statement()
    theirs["statement"] = receipts.statement(
        receipts.statement_leaf(BUY), START, sign=_signed_by(STRANGER)
    )
    return {
        "unproved-at-the-end": receipts.receipt(BUY, NOON, unproved=2),
        "signed-by-a-stranger": no_key,
        "forged-and-signed-by-a-stranger": receipts.receipt(
            forged, NOON, sign=_signed_by(STRANGER)
        ),
        "statement-signed-by-a-stranger": theirs,
    }


def with_statement(unproved: int = 0) -> Json:
    """A receipt of the day after, with its path into the statement."""
    statement = receipts.statement(receipts.statement_leaf(BUY), START)
    return receipts.receipt(BUY, NEXT_DAY, statement=statement, unproved=unproved)


def refused() -> Iterator[tuple[str, str, bytes]]:
    """Each one's name, the class of our refusal, and the file."""
    for why, (error, make) in FORGED.items():
        if why not in _WITHOUT_FORM:
            name = "chain-" + why.replace(" ", "-")
            yield name, error.__name__, canonical(_unproved(make()))
    for why, (error_name, build) in _REFUSED.items():
        made = build()
        yield why, error_name, made if isinstance(made, bytes) else canonical(made)


def _unproved(records: list[Json]) -> Json:
    """A receipt that breaks a rule although the operator signed it."""
    return receipts.receipt(records, NOON, unproved=len(records))


def _signed_by(key: Signer) -> receipts.Sign:
    return lambda body: signed(body, key)


def _changed(records: list[Json], at: int, **members: Any) -> list[Json]:
    made = copy.deepcopy(records)
    made[at] |= members
    return made


def _receipt(name: str = "buy-completed") -> Json:
    return copy.deepcopy(_good()[name])


def _with(found: Json, **members: Any) -> Json:
    return found | members


def _record(at: int, **members: Any) -> Json:
    found = _receipt()
    found["records"][at]["record"] |= members
    return found


def _mended(records: list[Json]) -> Json:
    """Every record re-chained and stamped anew through an account of the log, under the old signature."""
    return receipts.receipt(relinked(records), NOON) | {"signature": _receipt()["signature"]}


def _old_proofs(records: list[Json]) -> Json:
    found = _mended(records)
    for entry, old in zip(found["records"], _receipt()["records"], strict=False):
        entry["proofs"] = old["proofs"]
    return found


def _exchanged(first: int, second: int, member: str) -> Json:
    found = _receipt()
    one, other = found["records"][first], found["records"][second]
    one[member], other[member] = other[member], one[member]
    return found


def _foreign() -> Json:
    found = _receipt()
    found["records"][2] = _receipt("resolved-by-operator")["records"][2]
    return found


def _shortened() -> Json:
    """The receipt as it once was, signed then, with the statement of the whole."""
    return receipts.receipt(BUY[:3], NOON) | {"statement": with_statement()["statement"]}


def _rewritten() -> Json:
    """Another chain of as many records, which the operator signed as well."""
    other = relinked(_changed(BUY, 4, fiat_amount="2692.00"))
    return receipts.receipt(other, NEXT_DAY) | {"statement": with_statement()["statement"]}


def _statement(**members: Any) -> Json:
    found = with_statement()
    found["statement"] |= members
    return found


def _stated(**members: Any) -> Json:
    found = with_statement()
    found["statement"]["statement"] |= members
    return found


def _other_statement(environment: str = "production", **leaf: Any) -> Json:
    changed = receipts.statement_leaf(BUY) | leaf
    return with_statement() | {
        "statement": receipts.statement(changed, START, environment=environment)
    }


def _altered_proof() -> Json:
    found = _receipt()
    found["records"][0]["proofs"][0]["evidence"]["inclusion"][0] = "00" * 32
    return found


def _fork() -> Json:
    """A proof by the log's key of another history of the same size."""
    found, hashes = _receipt(), hashes_of(BUY)
    time_s = int(NOON.timestamp())
    found["records"][4]["proofs"] += receipts.log_proofs((*hashes[1:], "ab" * 32), time_s)[3:4]
    return found


def _signature(change: Callable[[str], str]) -> Json:
    found = _receipt()
    return found | {"signature": change(found["signature"])}


def _twice(text: str) -> str:
    return text + text.split("\n\n")[1]


def _of_former_key(text: str) -> str:
    """The trusted key's name and hash over another key's signature."""
    body = text.partition("\n\n")[0].encode() + b"\n"
    line = note.signature_line(KEY.name, KEY.key.key_hash, STRANGER.private.sign(body))
    return note.signed_note(body, [line]).decode()


def _disclosed(at: int = 0, **members: Any) -> Json:
    found = _receipt("disclosed")
    found["disclosures"][at] |= members
    return found


def _raw(change: Callable[[bytes], bytes]) -> bytes:
    return change(canonical(_receipt()))


_REFUSED: dict[str, tuple[str, Build]] = {
    "another-format": ("ReceiptFormatError", lambda: _with(_receipt(), format="proof-receipt/2")),
    "an-unknown-member": ("ReceiptFormatError", lambda: _with(_receipt(), note="paid")),
    "no-statement-member": (
        "ReceiptFormatError",
        lambda: {name: each for name, each in _receipt().items() if name != "statement"},
    ),
    "a-personal-that-is-none": ("ReceiptFormatError", lambda: _with(_receipt(), personal="lost")),
    "an-as-of-that-is-none": ("ReceiptFormatError", lambda: _with(_receipt(), as_of="noon")),
    "records-that-are-none": ("ReceiptFormatError", lambda: _with(_receipt(), records={})),
    "no-records": ("NoRecordError", lambda: _with(_receipt(), records=[])),
    "a-member-twice": (
        "DuplicateMemberError",
        lambda: _raw(lambda raw: raw.replace(b'"sequence":2', b'"sequence":2,"sequence":2')),
    ),
    "a-fraction": (
        "NumberError",
        lambda: _raw(lambda raw: raw.replace(b'"version":3', b'"version":3.0')),
    ),
    "cut-off": ("JsonError", lambda: _raw(lambda raw: raw[:-20])),
    "a-record-altered": ("RecordHashError", lambda: _record(4, fiat_amount="2692.00")),
    "a-hash-altered": (
        "RecordHashError",
        lambda: _exchanged(1, 2, "sha256"),
    ),
    "two-records-exchanged": (
        "SequenceError",
        lambda: _with(_receipt(), records=[_receipt()["records"][at] for at in (0, 2, 1, 3, 4)]),
    ),
    "a-record-dropped": (
        "SequenceError",
        lambda: _with(_receipt(), records=[_receipt()["records"][at] for at in (0, 1, 2, 4)]),
    ),
    "a-record-doubled": (
        "SequenceError",
        lambda: _with(_receipt(), records=[_receipt()["records"][at] for at in (0, 1, 2, 2, 3, 4)]),
    ),
    "a-record-of-another-receipt": ("ChainLinkError", _foreign),
    "altered-and-chained-anew": (
        "ReceiptSignatureError",
        lambda: _old_proofs(_changed(BUY, 4, fiat_amount="2692.00")),
    ),
    "altered-chained-and-stamped-anew": (
        "ReceiptSignatureError",
        lambda: _mended(_changed(BUY, 4, fiat_amount="2692.00")),
    ),
    "dropped-chained-and-stamped-anew": ("ReceiptSignatureError", lambda: _mended(BUY[:3])),
    "inserted-chained-and-stamped-anew": (
        "ReceiptSignatureError",
        lambda: _mended(copy.deepcopy(STORIES["buy-completed"]).resolved("completed").records),
    ),
    "truncated": (
        "ReceiptSignatureError",
        lambda: _with(_receipt(), records=_receipt()["records"][:3]),
    ),
    "truncated-with-its-old-signature": ("ShortenedError", _shortened),
    "rewritten-by-the-operator": ("OtherHeadError", _rewritten),
    "another-transaction-named": (
        "OtherTransactionError",
        lambda: _with(_receipt(), merchant_transaction_id=STORIES["refunded"].id),
    ),
    "another-partner-named": (
        "OtherTransactionError",
        lambda: _with(_receipt(), partner_id="ptr_other"),
    ),
    "another-environment-named": (
        "OtherTransactionError",
        lambda: _with(_receipt(), environment="sandbox"),
    ),
    "another-as-of": (
        "ReceiptSignatureError",
        lambda: _with(_receipt(), as_of="2026-04-01T00:00:00Z"),
    ),
    "the-signature-of-another-receipt": (
        "ReceiptSignatureError",
        lambda: _with(_receipt(), signature=_receipt("refunded")["signature"]),
    ),
    "no-signature": ("ReceiptSignatureError", lambda: _with(_receipt(), signature=None)),
    "a-signature-twice": ("DuplicateSignatureError", lambda: _signature(_twice)),
    "a-signature-by-another-key": ("ReceiptSignatureError", lambda: _signature(_of_former_key)),
    "proofs-exchanged": ("ProofSubjectError", lambda: _exchanged(1, 2, "proofs")),
    "a-proof-altered": ("LogRootMismatchError", _altered_proof),
    "a-proof-of-another-history": ("LogForkError", _fork),
    "a-statement-with-another-member": ("StatementFormatError", lambda: _statement(note="")),
    "a-statement-of-another-day": ("ReceiptSignatureError", lambda: _stated(date="2026-03-02")),
    "another-place-in-the-statement": (
        "StatementLeafError",
        lambda: _statement(index=with_statement()["statement"]["index"] ^ 1),
    ),
    "a-path-too-short": (
        "StatementLeafError",
        lambda: _statement(path=with_statement()["statement"]["path"][1:]),
    ),
    "a-leaf-with-fewer-records": (
        "OtherHeadError",
        lambda: _statement(leaf=receipts.statement_leaf(BUY) | {"records": 3}),
    ),
    "a-leaf-that-was-altered": (
        "StatementLeafError",
        lambda: _statement(leaf=receipts.statement_leaf(BUY[:3])),
    ),
    "the-statement-of-another-transaction": (
        "StatementLeafError",
        lambda: _other_statement(merchant_transaction_id=STORIES["refunded"].id),
    ),
    "the-statement-of-another-environment": (
        "StatementLeafError",
        lambda: _other_statement("sandbox"),
    ),
    "a-statement-that-counts-more": ("ShortenedError", lambda: _other_statement(records=6)),
    "a-statement-with-another-proof": (
        "ProofSubjectError",
        lambda: _statement(proofs=_receipt()["records"][0]["proofs"]),
    ),
    "another-value-disclosed": (
        "DisclosureError",
        lambda: _disclosed(value="TQ5NMqJjhpQGK7YJbESKtuU7WLu5yWe2Hx"),
    ),
    "another-field-disclosed": ("DisclosureError", lambda: _disclosed(field="user_email")),
    "a-field-of-another-record-disclosed": ("DisclosureError", lambda: _disclosed(sequence=3)),
    "the-previous-hash-disclosed": (
        "DisclosureError",
        lambda: _disclosed(field="previous", sequence=2),
    ),
    "a-record-disclosed-that-is-none": ("DisclosureError", lambda: _disclosed(sequence=6)),
    "a-record-disclosed-as-true": ("DisclosureError", lambda: _disclosed(sequence=True)),
    "a-record-disclosed-as-text": ("DisclosureError", lambda: _disclosed(sequence="1")),
    "a-salt-too-short": ("HexError", lambda: _disclosed(salt="00")),
}


def webhooks() -> dict[str, Any]:
    """Bodies of the purchase, one a line, and what is said of each."""
    told = [record for record in BUY if "caused_by" in record]
    bodies = [receipts.webhook_body(record) for record in told]
    other = receipts.webhook_body(STORIES["sell-failed"].records[2])
    lines = [
        *map(canonical, bodies),
        b"",
        canonical(bodies[0]),
        canonical(other),
        canonical(bodies[1] | {"fiat_amount": "2692.00"}),
        canonical(bodies[1] | {"merchant_transaction_id": other["merchant_transaction_id"]}),
        canonical(bodies[1] | {"record_sha256": "ab" * 32}),
        canonical({name: bodies[1][name] for name in bodies[1] if name != "record_sha256"}),
        canonical(
            {
                "event": "transaction.receipt",
                "merchant_transaction_id": BUY[0]["merchant_transaction_id"],
            }
        ),
        b"[]",
        b"{",
    ]
    return {
        "receipt": "buy-completed",
        "lines": b"\n".join(lines) + b"\n",
        "matching": 3,
        "differing": [6, 7, 8, 9, 11, 12],
        "others": 2,
    }


def disclosure(story: Story = STORIES["buy-completed"]) -> Json:
    return {
        "format": "proof-disclosure/1",
        "merchant_transaction_id": story.id,
        "disclosures": [story.disclosure(3, "partner_user_id"), story.disclosure(5, "address")],
    }


def established(found: Json, names: set[str]) -> Json:
    """What a receipt says by the keys here; `names`: which of its times count."""
    records = [entry["record"] for entry in found["records"]]
    changes = [each for each in records if "updated_at" in each]
    refunds = [each for each in records if each.get("kind") == "transaction.refund"]
    return {
        "status": changes[-1]["status"] if changes else "pending",
        "refundStatus": refunds[-1]["refund_status"] if refunds else "none",
        "records": len(records),
        "head": hashes_of(records)[-1],
        "existedBy": _existed_by(found, names),
        "disclosed": [[each["sequence"], each["field"]] for each in found.get("disclosures", [])],
    }


def _existed_by(found: Json, currencies: set[str]) -> list[int | None]:
    statement = found["statement"]
    known: list[int] = []
    times: list[int | None] = []
    for place, entry in reversed(list(enumerate(found["records"], 1))):
        proofs = list(entry["proofs"])
        if statement is not None and statement["leaf"]["records"] == place:
            proofs += statement["proofs"]
        known += [
            each["tree"]["timestamp"] for each in proofs if each["tree"]["currency"] in currencies
        ]
        times.append(min(known, default=None))
    return times[::-1]


def files() -> dict[str, bytes]:
    """Every file's content, by its path in the folder."""
    found = {
        "receipts.key": f"{KEY.text}\n{FORMER_KEY.text}\n".encode(),
        "log.key": f"{LOG.text}\n{WITNESS.text}\n".encode(),
        "regtest.headers": receipts.bitcoin_proof(hashes_of(BUY)[-1]).file,
        "webhooks.ndjson": webhooks()["lines"],
        "disclosure.json": canonical(disclosure()),
    }
    expected: Json = {"tied": {}, "untied": {}, "refused": {}}
    for group, made in (("tied", _good()), ("untied", _untied())):
        for name, value in made.items():
            found[f"{group}/{name}.json"] = canonical(value)
            expected[group][name] = established(value, {"LOG", "BTC"})
    for name, error, raw in refused():
        found[f"refused/{name}.json"] = raw
        expected["refused"][name] = error
    told = webhooks()
    expected["webhooks"] = {
        name: told[name] for name in ("receipt", "matching", "differing", "others")
    }
    expected["disclosure"] = {
        "receipt": "buy-completed",
        "disclosed": [[each["sequence"], each["field"]] for each in disclosure()["disclosures"]],
    }
    found["expected.json"] = (json.dumps(expected, indent=1) + "\n").encode()
    return found


def main() -> None:
    for name, content in files().items():
        path = FOLDER / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


if __name__ == "__main__":
    main()
