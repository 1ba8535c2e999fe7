"""Seeded mutations of receipts, none of which may be accepted as a statement that the operator never made.

python -m tests.support.receipt_mutations [COUNT] [FIRST]     100,000 from 0 on; says what became of them

An attacker here has every receipt that was given out, an account of the log, so that anything can be
stamped, and keys of its own, but not the receipts key.
"""

import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import cache, cached_property, lru_cache
from random import Random
from typing import Any

from tests.support import receipts
from tests.support.receipt_forgeries import STORIES
from tests.support.receipts import (
    KEY,
    LOG,
    START,
    STRANGER,
    WITNESS,
    Json,
    canonical,
    hashes_of,
    moment,
    relinked,
    signed,
)
from tests.support.signer import Signer, openssl_verify

from proof.verify import RefusedError
from proof.verify.receipts.receipt import EstablishedReceipt, verify_receipt

SEED = 20260301
_DAY = timedelta(days=1)
_FORGED_CHAINS = 120
_STORIES = ("cancelled", "expired", "sell-failed", "begun-with-version-1", "buy-completed")
_TEXTS = (
    "",
    "0",
    "1.00",
    "25.50",
    "completed",
    "failed",
    "2026-03-01T09:00:00Z",
    "\x00",
    "é",
    "ab" * 32,
)

# A note's signatures are few and its mutations many, so each is checked once.
verify_once = lru_cache(maxsize=None)(openssl_verify)


@dataclass(frozen=True)
class Said:
    """What the operator did say: chains by their hashes and the moment, statements, times, and values by
    their salted hashes."""

    chains: frozenset[tuple[tuple[str, ...], str]]
    statements: frozenset[str]
    times: dict[str, int]
    values: frozenset[tuple[str, str, str]]


class Mutations:
    """The receipts that were given out, and what is made of them by number."""

    def __init__(self, seed: int = SEED) -> None:
        self._seed = seed
        self.genuine = list(_genuine())
        self.texts = [canonical(each) for each in self.genuine]
        # What has become none of these was changed.
        self._same = {*self.texts, *(_written(json.loads(each)) for each in self.texts)}
        self._pool = sorted({each for found in self.genuine for each in _scalars(found)}, key=str)

    @cached_property
    def said(self) -> Said:
        """By the receipts that were given out."""
        times: dict[str, int] = {}
        for found in self.genuine:
            for digest, by in zip(_digests(found), _existed_by(found), strict=True):
                times[digest] = min(by, times.get(digest, by))
        return Said(
            frozenset((tuple(_digests(each)), each["as_of"]) for each in self.genuine),
            frozenset(
                hashes_of([each["statement"]["statement"]])[0]
                for each in self.genuine
                if each["statement"]
            ),
            times,
            frozenset(
                (story.records[sequence - 1].get(f"{name}_sha256", ""), name, value)
                for story in STORIES.values()
                for (sequence, name), value in story.values.items()
            ),
        )

    def mutation(self, number: int) -> tuple[str, bytes]:
        """The name of what was done, and the file."""
        random = Random(f"{self._seed} {number}")
        while True:
            name, raw = self._drawn(random)
            if raw not in self._same:
                return name, raw

    def _drawn(self, random: Random) -> tuple[str, bytes]:
        at = random.randrange(len(self.texts))
        name, change = random.choice(_CHANGES)
        if name == "bytes":
            return name, _bytes(random, self.texts[at])
        found = json.loads(self.texts[at])
        change(random, found, self)
        return name, _written(found)

    def other(self, random: Random) -> Json:
        """Another receipt, or the same, to take parts of."""
        found: Json = json.loads(random.choice(self.texts))
        return found

    def scalar(self, random: Random) -> Any:
        """A value that stands somewhere in a receipt."""
        return random.choice(self._pool if random.random() < 0.6 else _TEXTS)

    def judge(self, raw: bytes) -> str:
        """What a verifier with the operator's keys makes of it: the refusal's name, `unsigned` or
        `genuine`. Raises AssertionError if it is taken for a statement that was never made."""
        try:
            found = verify_receipt(
                raw,
                receipt_keys=[KEY.key],
                log_keys=_LOG_KEYS,
                ed25519_verify=verify_once,
            )
        except RefusedError as error:
            return type(error).__name__
        self._require_said(found)
        return "unsigned" if found.signed_by is None else "genuine"

    def _require_said(self, found: EstablishedReceipt) -> None:
        digests = tuple(dated.record.sha256.hex() for dated in found.records)
        if found.signed_by is not None:
            assert (digests, found.as_of) in self.said.chains, "another chain, or another time"
        if found.statement is not None and found.statement.signed_by is not None:
            assert found.statement.statement.sha256.hex() in self.said.statements
            head = found.statement.leaf
            assert digests[head.records - 1] == head.head.hex()
        for digest, dated in zip(digests, found.records, strict=True):
            earliest = self.said.times.get(digest)
            if earliest is not None and dated.existed_by_ms is not None:
                assert dated.existed_by_ms >= earliest, "an earlier time"
        for each in found.disclosures:
            record = found.records[each.sequence - 1].record
            told = (record.text(f"{each.field}_sha256"), each.field, each.value)
            assert told in self.said.values, "another value"


