"""What makes two histories of one log elsewhere: with witnesses none of it publishes a second one.

Three witnesses, of two authors, and policies of two of them. Every machine has its own marks, the stale
one those it had when it was left.
"""

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import pytest
from tests.support.copying import as_superuser, copied, copy_migrated, dump, restored
from tests.support.pipeline import VAULT
from tests.support.ports import free_port
from tests.support.witnesses import AicsWitness, ProofWitness

from proof.core.clock import SystemClock
from proof.db import Database
from proof.db.embedded import EmbeddedCluster
from proof.timestamps.anchors.log import keys, queries
from proof.timestamps.anchors.log.mark import LogRolledBackError, Marks
from proof.timestamps.anchors.log.policy import read_policy
from proof.timestamps.anchors.log.quorum import Pauses, QuorumMissingError
from proof.timestamps.anchors.log.service import LogWriter, ensure_log, root_at
from proof.verify import verify_checkpoint
from proof.verify.evidence.log.policy import Policy, Witness

T = TypeVar("T")
PRODUCTION = "production"
ROUND = (
    "INSERT INTO rounds (partner_environment_id, environment, blinding, closed_at, sealed_at, leaf_count,"
    " root, plain_root) VALUES (1, 'production', $1, now(), now(), 2, $1, sha256($1))"
)
NAME_THIS_POINT = "SELECT pg_create_restore_point('before')"
REPLAYED = """
restore_command = 'false'
recovery_target_name = 'before'
recovery_target_action = 'promote'
hot_standby = off
"""

LOGS = 8
"""How many logs the witnesses know: each test takes one that none has seen yet."""


@dataclass(frozen=True)
class Machine:
    """A worker's machine: the database that it reaches, its marks, and its policy."""

    arguments: dict[str, Any]
    marks: Path
    policy: Policy | None

    def run(self, act: Callable[[Database, LogWriter], Awaitable[T]]) -> T:
        async def whole() -> T:
            database = await Database.open(self.arguments)
            writer = LogWriter(
                database,
                VAULT,
                SystemClock(),
                PRODUCTION,
                Marks(self.marks),
                self.policy,
                Pauses(0, 0),
            )
            try:
                return await act(database, writer)
            finally:
                await writer.close()
                await database.close()

        return asyncio.run(whole())

    def grow(self, count: int, label: str) -> None:
        """So many rounds are sealed and appended."""

        async def act(database: Database, writer: LogWriter) -> None:
            async with database.connection() as connection:
                for n in range(count):
                    await connection.execute(ROUND, sha256(f"{label} {n}".encode()).digest())
            await writer.append()

        self.run(act)

    def publish(self) -> bool:
        async def act(_: Database, writer: LogWriter) -> bool:
            return bool(await writer.publish())

        return self.run(act)

    def published(self) -> dict[int, bytes]:
        """The root of each size that has a checkpoint, which its own entries make."""

        async def act(database: Database, _: LogWriter) -> dict[int, bytes]:
            async with database.connection() as connection:
                log = await queries.head(connection, PRODUCTION)
                own = (await keys.public_keys(connection, log.log_id))[:1]
                rows = await connection.fetch(
                    "SELECT size, note FROM log_checkpoints WHERE log_id = $1", log.log_id
                )
                found = {}
                for row in rows:
                    checkpoint = verify_checkpoint(row["note"].encode(), own)
                    assert checkpoint.log_key is not None
                    assert checkpoint.root == await root_at(connection, log.log_id, row["size"])
                    found[row["size"]] = checkpoint.root
                return found

        return self.run(act)

    def restored_to(self, arguments: dict[str, Any], marks: Path | None = None) -> "Machine":
        return replace(self, arguments=arguments, marks=marks or self.marks)


@dataclass
class Installation:
    """One PostgreSQL, whose databases are the machines' logs; witnesses know all of them."""

    cluster: EmbeddedCluster
    folder: Path
    machines: list[Machine]
    _names: Iterator[int] = field(default_factory=count)

    def name(self) -> str:
        return f"incident_copy_{next(self._names)}"

    @contextmanager
    def machine(self) -> Iterator[Machine]:
        """One whose log nobody has seen yet."""
        yield self.machines.pop()

    def copy(self, machine: Machine) -> Any:
        """The database as it is now."""
        return copied(self.cluster, self.name(), machine.arguments["database"])

    def stale(self, machine: Machine) -> Path:
        """A copy of the machine's marks as they are now."""
        folder = self.folder / self.name()
        shutil.copytree(machine.marks, folder) if machine.marks.exists() else folder.mkdir()
        return folder


