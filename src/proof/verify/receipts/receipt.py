"""A receipt: what an operator said of one transaction, in order, complete, signed and dated.

    {"format": "proof-receipt/1", "merchant_transaction_id", "partner_id", "environment", "as_of",
     "personal": "held" | "erased", "records": [{"record", "sha256", "proofs"}, …], "signature",
     "statement": null | {"statement", "signature", "leaf", "index", "path", "proofs"},
     "disclosures": [...] where there are any}

It proves what the operator said and when at the latest; not that what a provider told the operator is true.
A prefix of a chain is itself a chain, so a receipt speaks "as of" a moment, which is signed; the statement,
where it holds one, counts the chain's records at the end of a day, and shows a shortened one.

`personal` is not signed and nothing rests on it: it says why salted hashes can be disclosed or cannot.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import groupby
from typing import Any, Final

from proof.verify.errors import MemberError, RefusedError, quoted
from proof.verify.established import Established
from proof.verify.evidence.log import ed25519, mldsa44
from proof.verify.evidence.log.ed25519 import Ed25519Verify
from proof.verify.evidence.log.mldsa44 import Mldsa44Verify
from proof.verify.evidence.log.note import VerifierKey
from proof.verify.evidence.log.policy import Policy, policy_of_keys
from proof.verify.payload import verify_payload
from proof.verify.receipts.disclosure import Disclosure, read_disclosures, verify_disclosures
from proof.verify.receipts.errors import (
    LogForkError,
    OtherHeadError,
    OtherTransactionError,
    ProofSubjectError,
    ReceiptFormatError,
    ShortenedError,
    StatementFormatError,
    StatementLeafError,
)
from proof.verify.receipts.records import Chain, Record, is_moment, read_chain
from proof.verify.receipts.signature import verify_signature
from proof.verify.receipts.statement import (
    MAX_PATH,
    Leaf,
    Statement,
    check_path,
    read_leaf,
    read_statement,
)
from proof.verify.strict_json import MAX_RECEIPT_BYTES, hex_list, integer, parse_json
from proof.verify.trust import NO_CHAINS, ChainTrust

FORMAT: Final = "proof-receipt/1"
MAX_PROOFS: Final = 64
"""Of one record: many times the chains that there are."""

_MEMBERS: Final = frozenset(
    {
        "format",
        "merchant_transaction_id",
        "partner_id",
        "environment",
        "as_of",
        "personal",
        "records",
        "signature",
        "statement",
    }
)
_ENTRY: Final = frozenset({"record", "sha256", "proofs"})
_STATEMENT: Final = frozenset({"statement", "signature", "leaf", "index", "path", "proofs"})
_HASH_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Stamp:
    """What the proofs about one hash establish, in their order. `existed_by_ms`: the earliest time that
    one of them ties to what the caller trusts, in milliseconds since 1970 UTC, or None."""

    proofs: tuple[Established, ...]

    @property
    def existed_by_ms(self) -> int | None:
        return _earliest(proof.timestamp_ms for proof in self.proofs)


@dataclass(frozen=True, slots=True)
class DatedRecord:
    """A record and when it existed at the latest.

    `existed_by_ms`: the earliest time of its own proofs and of those of any record behind it, since each
    names the hash of the one before; None where nothing ties one. `stamp`: its own proofs.
    """

    record: Record
    stamp: Stamp
    existed_by_ms: int | None


@dataclass(frozen=True, slots=True)
class DatedStatement:
    """The day's statement that counts the transaction: `leaf` is in its tree, and the receipt holds that
    many records and that head. `signed_by`: name of the caller's key that signed it, or None."""

    statement: Statement
    leaf: Leaf
    signed_by: str | None
    stamp: Stamp


