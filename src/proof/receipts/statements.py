"""The daily statement: of each partner environment, every chain that changed on a day, in sums and a tree.

A day (UTC, of stamping) is closed first, under the lock that stamping takes: no chain changes on it any
more. Then each partner environment gets its statement of that day, and one of every day from its first
change on, silent ones included, so that a day left out shows. One transaction makes one statement: stopped
before its commit, nothing happened and the statement is made by whoever comes next; after it, it is there,
stamped. Lines are not stored: they follow from records, which never change.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, date, timedelta
from enum import StrEnum
from hashlib import sha256
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from proof.core.canonical import canonical_json
from proof.core.clock import Clock, moment_text
from proof.core.errors import NotFoundError, ProofError
from proof.core.note_keys import SigningKey, ed25519_verify, mldsa44_verify
from proof.core.secrets import Vault
from proof.db import Connection, Database
from proof.partners.environments import environment_names
from proof.partners.types import Environment
from proof.receipts import statement_queries as queries
from proof.receipts.keys import ReceiptKeys
from proof.receipts.stamping import LOCK, OWNERS
from proof.receipts.statement_lines import line_of
from proof.receipts.statement_queries import TILE_WIDTH, StoredStatement
from proof.timestamps.proofs.service import ProofBundle, Proofs
from proof.timestamps.submissions.committer import Committer
from proof.timestamps.trees.merkle import plain_tile_path, plain_top_of
from proof.timestamps.types import NO_CHAINS, Chains
from proof.verify import Policy, RefusedError
from proof.verify.evidence.log.note import signed_note
from proof.verify.evidence.log.rfc6962 import EMPTY_ROOT, leaf_hash
from proof.verify.receipts.statement import FORMAT, signed_text
from proof.verify.receipts.statement_file import verify_statement
from proof.verify.receipts.statement_lines import (
    CSV_HEAD,
    Line,
    Totals,
    csv_row,
    json_line,
    leaf,
)

# The key of an advisory lock that nothing else takes: of two workers one makes statements.
_LOCK = 0x5354_4154_45

# Before every transaction's id.
_FIRST = UUID(int=0)
_ONE_DAY = timedelta(days=1)


class StatementLeaf(NamedTuple):
    """A transaction's place in the newest statement that it is in: the statement's canonical bytes and
    their SHA-256, its leaf, and the 32-byte siblings from below that lead to the statement's root."""

    day: date
    statement: bytes
    sha256: bytes
    leaf: dict[str, object]
    position: int
    path: list[bytes]


class UnsoundStatementError(ProofError):
    """Our own verifier refuses the statement; nobody gets it."""


class ListForm(StrEnum):
    """How the lines of a statement are listed."""

    CSV = "csv"
    NDJSON = "ndjson"


class Listing(NamedTuple):
    """So many bytes, in pieces."""

    size: int
    pieces: AsyncIterator[bytes]


class StatementMaker:
    """Makes statements that are due; any number of workers may have one. `chains` names those beside the
    log that statements are stamped in."""

    def __init__(self, database: Database, clock: Clock, chains: Chains = NO_CHAINS) -> None:
        self._database = database
        self._clock = clock
        self._committer = Committer(database, chains)

    async def step(self) -> bool:
        """Make the next statement that is due, if one is; whether there may be another."""
        yesterday = self._clock.now().astimezone(UTC).date() - _ONE_DAY
        async with self._database.connection() as connection:
            closed, made = await queries.days(connection)
        if closed is None or closed < yesterday:
            async with self._database.transaction() as tx:
                await tx.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
                await queries.close(tx, yesterday)
        elif made is not None and made >= closed:
            return False
        return await self._make_next()

    async def _make_next(self) -> bool:
        async with self._database.transaction() as tx:
            if not await tx.fetchval("SELECT pg_try_advisory_xact_lock($1)", _LOCK):
                return False
            closed, _ = await queries.days(tx)
            assert closed is not None, "a day was closed before"
            names = await environment_names(tx)
            found = await queries.due(tx, list(names), closed)
            if found is None:
                await queries.note_made(tx, closed)
                return False
            owner, day = found
            await self._make(tx, owner, day, *names[owner])
            return True

    async def _make(
        self, tx: Connection, owner: int, day: date, partner_id: str, environment: Environment
    ) -> None:
        before = await queries.statement(tx, owner, day - _ONE_DAY)
        found = await _drawn_up(tx, owner, day)
        statement = canonical_json(
            {
                "format": FORMAT,
                "partner_id": partner_id,
                "environment": environment.value,
                "date": day.isoformat(),
                "made_at": moment_text(self._clock.now()),
                "previous_sha256": "" if before is None else before.sha256.hex(),
                "transactions": found.size,
                "totals": found.totals.members(),
                "tree_size": found.size,
                "root": found.root.hex(),
                "lines_sha256": found.lines.hash.hexdigest(),
                "csv_sha256": found.csv.hash.hexdigest(),
            }
        )
        digest = sha256(statement).digest()
        made = StoredStatement(day, statement, digest, found.csv.size, found.lines.size)
        await queries.add(tx, owner, made)
        await queries.add_tiles(tx, owner, day, found.firsts, found.nodes)
        await self._stamp(tx, environment, digest)

    async def _stamp(self, tx: Connection, environment: Environment, digest: bytes) -> None:
        owner, stamped = OWNERS[environment], None
        whose = (owner.id, environment.value)
        while stamped is None:
            # A round is closed after a second, and a statement takes longer to make.
            current = await self._committer.open_round(*whose)
            stamped = await self._committer.commit_within(tx, current, whose, [digest])


