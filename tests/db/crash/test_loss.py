"""A log that lost entries for good goes on: proofs from before hold, and what is left is proved anew."""

import json
import secrets
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import pytest
from tests.support.copying import copied
from tests.support.pipeline import ORIGIN, VAULT, owner, work, writer
from tests.support.retiring import retire

from proof.core.clock import SystemClock
from proof.core.errors import DatabaseUnavailableError
from proof.db import Database
from proof.db.embedded import EmbeddedCluster
from proof.timestamps.anchors.log import queries, retired
from proof.timestamps.anchors.log.keys import verifier_keys
from proof.timestamps.anchors.log.mark import LogRolledBackError
from proof.timestamps.anchors.log.retirement import Order
from proof.timestamps.anchors.log.service import ensure_log
from proof.timestamps.proofs.audit import fsck
from proof.timestamps.proofs.errors import UnknownHashError
from proof.timestamps.proofs.service import Proofs
from proof.timestamps.submissions.committer import Committer
from proof.timestamps.trees.sealing import close_due, seal_next
from proof.timestamps.types import Currency
from proof.verify import parse_verifier_key, verify_payload
from proof.verify.evidence.log.succession import parse_predecessor, verify_succession

T = TypeVar("T")

COPY = f"copy_{secrets.token_hex(6)}"
SUCCESSOR = f"{ORIGIN}/2"
LOST = Order("the disk failed", log=ORIGIN)


class Machine:
    """One installation: a database that can be restored from a copy, and a folder that is not in it."""

    def __init__(self, cluster: EmbeddedCluster, arguments: dict[str, Any], folder: Path) -> None:
        self.cluster = cluster
        self.arguments = arguments
        self.folder = folder
        self.given: dict[bytes, bytes] = {}

    async def on_database(self, action: Callable[[Database], Awaitable[T]]) -> T:
        database = await Database.open(self.arguments)
        try:
            return await action(database)
        finally:
            await database.close()

    async def stamp(self, count: int, *, published: bool = True) -> list[bytes]:
        """Hashes of as many rounds; once they are published their proofs are handed out."""

        async def stamped(database: Database) -> list[bytes]:
            hashes = [await self._round(database) for _ in range(count)]
            if published:
                await work(database, self.folder)
                for each in hashes:
                    self.given[each] = await self.proof(database, each)
            return hashes

        return await self.on_database(stamped)

    async def proof(self, database: Database, leaf: bytes) -> bytes:
        return await Proofs(database, SystemClock()).proof(owner(), leaf, Currency.LOG)

    async def keys(self) -> list[str]:
        """All that a trust file of this installation has."""

        async def read(database: Database) -> list[str]:
            async with database.connection() as connection:
                logs = await queries.logs(connection)
                return [
                    line for log in logs for line in await verifier_keys(connection, log.log_id)
                ]

        return await self.on_database(read)

    async def _round(self, database: Database) -> bytes:
        committer = Committer(database)
        committer.start()
        leaf = secrets.token_bytes(32)
        await committer.commit(owner().id, owner().environment, [leaf])
        await committer.close()
        await close_due(database, 0)
        while await seal_next(database):
            pass
        return leaf


@pytest.fixture
def machine(cluster: EmbeddedCluster, tmp_path: Path, run: Any) -> Iterator[Machine]:
    with copied(cluster, f"loss_{secrets.token_hex(6)}") as arguments:
        found = Machine(cluster, arguments, tmp_path)
        run(found.on_database(lambda database: ensure_log(database, VAULT, "production", ORIGIN)))
        yield found


def origin_of(proof: bytes) -> str:
    found: str = json.loads(proof)["evidence"]["origin"]
    return found


async def require_all_hold(machine: Machine) -> None:
    trusted = [parse_verifier_key(line) for line in await machine.keys()]
    for leaf, raw in machine.given.items():
        established = verify_payload(raw, log_keys=trusted)
        assert established.tied
        assert established.leaf == leaf
        assert established.timestamp_ms == established.claimed.timestamp_ms


async def findings(database: Database) -> list[str]:
    audit = await fsck(database, lambda *_: None)
    return [f"{finding.where}: {finding.what}" for finding in audit.findings]


def test_a_restored_backup_goes_on_in_another_log(
    machine: Machine, cluster: EmbeddedCluster, run: Any
) -> None:
    kept = run(machine.stamp(4))
    # In the backup, and published after it.
    waiting = run(machine.stamp(2, published=False))
    with copied(cluster, COPY, machine.arguments["database"]) as backup:
        run(machine.on_database(lambda database: work(database, machine.folder)))
        run(machine.stamp(0))
        lost = run(machine.stamp(3))
        machine.arguments = backup
        run(goes_on(machine, kept, waiting, lost))