@dataclass(frozen=True, slots=True)
class EstablishedReceipt:
    """What a receipt that was not refused establishes.

    `chain`: the records keep every rule (`read_chain`). `signed_by`: name of the caller's receipts key that
    signed that these were all the records `as_of` that moment of the environment, or None.
    `claimed_personal` is only what the receipt says. `remaining`: sentences, one for each thing that is not
    established; empty when `tied`.
    """

    chain: Chain
    as_of: str
    signed_by: str | None
    records: tuple[DatedRecord, ...]
    statement: DatedStatement | None
    disclosures: tuple[Disclosure, ...]
    claimed_personal: str
    remaining: tuple[str, ...]

    @property
    def tied(self) -> bool:
        """Whether a key the caller trusts signed it and every record has a time the caller trusts."""
        return not self.remaining


@dataclass(frozen=True, slots=True)
class _Trust:
    """What the caller trusts, and the logs' roots seen so far by origin and size."""

    receipt_keys: Sequence[VerifierKey]
    policy: Policy
    chains: ChainTrust
    ed25519_verify: Ed25519Verify
    mldsa44_verify: Mldsa44Verify
    roots: dict[tuple[str, int], bytes]


def verify_receipt(
    raw: bytes,
    *,
    receipt_keys: Sequence[VerifierKey] = (),
    policy: Policy | None = None,
    log_keys: Sequence[VerifierKey] = (),
    chains: ChainTrust = NO_CHAINS,
    disclosures: Sequence[bytes] = (),
    ed25519_verify: Ed25519Verify = ed25519.verify,
    mldsa44_verify: Mldsa44Verify = mldsa44.verify,
) -> EstablishedReceipt:
    """Verify a receipt and return what it establishes, tied to what the caller trusts or not.

    `raw` is the file (UTF-8 JSON, at most 16 MiB). `receipt_keys`: keys of the operator that the caller
    trusts to sign receipts. `policy`, `log_keys`, `chains`: as for `verify_payload`. `disclosures`: files
    of more of them than the receipt itself holds, each at most 16 MiB.

    1. The text is strict JSON with the members of a receipt and no other.
    2. Each record has the hash beside it, and the chain keeps every rule of `read_chain`.
    3. The chain is of the transaction, partner and environment that the receipt names.
    4. What is signed is that transaction, its number of records, the newest one's hash and `as_of`. The
       lines of trusted keys verify.
    5. Each proof is right by `verify_payload`, and about the record it stands beside. No two of them show
       two histories of one log.
    6. A statement is of the same partner and environment, is signed and proved likewise, and has the leaf
       in its tree; the leaf is of this transaction, and the receipt holds its number of records and head.
    7. Each disclosure is what the record's salted hash is of.

    Raises a subclass of RefusedError. What cannot be checked for want of keys, proofs or headers is not
    refused: it is named in `remaining`. Unknown members are refused everywhere but in proofs.

    Not checked: that what a provider told is true, that `personal` is, and that the operator said nothing
    more since `as_of`, which is of its own clock; in a sandbox whose time was moved the records' times are
    ahead of it.
    """
    known = policy or policy_of_keys(tuple(log_keys))
    known = known.with_logs(log_keys) if policy and log_keys else known
    # Proofs of records that were stamped together come with one checkpoint, whose signatures are slow.
    verify, verify_pq = (lru_cache(256)(each) for each in (ed25519_verify, mldsa44_verify))
    trust = _Trust(receipt_keys, known, chains, verify, verify_pq, {})
    value = _read(raw)  # 1
    chain = _read_records(value)  # 2, 3
    signed_by = _verify_head(value, chain, trust)  # 4
    stamps = [  # 5
        _verify_stamp(entry["proofs"], record.sha256, record.name, trust)
        for entry, record in zip(value["records"], chain.records, strict=True)
    ]
    statement = _verify_statement(value["statement"], chain, trust)  # 6
    shown = [*value.get("disclosures", ())]
    for file in disclosures:
        shown += read_disclosures(file, value["merchant_transaction_id"])
    records = tuple(_dated(chain, stamps, statement))
    return EstablishedReceipt(
        chain=chain,
        as_of=value["as_of"],
        signed_by=signed_by,
        records=records,
        statement=statement,
        disclosures=verify_disclosures(shown, chain),  # 7
        claimed_personal=value["personal"],
        remaining=tuple(_remaining(signed_by, records, statement)),
    )


