"""Receipts for tests of their verifier: chains as an honest operator's, a log, keys, statements.

It shares no code with the verifier but the encoders of notes: canonical JSON is that of the package
`rfc8785`, trees are naive. Everything follows from names and seeds, so that files made again are the same.
"""

import copy
import hmac
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha256
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import rfc8785
from tests.support import anchored, signer
from tests.support.signer import Signer

from proof.verify.evidence.log import note

Json = dict[str, Any]
ORIGIN = "log.example/receipts-vectors"
LOG = Signer.named(ORIGIN, note.LOG_KEY)
WITNESS = Signer.named("witness.example/receipts-vectors", note.COSIGNER_KEY)
KEY = Signer.named(f"{ORIGIN}/receipts", note.LOG_KEY)
FORMER_KEY = Signer.named(f"{ORIGIN}/receipts", note.LOG_KEY, "former")
STRANGER = Signer.named("stranger.example/receipts", note.LOG_KEY)
START = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
PARTNER = "ptr_7Qm2aZk9"
EMAIL, ADDRESS = "ada@example.com", "TQ5NMqJjhpQGK7YJbESKtuU7WLu5yWe2Hq"
# The members of webhook bodies: the contract's ten, and those that came with version 2.
_BODY_1 = (
    "merchant_transaction_id",
    "type",
    "status",
    "currency",
    "network",
    "crypto_amount",
    "fiat_currency",
    "fiat_amount",
    "created_at",
    "updated_at",
)
_SINCE_2 = (
    "fiat_fee",
    "rate",
    "failure_reason",
    "chain_transaction",
    "chain_transaction_url",
    "refund_status",
    "refund_amount",
    "refunded_at",
)
Sign = Callable[[bytes], str]


def canonical(value: Any) -> bytes:
    found: bytes = rfc8785.dumps(value)
    return found