async def goes_on(
    machine: Machine, kept: list[bytes], waiting: list[bytes], lost: list[bytes]
) -> None:
    new = await machine.stamp(1, published=False)
    with pytest.raises(LogRolledBackError):
        await machine.stamp(0)

    async def close(database: Database) -> None:
        closed = await retire(database, VAULT, machine.folder, LOST)
        assert (closed.size, closed.kept_size) == (9, 4)
        assert (closed.origin, closed.successor) == (ORIGIN, SUCCESSOR)
        assert closed.reason == LOST.reason
        assert await retire(database, VAULT, machine.folder, LOST) == closed
        await work(database, machine.folder)
        for each in [*waiting, *new]:
            machine.given[each] = await machine.proof(database, each)
            assert origin_of(machine.given[each]) == SUCCESSOR
        for each in kept:
            assert await machine.proof(database, each) == machine.given[each]
        for each in lost:
            with pytest.raises(UnknownHashError):
                await machine.proof(database, each)
        assert await findings(database) == []
        async with database.connection() as connection:
            head = await queries.head(connection, "production")
            assert head.size == 1 + len(waiting) + len(new)
            (first,) = await queries.entries(connection, head.log_id, 0, 1)
        assert verify_succession(closed.note, first) == 4

    await machine.on_database(close)
    await machine.stamp(2)
    await require_all_hold(machine)


def test_all_of_a_log_may_be_lost(machine: Machine, cluster: EmbeddedCluster, run: Any) -> None:
    with copied(cluster, COPY, machine.arguments["database"]) as empty:
        run(machine.stamp(2))
        machine.arguments = empty

        async def close(database: Database) -> None:
            closed = await retire(database, VAULT, machine.folder, LOST)
            assert (closed.size, closed.kept_size) == (2, 0)
            async with database.connection() as connection:
                head = await queries.head(connection, "production")
                (first,) = await queries.entries(connection, head.log_id, 0, 1)
            found = parse_predecessor(first)
            assert found is not None
            assert found.kept == 0
            assert await findings(database) == []

        run(machine.on_database(close))
        run(machine.stamp(2))
        run(require_all_hold(machine))
        assert {origin_of(proof) for proof in machine.given.values()} == {ORIGIN, SUCCESSOR}


def test_stopped_between_mark_and_checkpoint_nothing_is_lost(
    machine: Machine, cluster: EmbeddedCluster, run: Any
) -> None:
    run(machine.stamp(1))
    waiting = run(machine.stamp(2, published=False))
    with copied(cluster, COPY, machine.arguments["database"]) as before:
        run(machine.on_database(lambda database: work(database, machine.folder)))
        machine.arguments = before

        async def close(database: Database) -> None:
            await writer(database, machine.folder).append()
            closed = await retire(database, VAULT, machine.folder, LOST)
            assert (closed.size, closed.kept_size) == (3, 3)
            await work(database, machine.folder)
            for each in waiting:
                machine.given[each] = await machine.proof(database, each)
            assert {origin_of(machine.given[each]) for each in waiting} == {SUCCESSOR}
            assert await findings(database) == []

        run(machine.on_database(close))
        run(require_all_hold(machine))


class Killed(BaseException):
    """The process ended here."""


def killed_at(patch: pytest.MonkeyPatch, number: int, moment: str) -> None:
    """Have the connection break off before or after the n-th statement, BEGIN and COMMIT included.

    Servers of other tests run in threads of this process, and go on as ever.
    """
    count, here = 0, threading.get_ident()

    def wrap(method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def counted(self: Any, *arguments: Any, **options: Any) -> Any:
            nonlocal count
            if threading.get_ident() != here:
                return await method(self, *arguments, **options)
            count += 1
            mine = count
            if mine == number and moment == "after":
                await method(self, *arguments, **options)
            if mine == number:
                self.terminate()
                raise Killed
            return await method(self, *arguments, **options)

        return counted

    for name in ("execute", "executemany", "fetch", "fetchrow", "fetchval"):
        patch.setattr(asyncpg.Connection, name, wrap(getattr(asyncpg.Connection, name)))


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_at_any_statement_the_command_run_again_finishes(
    machine: Machine, run: Any, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    run(machine.stamp(2))
    waiting = run(machine.stamp(1, published=False))
    kills = 0

    async def closed(database: Database) -> bool:
        async with database.connection() as connection:
            return bool(await retired.logs(connection, "production"))

    async def close(database: Database) -> None:
        # On the way out of a snapshot its connection is missed.
        with monkeypatch.context() as patch, suppress(Killed, DatabaseUnavailableError):
            killed_at(patch, kills + 1, moment)
            await retire(database, VAULT, machine.folder, LOST)

    while not run(machine.on_database(closed)):
        run(machine.on_database(close))
        kills += 1
    # The plan and one transaction of a dozen statements.
    assert kills > 20

    async def finish(database: Database) -> None:
        found = await retire(database, VAULT, machine.folder, LOST)
        async with database.connection() as connection:
            assert await retired.logs(connection, "production") == [found]
            assert len(await queries.logs(connection)) == 2
            audited = "SELECT count(*) FROM audit_log WHERE action = 'log.retire'"
            assert await connection.fetchval(audited) == 1
        await work(database, machine.folder)
        assert origin_of(await machine.proof(database, waiting[0])) == SUCCESSOR
        assert await findings(database) == []

    run(machine.on_database(finish))