@dataclass(slots=True)
class _Measure:
    """Of a list of lines, its hash and size."""

    hash: Any = field(default_factory=sha256)
    size: int = 0

    def add(self, raw: bytes) -> None:
        self.hash.update(raw)
        self.size += len(raw)


@dataclass(slots=True)
class _DrawnUp:
    """What a statement says of its lines; holds one hash for each TILE_WIDTH of them."""

    totals: Totals = field(default_factory=Totals)
    csv: _Measure = field(default_factory=_Measure)
    lines: _Measure = field(default_factory=_Measure)
    size: int = 0
    firsts: list[UUID] = field(default_factory=list)
    nodes: list[bytes] = field(default_factory=list)
    _hashes: list[bytes] = field(default_factory=list)

    def add(self, transaction_id: UUID, records: int, line: Line) -> None:
        if not self._hashes:
            self.firsts.append(transaction_id)
        hashed = leaf_hash(leaf(line["merchant_transaction_id"], records, line["head"]))
        self._hashes.append(hashed)
        if len(self._hashes) == TILE_WIDTH:
            self.finish()
        self.size += 1
        self.totals.add(line)
        self.csv.add(csv_row(line))
        self.lines.add(json_line(line))

    def finish(self) -> None:
        """The last tile may be narrower."""
        if self._hashes:
            self.nodes.append(plain_top_of(b"".join(self._hashes)))
            self._hashes.clear()

    @property
    def root(self) -> bytes:
        return plain_top_of(b"".join(self.nodes)) if self.nodes else EMPTY_ROOT


async def _drawn_up(tx: Connection, owner: int, day: date) -> _DrawnUp:
    found, page = _DrawnUp(), await queries.lines(tx, owner, day, _FIRST)
    found.csv.add(CSV_HEAD)
    while page:
        # PostgreSQL reads the next page while this one is worked on.
        last = page[-1]["transaction_id"]
        following = asyncio.create_task(queries.lines(tx, owner, day, last))
        await asyncio.sleep(0)
        try:
            for row in page:
                found.add(row["transaction_id"], row["records"], line_of(row))
        finally:
            # Whatever happened, the connection is free again only once it has answered.
            page = await following
    found.finish()
    return found