def signed_text(merchant_transaction_id: str, records: int, head: bytes, as_of: str) -> bytes:
    """The five lines that are signed: format, transaction, number of records, the newest one's SHA-256 in
    hex, and the moment."""
    lines = (FORMAT, merchant_transaction_id, str(records), head.hex(), as_of)
    return "".join(f"{line}\n" for line in lines).encode()


def _read(raw: bytes) -> dict[str, Any]:
    value = parse_json(raw, limit=MAX_RECEIPT_BYTES, what="the receipt")
    if type(value) is not dict or value.get("format") != FORMAT:
        raise ReceiptFormatError(f"the receipt is not of the format {FORMAT}")
    wrong = sorted(_MEMBERS ^ (value.keys() - {"disclosures"}))
    if wrong:
        raise ReceiptFormatError(f"the receipt lacks {quoted(wrong[0])}, or has it and should not")
    if type(value["as_of"]) is not str or not is_moment(value["as_of"]):
        raise ReceiptFormatError("the receipt's as_of is no moment in UTC")
    if value["personal"] not in ("held", "erased"):
        raise ReceiptFormatError("the receipt's personal is neither held nor erased")
    if type(value.get("disclosures", [])) is not list:
        raise ReceiptFormatError("the receipt's disclosures are not a list")
    return value


def _read_records(value: dict[str, Any]) -> Chain:
    entries = value["records"]
    if type(entries) is not list or not all(
        type(entry) is dict and entry.keys() == _ENTRY for entry in entries
    ):
        raise ReceiptFormatError(
            "the receipt's records are not a list of record, sha256 and proofs"
        )
    records, hashes = ([entry[name] for entry in entries] for name in ("record", "sha256"))
    chain = read_chain(records, hashes)
    for name in ("merchant_transaction_id", "partner_id", "environment"):
        if value[name] != chain.first.text(name):
            raise OtherTransactionError(f"the receipt names another {name} than its records")
    return chain


def _verify_head(value: dict[str, Any], chain: Chain, trust: _Trust) -> str | None:
    transaction = chain.first.text("merchant_transaction_id")
    text = signed_text(transaction, len(chain.records), chain.head, value["as_of"])
    key = verify_signature(
        value["signature"], text, "the receipt", trust.receipt_keys, trust.ed25519_verify
    )
    return None if key is None else key.name


def _verify_stamp(value: object, digest: bytes, name: str, trust: _Trust) -> Stamp:
    if type(value) is not list or len(value) > MAX_PROOFS:
        raise ReceiptFormatError(f"the proofs of {name} are not a list of at most {MAX_PROOFS}")
    verify = partial(
        verify_payload,
        policy=trust.policy,
        chains=trust.chains,
        ed25519_verify=trust.ed25519_verify,
        mldsa44_verify=trust.mldsa44_verify,
    )
    found = []
    for payload in value:
        try:
            established = verify(payload if type(payload) is dict else _no_object(name))
        except RefusedError as error:
            raise type(error)(f"a proof of {name}: {error}") from error
        if established.leaf != digest:
            raise ProofSubjectError(f"a proof of {name} is about something else")
        _check_history(established, trust)
        found.append(established)
    return Stamp(tuple(found))


def _no_object(name: str) -> dict[str, object]:
    raise MemberError(f"one of {name} is not an object")


def _check_history(established: Established, trust: _Trust) -> None:
    """Two roots of one log at one size are two histories, whoever was shown which."""
    checkpoint = established.checkpoint
    if checkpoint is None or checkpoint.log_key is None:
        return
    known = trust.roots.setdefault((checkpoint.origin, checkpoint.size), checkpoint.root)
    if known != checkpoint.root:
        raise LogForkError(
            f"the log {quoted(checkpoint.origin)} signed two roots at size {checkpoint.size}: it shows"
            " two histories, and this receipt is the evidence; keep it"
        )