_LOG_KEYS = (LOG.key, WITNESS.key)


def _written(found: Json) -> bytes:
    return json.dumps(found, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


@cache
def _genuine() -> tuple[Json, ...]:
    """Receipts of several transactions, of one at several times, some with a statement or disclosures."""
    made = []
    for name in _STORIES:
        story = STORIES[name]
        made.append(receipts.receipt(story.records, START + _DAY))
    buy = STORIES["buy-completed"]
    statement = receipts.statement(receipts.statement_leaf(buy.records), START, others=2)
    early = receipts.statement(receipts.statement_leaf(buy.records[:3]), START - _DAY, others=3)
    made += [
        receipts.receipt(buy.records[:1], START + timedelta(minutes=2)),
        receipts.receipt(buy.records[:3], START + timedelta(hours=1), statement=early),
        receipts.receipt(buy.records, START + 2 * _DAY, statement=statement),
        receipts.receipt(STORIES["cancelled"].records, START + 2 * _DAY)
        | {
            "disclosures": [
                STORIES["cancelled"].disclosure(1, "address"),
                STORIES["cancelled"].disclosure(2, "partner_reference"),
            ]
        },
    ]
    return tuple(made)


def _digests(found: Json) -> list[str]:
    return [each["sha256"] for each in found["records"]]


def _existed_by(found: Json) -> list[int]:
    times: list[int] = []
    known: list[int] = []
    for place in range(len(found["records"]), 0, -1):
        statement = found["statement"]
        if statement is not None and statement["leaf"]["records"] == place:
            known += [each["tree"]["timestamp"] for each in statement["proofs"]]
        known += [each["tree"]["timestamp"] for each in found["records"][place - 1]["proofs"]]
        times.append(min(known))
    return times[::-1]


def _scalars(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _scalars(each)
    else:
        yield value


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container with each of its keys or indices."""
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _places(value[key])


# What is done. Each changes the receipt in place.


def _change_scalar(random: Random, found: Json, mutations: Mutations) -> None:
    places = [
        (owner, key) for owner, key in _places(found) if not isinstance(owner[key], dict | list)
    ]
    owner, key = random.choice(places)
    owner[key] = _altered(random, owner[key], mutations)


def _altered(random: Random, value: Any, mutations: Mutations) -> Any:
    match random.randrange(3):
        case 0 if isinstance(value, int):
            return value + random.choice((-1, 1, 2**53))
        case 0 | 1 if isinstance(value, str) and value:
            at = random.randrange(len(value))
            return (
                value[:at]
                + random.choice("0123456789abcdef+/A—\n ")
                + value[at + random.randrange(2) :]
            )
    return random.choice((mutations.scalar(random), mutations.scalar(random), None, True, [], {}))


def _change_record(random: Random, found: Json, mutations: Mutations) -> None:
    record = random.choice(found["records"])["record"]
    name = random.choice(sorted(record))
    record[name] = mutations.scalar(random)


def _drop(random: Random, found: Json, _: Mutations) -> None:
    owner, key = random.choice(list(_places(found)))
    del owner[key]


def _insert(random: Random, found: Json, mutations: Mutations) -> None:
    owner, key = random.choice(list(_places(found)))
    value = random.choice((owner[key], mutations.scalar(random)))
    if isinstance(owner, list):
        owner.insert(key + random.randrange(2), value)
    else:
        owner[random.choice(("note", "kind", "format", "status_sequence", "disclosures"))] = value


def _reorder(random: Random, found: Json, _: Mutations) -> None:
    lists = [found["records"]]
    lists += [each["proofs"] for each in found["records"]]
    lists += [found.get("disclosures", [])]
    lists += [owner[key] for owner, key in _places(found) if isinstance(owner[key], list)]
    several = [each for each in lists if len(each) > 1]
    if several:
        random.shuffle(random.choice(several))


def _truncate(random: Random, found: Json, _: Mutations) -> None:
    kept = random.randrange(len(found["records"]) + 1)
    found["records"] = found["records"][:kept] if random.random() < 0.7 else found["records"][kept:]


def _exchange(random: Random, found: Json, mutations: Mutations) -> None:
    """Parts of another receipt, in the place of the same parts here."""
    other = mutations.other(random)
    for name in random.sample(sorted(found), random.randrange(1, 4)):
        if name in other:
            found[name] = other[name]


def _exchange_records(random: Random, found: Json, mutations: Mutations) -> None:
    other = mutations.other(random)
    here, there = (random.randrange(len(each["records"])) for each in (found, other))
    member = random.choice(("record", "proofs", "sha256", None))
    if member is None:
        found["records"][here] = other["records"][there]
    else:
        found["records"][here][member] = other["records"][there][member]


def _move_proofs(random: Random, found: Json, mutations: Mutations) -> None:
    entries = found["records"]
    if found["statement"]:
        entries = [*entries, found["statement"]]
    source = mutations.other(random)["records"] if random.random() < 0.5 else entries
    random.choice(entries)["proofs"] = [
        each for entry in random.choices(source, k=2) for each in entry["proofs"]
    ]


def _move_signatures(random: Random, found: Json, mutations: Mutations) -> None:
    other = mutations.other(random)
    notes = [other["signature"], found["signature"], mutations.other(random)["signature"]]
    notes += [each["statement"]["signature"] for each in (found, other) if each["statement"]]
    one, another = random.choice(notes), random.choice(notes)
    text, _, lines = one.partition("\n\n")
    made = random.choice((one, f"{text}\n\n{another.partition(chr(10) * 2)[2]}", one + lines))
    random.choice([found, *filter(None, [found["statement"]])])["signature"] = made


def _move_statement(random: Random, found: Json, mutations: Mutations) -> None:
    others = [each["statement"] for each in mutations.genuine if each["statement"]]
    taken = json.loads(canonical(random.choice(others)))
    if found["statement"] is None or random.random() < 0.3:
        found["statement"] = taken
    else:
        for name in random.sample(sorted(taken), random.randrange(1, 5)):
            found["statement"][name] = taken[name]


def _move_disclosures(random: Random, found: Json, mutations: Mutations) -> None:
    given = found.setdefault("disclosures", [])
    given += mutations.other(random).get("disclosures", [])
    for each in given:
        if random.random() < 0.5:
            each[random.choice(sorted(each))] = random.choice(
                (1, 2, "address", "user_email", "partner_user_id", mutations.scalar(random))
            )


def _earlier(random: Random, found: Json, _: Mutations) -> None:
    """Another moment, which whoever holds the receipt would like it to speak of."""
    found["as_of"] = moment(START + timedelta(minutes=random.randrange(1, 100_000)))


def _rechain(random: Random, found: Json, mutations: Mutations) -> None:
    """Altered records with every hash mended, under the signatures and proofs that there are."""
    records = [each["record"] for each in found["records"]]
    _forge(random, records, mutations)
    try:
        records = relinked(records)
    except (TypeError, ValueError):  # what was put in has no canonical form
        return
    proofs = [each["proofs"] for each in found["records"]]
    found["records"] = [
        {"record": record, "sha256": digest, "proofs": proofs[at] if at < len(proofs) else []}
        for at, (record, digest) in enumerate(zip(records, hashes_of(records), strict=True))
    ]
    if random.random() < 0.7:
        for entry in found["records"]:
            entry["proofs"] = []


def _forge(random: Random, records: list[Json], mutations: Mutations) -> None:
    match random.randrange(4):
        case 0 if len(records) > 1:
            del records[random.randrange(len(records))]
        case 1:
            records.insert(random.randrange(len(records) + 1), dict(random.choice(records)))
        case 2:
            random.shuffle(records)
        case _:
            record = random.choice(records)
            record[random.choice(sorted(record))] = mutations.scalar(random)


def _restamp(random: Random, found: Json, _: Mutations) -> None:
    """A chain of the attacker's that keeps every rule, stamped through its account of the log, under
    signatures that the operator made for others, or the attacker under any name."""
    forged = json.loads(random.choice(_forged()))
    choices = [found["signature"], forged["signature"]]
    text = forged["signature"].partition("\n\n")[0]
    choices.append(f"{text}\n\n{found['signature'].partition(chr(10) * 2)[2]}")
    kept = found["statement"]
    found.update(forged)
    found["signature"] = random.choice(choices)
    found["statement"] = random.choice((None, kept))


@cache
def _forged() -> tuple[bytes, ...]:
    random = Random(SEED)
    made: list[bytes] = []
    while len(made) < _FORGED_CHAINS:
        story = STORIES[random.choice(_STORIES)]
        records = json.loads(canonical(story.records))
        amount = f"{random.randrange(1, 10**6)}.{random.randrange(1, 10)}"
        for record in records:
            if "crypto_amount" in record:
                record["crypto_amount"] = amount
        records = relinked(records)
        as_of = START + timedelta(hours=random.randrange(1, 200))
        key = random.choice((STRANGER, Signer.named(KEY.name, 1, "the attacker's own")))
        made.append(canonical(receipts.receipt(records, as_of, sign=_signer(key))))
    return tuple(made)


def _signer(key: Signer) -> receipts.Sign:
    return lambda body: signed(body, key)


def _bytes(random: Random, raw: bytes) -> bytes:
    at = random.randrange(len(raw))
    match random.randrange(4):
        case 0:
            return raw[:at] + bytes([raw[at] ^ 1 << random.randrange(8)]) + raw[at + 1 :]
        case 1:
            return raw[:at] + raw[at + 1 + random.randrange(40) :]
        case 2:
            return raw[:at] + random.choice((b'"', b",", b"0", b"\\u0041", b"}")) + raw[at:]
    return raw[:at]


_CHANGES: list[tuple[str, Callable[[Random, Json, Mutations], None]]] = [
    ("a scalar changed", _change_scalar),
    ("a record's member changed", _change_record),
    ("something dropped", _drop),
    ("something inserted", _insert),
    ("something reordered", _reorder),
    ("truncated", _truncate),
    ("parts exchanged with another receipt", _exchange),
    ("records exchanged with another receipt", _exchange_records),
    ("proofs moved", _move_proofs),
    ("signatures moved", _move_signatures),
    ("statements moved", _move_statement),
    ("disclosures moved", _move_disclosures),
    ("another moment", _earlier),
    ("chained anew", _rechain),
    ("chained and stamped anew", _restamp),
    ("bytes", lambda *_: None),
]


def run(count: int, first: int = 0) -> Counter[tuple[str, str]]:
    """What became of so many mutations, by what was done. Raises AssertionError with the number of one that
    was accepted as another statement."""
    mutations, found = Mutations(), Counter[tuple[str, str]]()
    for number in range(first, first + count):
        name, raw = mutations.mutation(number)
        try:
            found[name, mutations.judge(raw)] += 1
        except AssertionError as error:
            raise AssertionError(f"mutation {number} ({name}): {error}") from error
    return found


def main() -> None:
    count, first = (int(each) for each in [*sys.argv[1:], "100000", "0"][:2])
    begun = time.process_time()
    found = run(count, first if len(sys.argv) > 2 else 0)
    by_verdict: Counter[str] = Counter()
    for (_, verdict), times in found.items():
        by_verdict[verdict] += times
    refused = count - by_verdict["genuine"] - by_verdict["unsigned"]
    print(f"{count} mutations in {time.process_time() - begun:.0f} s of one core")
    print(f"{refused} refused, by {len(by_verdict) - 2} kinds of refusal")
    print(f"{by_verdict['unsigned']} without a signature of the operator")
    print(f"{by_verdict['genuine']} accepted as what the operator did say")
    print("0 accepted as another statement")


if __name__ == "__main__":
    main()