def moment(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


@dataclass
class Story:
    """A transaction's records as they come to be, a minute apart. `values`: what the salted hashes are of,
    by number and name."""

    name: str
    type: str = "buy"
    environment: str = "production"
    records: list[Json] = field(default_factory=list)
    values: dict[tuple[int, str], str] = field(default_factory=dict)
    at: datetime = START
    erased: bool = False

    @property
    def id(self) -> str:
        return str(uuid5(NAMESPACE_URL, f"transaction {self.name}"))

    @property
    def created_at(self) -> str:
        return moment(START)

    def salt(self, sequence: int, name: str) -> bytes:
        secret = sha256(f"secret of {self.name}".encode()).digest()
        return hmac.digest(secret, f"{sequence} {name}".encode(), "sha256")

    def disclosure(self, sequence: int, name: str) -> Json:
        return {
            "sequence": sequence,
            "field": name,
            "salt": self.salt(sequence, name).hex(),
            "value": self.values[sequence, name],
        }

    def opened(self, **more: Any) -> "Story":
        hashes = self._hashes("partner_user_id", "partner_reference", "user_email", "address")
        told = {
            "type": self.type,
            "currency": "USDT",
            "network": "TRC20",
            "crypto_amount": "25.5",
            "fiat_currency": "EUR",
            "fee_terms": "quoted_in_widget",
            "created_at": self.created_at,
        }
        return self._record("session.opened", hashes, **(told | more))

    def callback(self, **more: Any) -> "Story":
        self.values[len(self.records) + 1, "body"] = f'{{"event":"{len(self.records)}"}}'
        received = moment(self.at + timedelta(seconds=59))
        return self._record(
            "provider.callback",
            self._hashes("body"),
            provider="mercuryo",
            received_at=received,
            **more,
        )

    def resolved(self, status: str, **more: Any) -> "Story":
        return self._record(
            "operator.resolution", self._hashes("actor", "reason"), status=status, **more
        )

    def refunded(self, status: str, caused_by: str = "callback", **more: Any) -> "Story":
        given = status != "requested"
        return self._record(
            "transaction.refund",
            {},
            refund_status=status,
            refund_amount="26.92" if given else "",
            fiat_currency="EUR" if given else "",
            refunded_at=moment(self.at) if given else "",
            caused_by=caused_by,
            **more,
        )

    def status(self, status: str, caused_by: str = "callback", **more: Any) -> "Story":
        """A status change of version 3."""
        sequence = 1 + sum("caused_by" in each and "status" in each for each in self.records)
        sequence += sum(each["version"] < 3 for each in self.records)
        hashes = self._hashes("partner_user_id", "partner_reference", "address")
        told = self._told(status, self.at + timedelta(minutes=1))
        told |= {"status_sequence": sequence, "caused_by": caused_by}
        return self._record("transaction.status", hashes, **(told | more))

    def older(self, status: str, version: int, **more: Any) -> "Story":
        """A status change as version 1 or 2 has it."""
        self.at += timedelta(minutes=1)
        told = self._told(status, self.at)
        hashes = self._hashes("partner_user_id", "partner_reference", "address")
        record = self._common(version) | told | hashes
        if version == 1:
            for name in (*_SINCE_2, "partner_reference_sha256"):
                del record[name]
            record["occurred_at"] = moment(self.at - timedelta(seconds=7))
        self.records.append(record | more)
        return self

    def _told(self, status: str, at: datetime) -> Json:
        statuses = [each.get("status") for each in self.records if "created_at" in each]
        captured = status in {"processing", "completed"} or "processing" in statuses
        settled = captured and not (self.type == "sell" and status == "failed")
        refunds = [each for each in self.records if each.get("kind") == "transaction.refund"]
        refund = refunds[-1] if refunds else {"refund_status": "none"}
        return {
            "type": self.type,
            "status": status,
            "currency": "USDT",
            "network": "TRC20",
            "created_at": self.created_at,
            "crypto_amount": "25.5",
            "fiat_currency": "EUR" if settled else "",
            "fiat_amount": "26.92" if settled else "",
            "fiat_fee": "1.20" if settled else "",
            "rate": "1.008627" if settled else "",
            "payment_method": "card" if captured else "",
            "failure_reason": "payout_failed" if status == "failed" else "",
            "chain_transaction": "9f86d081" if status == "completed" else "",
            "chain_transaction_url": "",
            "updated_at": moment(at),
            "occurred_at": moment(at),
            "refund_status": refund["refund_status"],
            "refund_amount": refund.get("refund_amount", ""),
            "refunded_at": refund.get("refunded_at", ""),
        }

    def _hashes(self, *names: str) -> Json:
        sequence = len(self.records) + 1
        known = {
            "partner_user_id": "user-1842",
            "partner_reference": "order 77",
            "user_email": EMAIL,
            "address": ADDRESS,
            "actor": "grace@operator.example",
            "reason": "confirmed with the provider",
        }
        found: Json = {}
        for name in names:
            value = self.values.setdefault((sequence, name), known.get(name, ""))
            hashed = sha256(self.salt(sequence, name) + value.encode()).hexdigest()
            found[f"{name}_sha256"] = "" if self.erased else hashed
        return found

    def _common(self, version: int) -> Json:
        sequence = len(self.records) + 1
        previous = sha256(canonical(self.records[-1])).hexdigest() if self.records else ""
        return {
            "version": version,
            "id": str(uuid5(NAMESPACE_URL, f"record {sequence} of {self.name}")),
            "merchant_transaction_id": self.id,
            "partner_id": PARTNER,
            "environment": self.environment,
            "sequence": sequence,
            "previous_sha256": previous,
        }

    def _record(self, kind: str, hashes: Json, **members: Any) -> "Story":
        self.at += timedelta(minutes=1)
        record = self._common(3) | {"kind": kind, "recorded_at": moment(self.at)} | hashes
        self.records.append(record | members)
        return self


@cache
def log_proofs(hashes: tuple[str, ...], time_s: int) -> tuple[Json, ...]:
    """Payloads of these hashes in one log, each in a round of its own with a blinding leaf, under one
    checkpoint cosigned at `time_s`."""
    rounds = []
    for digest in hashes:
        leaves = sorted([digest, sha256(f"blinding {digest}".encode()).hexdigest()])
        rounds.append((leaves, leaves.index(digest)))
    entries, branches, plain = [], [], []
    for leaves, index in rounds:
        branches.append(signer.branch(leaves, index))
        plain.append(signer.plain_root([bytes.fromhex(leaf) for leaf in leaves]))
        entries.append(sha256(b"\x00" + bytes.fromhex(branches[-1]["sha256"]) + plain[-1]).digest())
    body = note.checkpoint_body(ORIGIN, len(entries), signer.log_root(entries))
    lines = [LOG.line(body), WITNESS.line(body, time_s)]
    checkpoint = note.signed_note(body, lines).decode()
    return tuple(
        {
            "sha256": digest,
            "tree": {
                "treeId": str(uuid5(NAMESPACE_URL, f"tree {digest}")),
                "currencyId": 900,
                "currency": "LOG",
                "submitStatus": 3,
                "timestamp": (time_s + 1) * 1000,
                "rootSha256": branches[at]["sha256"],
                "transaction": str(at),
            },
            "branch": branches[at],
            "evidence": {
                "type": "log",
                "origin": ORIGIN,
                "index": at,
                "inclusion": [each.hex() for each in signer.inclusion_path(at, entries)],
                "checkpoint": checkpoint,
                "plainRoot": plain[at].hex(),
            },
        }
        for at, digest in enumerate(hashes)
    )


@cache
def bitcoin_proof(digest: str) -> anchored.Anchored:
    """A payload of regtest about it, and the headers that tie it: blocks from two hours after the start."""
    return anchored.bitcoin(about=digest, start_s=int(START.timestamp()) + 7200)


def hashes_of(records: Sequence[Json]) -> list[str]:
    return [sha256(canonical(record)).hexdigest() for record in records]


@cache
def signed(body: bytes, key: Signer = KEY) -> str:
    return note.signed_note(body, [key.line(body)]).decode()


def receipt_text(transaction: str, records: int, head: str, as_of: str) -> bytes:
    return f"proof-receipt/1\n{transaction}\n{records}\n{head}\n{as_of}\n".encode()


def receipt(
    records: Sequence[Json],
    as_of: datetime,
    *,
    statement: Json | None = None,
    personal: str = "held",
    sign: Sign = signed,
    unproved: int = 0,
) -> Json:
    """A receipt of these records, the last `unproved` of which are not in the log yet."""
    hashes = hashes_of(records)
    newest = records[-1].get("recorded_at") or records[-1]["updated_at"]
    time_s = int(datetime.fromisoformat(newest).timestamp()) + 1
    proofs = log_proofs(tuple(hashes[: len(hashes) - unproved]), time_s)
    stamps = [[copy.deepcopy(each)] for each in proofs] + [[] for _ in range(unproved)]
    first = records[0]
    body = receipt_text(first["merchant_transaction_id"], len(records), hashes[-1], moment(as_of))
    return {
        "format": "proof-receipt/1",
        "merchant_transaction_id": first["merchant_transaction_id"],
        "partner_id": first["partner_id"],
        "environment": first["environment"],
        "as_of": moment(as_of),
        "personal": personal,
        "records": [
            {"record": copy.deepcopy(record), "sha256": digest, "proofs": stamp}
            for record, digest, stamp in zip(records, hashes, stamps, strict=True)
        ],
        "signature": sign(body),
        "statement": statement,
    }


def statement_leaf(records: Sequence[Json]) -> Json:
    return {
        "merchant_transaction_id": records[0]["merchant_transaction_id"],
        "records": len(records),
        "head": hashes_of(records)[-1],
    }


def statement(
    leaf: Json,
    day: datetime,
    *,
    others: int = 6,
    environment: str = "production",
    sign: Sign = signed,
) -> Json:
    """The part of a receipt that ties it to the statement of a day with so many other chains."""
    made = [
        {
            "merchant_transaction_id": str(uuid5(NAMESPACE_URL, f"another {number}")),
            "records": 3,
            "head": sha256(b"another %d" % number).hexdigest(),
        }
        for number in range(others)
    ]
    ordered = sorted([leaf, *made], key=lambda each: str(each["merchant_transaction_id"]))
    tree = [sha256(b"\x00" + canonical(each)).digest() for each in ordered]
    index = ordered.index(leaf)
    content = {
        "format": "proof-statement/1",
        "partner_id": PARTNER,
        "environment": environment,
        "date": day.date().isoformat(),
        "made_at": moment(day + timedelta(days=1, minutes=5)),
        "previous_sha256": sha256(b"the day before").hexdigest(),
        "transactions": len(tree),
        "totals": [
            {
                "type": "buy",
                "status": "completed",
                "currency": "USDT",
                "fiat_currency": "EUR",
                "transactions": str(len(tree)),
                "crypto_amount": "178.5",
                "fiat_amount": "188.44",
            }
        ],
        "tree_size": len(tree),
        "root": signer.log_root(tree).hex(),
        "lines_sha256": sha256(b"lines").hexdigest(),
        "csv_sha256": sha256(b"csv").hexdigest(),
    }
    digest = sha256(canonical(content)).hexdigest()
    text = f"proof-statement/1\n{PARTNER}\n{environment}\n{content['date']}\n{digest}\n"
    (proof,) = log_proofs((digest,), int((day + timedelta(days=1, minutes=6)).timestamp()))
    return {
        "statement": content,
        "signature": sign(text.encode()),
        "leaf": leaf,
        "index": index,
        "path": [each.hex() for each in signer.inclusion_path(index, tree)],
        "proofs": [copy.deepcopy(proof)],
    }


def webhook_body(record: Json) -> Json:
    """The body that told of a status record."""
    if record["version"] == 1:
        return {name: record[name] for name in _BODY_1}
    names = (*_BODY_1, *_SINCE_2, "payment_method", "occurred_at")
    return {name: record[name] for name in names} | {
        "event": "transaction.status",
        "partner_user_id": "user-1842",
        "partner_reference": "order 77",
        "record_sha256": hashes_of([record])[0],
    }


def relinked(records: Sequence[Json]) -> list[Json]:
    """The same records, each with its number and the hash of the one before it as an attacker would mend
    them."""
    found: list[Json] = []
    for number, record in enumerate(records, 1):
        previous = hashes_of(found[-1:])[0] if found else ""
        found.append(copy.deepcopy(record) | {"sequence": number, "previous_sha256": previous})
    return found


def stories() -> Iterator[tuple[str, Story]]:
    """The good chains by name."""
    yield (
        "buy-completed",
        (
            Story("buy-completed")
            .opened()
            .callback()
            .status("processing")
            .callback()
            .status("completed")
        ),
    )
    yield (
        "sell-failed",
        (
            Story("sell-failed", "sell")
            .opened()
            .callback()
            .status("processing")
            .status("failed", "provider")
        ),
    )
    yield "cancelled", Story("cancelled").opened().status("cancelled", "provider")
    yield (
        "expired",
        (Story("expired").opened().status("failed", "expiry", failure_reason="session_expired")),
    )
    yield (
        "resolved-by-operator",
        (
            Story("resolved-by-operator")
            .opened()
            .callback()
            .status("processing")
            .resolved("completed")
            .status("completed", "operator")
            .resolved("completed")
        ),
    )
    yield (
        "refunded",
        (
            Story("refunded")
            .opened()
            .callback()
            .status("processing")
            .status("completed")
            .callback()
            .refunded("requested")
            .callback()
            .refunded("refunded")
            .refunded("charged_back", "provider")
        ),
    )
    yield (
        "begun-with-version-1",
        (Story("begun-with-version-1").older("processing", 1).callback().status("completed")),
    )
    yield (
        "begun-with-version-2",
        (
            Story("begun-with-version-2", "sell")
            .older("processing", 2)
            .resolved("failed")
            .status("failed", "operator")
        ),
    )
    yield (
        "sandbox",
        (Story("sandbox", environment="sandbox").opened().callback().status("processing")),
    )
    yield "erased", Story("erased", erased=True).opened().status("cancelled", "provider")