def _verify_statement(value: Any, chain: Chain, trust: _Trust) -> DatedStatement | None:
    if value is None:
        return None
    if type(value) is not dict or value.keys() != _STATEMENT:
        raise StatementFormatError("the receipt's statement has not the members of one")
    statement, leaf = read_statement(value["statement"]), read_leaf(value["leaf"])
    _check_leaf(statement, leaf, chain)
    index = integer(value, "index", "statement", statement.tree_size)
    path = hex_list(value["path"], "statement.path", MAX_PATH, _HASH_BYTES, _HASH_BYTES)
    check_path(statement, leaf, index, path)
    key = verify_signature(
        value["signature"],
        statement.signed_text,
        "the statement",
        trust.receipt_keys,
        trust.ed25519_verify,
    )
    stamp = _verify_stamp(value["proofs"], statement.sha256, "the statement", trust)
    return DatedStatement(statement, leaf, None if key is None else key.name, stamp)


def _check_leaf(statement: Statement, leaf: Leaf, chain: Chain) -> None:
    first, held = chain.first, len(chain.records)
    if (statement.partner_id, statement.environment) != (
        first.text("partner_id"),
        first.text("environment"),
    ):
        raise StatementLeafError("the statement is of another partner or environment")
    if leaf.merchant_transaction_id != first.text("merchant_transaction_id"):
        raise StatementLeafError("the statement's leaf is of another transaction")
    if leaf.records > held:
        raise ShortenedError(
            f"the statement of {statement.date} counts {leaf.records} records, the receipt holds {held}:"
            " it was shortened; ask for it anew"
        )
    if chain.records[leaf.records - 1].sha256 != leaf.head:
        raise OtherHeadError(
            f"record {leaf.records} is another one than the statement of {statement.date} names: the"
            " chain was rewritten"
        )


def _dated(
    chain: Chain, stamps: Sequence[Stamp], statement: DatedStatement | None
) -> Iterator[DatedRecord]:
    """Each record with the earliest time of its own proofs, of the records behind it, and of the statement
    whose leaf names it or one behind it."""
    earliest: list[int | None] = []
    known: int | None = None
    for place in range(len(chain.records), 0, -1):
        if statement is not None and place == statement.leaf.records:
            known = _earliest([known, statement.stamp.existed_by_ms])
        known = _earliest([known, stamps[place - 1].existed_by_ms])
        earliest.append(known)
    for record, stamp, existed_by_ms in zip(chain.records, stamps, reversed(earliest), strict=True):
        yield DatedRecord(record, stamp, existed_by_ms)


def _earliest(times: Any) -> int | None:
    return min((time for time in times if time is not None), default=None)


def _remaining(
    signed_by: str | None, records: Sequence[DatedRecord], statement: DatedStatement | None
) -> Iterator[str]:
    if signed_by is None:
        yield (
            "No receipts key you gave has signed it, so nothing says that the operator did; give"
            " --receipt-key, from where you trust it."
        )
    untimed = [dated for dated in records if dated.existed_by_ms is None]
    for reason, group in groupby(untimed, lambda dated: _untimed(dated.stamp)):
        places = [dated.record.place for dated in group]
        name = f"Record {places[0]}" if len(places) == 1 else f"Records {places[0]} to {places[-1]}"
        yield f"{name}: {reason}"
    if statement is not None and statement.signed_by is None:
        yield f"No receipts key you gave has signed the statement of {statement.statement.date}."
    if statement is not None and statement.stamp.existed_by_ms is None:
        yield f"The statement of {statement.statement.date}: {_untimed(statement.stamp)}"


def _untimed(stamp: Stamp) -> str:
    if not stamp.proofs:
        return "no proof yet; one fetched later has it."
    return stamp.proofs[0].remaining[0]