class Statements:
    """The statements of one process, for whoever reads them."""

    def __init__(self, database: Database, vault: Vault, proofs: Proofs) -> None:
        self._database = database
        self._keys = ReceiptKeys(vault)
        self._proofs = proofs

    async def file(self, owner: int, environment: Environment, day: date) -> bytes:
        """The statement of a day with its signature and its proofs so far, canonical JSON. Raises
        NotFoundError, which says why there is none."""
        async with self._database.connection() as connection:
            found = await _found(connection, owner, day)
            key = await self._keys.signer(connection, environment)
        bundle = await self._proofs.bundle(OWNERS[environment], [found.sha256])
        raw = canonical_json(
            {
                "format": FORMAT,
                "statement": msgspec.json.decode(found.statement),
                "signature": signature(key, found.statement, found.sha256),
                "proofs": bundle.payloads.get(found.sha256, ()),
            }
        )
        return await asyncio.to_thread(_sound, raw, day, key, bundle)

    async def listing(self, owner: int, day: date, form: ListForm) -> Listing:
        """The list of a statement's lines. Raises NotFoundError, which says why there is none."""
        async with self._database.connection() as connection:
            found = await _found(connection, owner, day)
        size = found.csv_bytes if form is ListForm.CSV else found.lines_bytes
        return Listing(size, self._pieces(owner, day, form))

    async def span(self, owner: int) -> tuple[date, date] | None:
        """The days of an owner's first and newest statement; there is one of each day between. None without
        one."""
        async with self._database.connection() as connection:
            return await queries.span(connection, owner)

    async def _pieces(self, owner: int, day: date, form: ListForm) -> AsyncIterator[bytes]:
        # Between pieces no connection is held, so that whoever reads slowly keeps nobody waiting.
        after, write = _FIRST, csv_row if form is ListForm.CSV else json_line
        if form is ListForm.CSV:
            yield CSV_HEAD
        while True:
            async with self._database.connection() as connection:
                rows = await queries.lines(connection, owner, day, after)
            if not rows:
                return
            yield b"".join([write(line_of(row)) for row in rows])
            after = rows[-1]["transaction_id"]


def signature(key: SigningKey, statement: bytes, digest: bytes) -> str:
    """The note that a key signs a statement with, which is canonical and has this SHA-256."""
    said = msgspec.json.decode(statement)
    body = signed_text(said["partner_id"], said["environment"], said["date"], digest)
    return signed_note(body, [key.sign(body)]).decode()


def _sound(raw: bytes, day: date, key: SigningKey, bundle: ProofBundle) -> bytes:
    """The file, once our own verifier has accepted it by our own keys and the blocks our nodes saw. Raises
    UnsoundStatementError."""
    try:
        established = verify_statement(
            raw,
            receipt_keys=[key.public],
            policy=Policy.of_keys(bundle.log_keys),
            chains=bundle.chains,
            ed25519_verify=ed25519_verify,
            mldsa44_verify=mldsa44_verify,
        )
    except RefusedError as error:
        raise UnsoundStatementError(f"the statement of {day} is refused: {error}") from error
    if established.signed_by is None or None in [each.timestamp_ms for each in established.proofs]:
        raise UnsoundStatementError(f"the statement of {day} is tied to nothing of ours")
    return raw


async def _found(connection: Connection, owner: int, day: date) -> StoredStatement:
    found = await queries.statement(connection, owner, day)
    if found is not None:
        return found
    span = await queries.span(connection, owner)
    if span is None:
        raise NotFoundError(
            f"there is no statement of {day}: the first is made once the day (UTC) is over on which a"
            " transaction was opened"
        )
    if day < span[0]:
        raise NotFoundError(f"there is no statement of {day}: the first is that of {span[0]}")
    raise NotFoundError(
        f"there is no statement of {day} yet: it is made within minutes of the day's end (UTC); the newest"
        f" is that of {span[1]}"
    )


async def newest_with(
    connection: Connection, partner_environment_id: int, transaction_id: UUID
) -> StatementLeaf | None:
    """A transaction's place in the newest statement that it is in, None while it is in none."""
    found = await queries.newest_with(connection, partner_environment_id, transaction_id)
    if found is None:
        return None
    where = (connection, partner_environment_id, found["day"])
    position, chains = await queries.tile_of(*where, transaction_id)
    nodes = await queries.nodes(*where)
    at = [chain["transaction_id"] for chain in chains].index(transaction_id)
    hashes = b"".join(
        [
            leaf_hash(leaf(str(chain["transaction_id"]), chain["records"], chain["head"].hex()))
            for chain in chains
        ]
    )
    steps = plain_tile_path(hashes, at, bottom=False)
    steps += plain_tile_path(nodes, position, bottom=False)
    own = chains[at]
    return StatementLeaf(
        found["day"],
        found["statement"],
        found["sha256"],
        {
            "merchant_transaction_id": str(transaction_id),
            "records": own["records"],
            "head": own["head"].hex(),
        },
        position * TILE_WIDTH + at,
        [step.sibling for step in steps],
    )