@pytest.fixture(scope="module")
def installation(
    cluster: EmbeddedCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("incidents")
    with ExitStack() as stack:
        databases = [stack.enter_context(copied(cluster, f"incident_{n}")) for n in range(LOGS)]
        vkeys = [asyncio.run(made(each, f"log-{n}.example")) for n, each in enumerate(databases)]
        aics = [AicsWitness(folder / f"a{n}", f"aics.example/w{n}") for n in range(2)]
        ours = ProofWitness(folder / "p", "proof.example/w")
        witnesses: list[AicsWitness | ProofWitness] = [*aics, ours]
        for witness in witnesses:
            for vkey in vkeys:
                witness.add(vkey)
            stack.callback(witness.stop)
            witness.start()
        lines = [f"witness a{n} {each.vkey} {each.url}" for n, each in enumerate(aics)]
        lines += [
            *ours.policy,
            f"group two-of-three 2 a0 a1 {ours.group}",
            "quorum two-of-three",
            "",
        ]
        policy = read_policy("\n".join(lines).encode())
        yield Installation(
            cluster,
            folder,
            [
                Machine(arguments, folder / f"marks-{n}", policy)
                for n, arguments in enumerate(databases)
            ],
        )


async def made(arguments: dict[str, Any], origin: str) -> str:
    """A log of that origin; its verifier key."""
    database = await Database.open(arguments)
    try:
        await ensure_log(database, VAULT, PRODUCTION, origin)
        async with database.connection() as connection:
            log = await queries.head(connection, PRODUCTION)
            return (await keys.verifier_keys(connection, log.log_id))[0]
    finally:
        await database.close()


def refuses(machine: Machine, said: str) -> None:
    """It publishes nothing, neither below what was published nor past it."""
    before = machine.published()
    for grown in (1, 20):
        machine.grow(grown, f"another history of {grown} on {machine.arguments['database']}")
        with pytest.raises(LogRolledBackError, match=said):
            machine.publish()
    assert machine.published() == before


def test_two_workers_a_restored_database_and_a_stale_mark(installation: Installation) -> None:
    """Without witnesses the very same signs a second history, and nobody says a word."""
    with installation.machine() as first:
        first.grow(6, "one")
        assert first.publish()
        stale = installation.stale(first)
        with installation.copy(first) as backup:
            first.grow(4, "two")
            assert first.publish()
            second = first.restored_to(backup, stale)
            refuses(
                second, "holds 10 entries of the log with the root .* signed by the log's own key"
            )
            unguarded = replace(second, policy=None)
            assert set(first.published()) == {6, 10}
            assert set(second.published()) == {6}
            with pytest.raises(Exception, match="published with witnesses"):
                unguarded.publish()


def test_a_dump_that_is_restored(installation: Installation, tmp_path: Path) -> None:
    with installation.machine() as first:
        first.grow(5, "one")
        assert first.publish()
        stale, file = installation.stale(first), tmp_path / "dump"
        dump(installation.cluster, first.arguments["database"], file)
        first.grow(1, "two")
        assert first.publish()
        with restored(installation.cluster, file, installation.name()) as arguments:
            refuses(first.restored_to(arguments), "entries, but 6 were signed|are not those")
            refuses(first.restored_to(arguments, stale), "holds 6 entries of the log")


def replay(source: Path, base: Path) -> None:
    """Have the server of `base`, a base backup, replay the log of `source` up to the named point."""
    there, here = (each / "postgresql" / "cluster" for each in (source, base))
    subprocess.run(["cp", "-a", f"{there}/pg_wal/.", f"{here}/pg_wal"], check=True)
    with (here / "postgresql.auto.conf").open("a") as file:
        file.write(REPLAYED)
    signal_file, owner = here / "recovery.signal", (here / "PG_VERSION").stat()
    signal_file.touch(0o600)
    os.chown(signal_file, owner.st_uid, owner.st_gid)


def test_a_point_in_time_before_the_last_commits(tmp_path: Path) -> None:
    """PostgreSQL replays the archive up to then, and goes on from there."""
    with tempfile.TemporaryDirectory(prefix="proof-") as folder:
        first, second = Path(folder, "first"), Path(folder, "second")
        copy_migrated(first)
        copy_migrated(second)
        witness = ProofWitness(tmp_path / "w")
        witness.start()
        try:
            policy = read_policy(
                "\n".join([*witness.policy, f"quorum {witness.group}", ""]).encode()
            )
            with EmbeddedCluster(first).start():
                arguments = asdict(EmbeddedCluster(first).connection("app"))
                witness.add(asyncio.run(made(arguments, "in-time.example")))
                machine = Machine(arguments, tmp_path / "marks", policy)
                machine.grow(5, "one")
                assert machine.publish()
                shutil.copytree(machine.marks, tmp_path / "stale")
                asyncio.run(
                    as_superuser(EmbeddedCluster(first), NAME_THIS_POINT, database="postgres")
                )
                machine.grow(1, "two")
                assert machine.publish()
            replay(first, second)
            with EmbeddedCluster(second).start():
                recovered = asdict(EmbeddedCluster(second).connection("app"))
                refuses(machine.restored_to(recovered), "entries, but 6 were signed|are not those")
                behind = machine.restored_to(recovered, tmp_path / "stale")
                refuses(behind, "holds 6 entries of the log")
        finally:
            witness.stop()


def test_a_failover_that_lost_the_last_commits(installation: Installation) -> None:
    with installation.machine() as first:
        first.grow(3, "one")
        assert first.publish()
        other = installation.stale(first)
        with installation.copy(first) as standby:
            first.grow(2, "two")
            assert first.publish()
            refuses(first.restored_to(standby), "entries, but 5 were signed|are not those")
            refuses(first.restored_to(standby, other), "holds 5 entries of the log")


def test_what_was_never_published_may_be_lost_where_no_witness_saw_it(
    installation: Installation,
) -> None:
    with installation.machine() as first:
        first.grow(3, "one")
        assert first.publish()
        with installation.copy(first) as standby:
            first.grow(2, "two")
            promoted = first.restored_to(standby)
            promoted.grow(4, "another history")
            assert promoted.publish()
            assert set(promoted.published()) == {3, 7}


def test_a_second_installation_with_copied_keys(installation: Installation) -> None:
    with installation.machine() as first, installation.copy(first) as keys_only:
        first.grow(9, "one")
        assert first.publish()
        second = first.restored_to(keys_only, installation.folder / installation.name())
        second.grow(2, "of its own")
        refuses(second, "holds 9 entries of the log")


def reaching(machine: Machine, *urls: str) -> Machine:
    """The same machine, cut off from every other witness."""
    assert machine.policy is not None
    nowhere = f"http://127.0.0.1:{free_port()}"
    witnesses = tuple(
        Witness(each.name, each.key, each.url if each.url in urls else f"{nowhere}/{n}")
        for n, each in enumerate(machine.policy.witnesses)
    )
    return replace(machine, policy=replace(machine.policy, witnesses=witnesses))


def outcome(machine: Machine) -> str:
    try:
        return "published" if machine.publish() else "nothing"
    except QuorumMissingError:
        return "waits"
    except LogRolledBackError:
        return "refused"


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        ((0,), (1, 2), ("waits", "published")),
        ((0, 1), (1, 2), ("published", "refused")),
        ((0, 1, 2), (0, 1, 2), ("published", "refused")),
    ],
    ids=["apart", "with one in common", "with all in common"],
)
def test_two_halves_of_a_split_network(
    installation: Installation,
    ours: tuple[int, ...],
    theirs: tuple[int, ...],
    expected: tuple[str, str],
) -> None:
    with installation.machine() as first:
        assert first.policy is not None
        urls = list(dict.fromkeys(each.url or "" for each in first.policy.witnesses))
        first.grow(3, "one")
        assert first.publish()
        with installation.copy(first) as half:
            here = reaching(first, *(urls[n] for n in ours))
            there = reaching(
                first.restored_to(half, installation.stale(first)), *(urls[n] for n in theirs)
            )
            here.grow(2, "here")
            there.grow(2, "there")
            assert (outcome(here), outcome(there)) == expected
            both = here.published().items() & there.published().items()
            assert len(both) == 1
            assert len(here.published()) + len(there.published()) == 3
