"""The worker's way from closed round to published tree, and checks that nothing of it was lost."""

from pathlib import Path

from proof.core.clock import SystemClock
from proof.core.secrets import Vault
from proof.db import Connection, Database
from proof.partners.types import Environment, Limits, PartnerEnvironment
from proof.timestamps.anchors.log import queries
from proof.timestamps.anchors.log.keys import verifier_keys
from proof.timestamps.anchors.log.mark import Marks
from proof.timestamps.anchors.log.service import LogWriter
from proof.timestamps.proofs.audit import fsck
from proof.timestamps.proofs.service import Proofs
from proof.timestamps.trees.sealing import close_due, seal_next
from proof.timestamps.types import Currency
from proof.verify import verify_payload

VAULT = Vault([bytes(range(32))])
ORIGIN = "test.example/log"


def owner(identity: int = 1) -> PartnerEnvironment:
    """A partner environment that exists nowhere but here."""
    return PartnerEnvironment(identity, "ptr_test", Environment.PRODUCTION, Limits(), False, {})


def writer(database: Database, folder: Path) -> LogWriter:
    """The log's writer, with its high-water marks in `folder`."""
    return LogWriter(database, VAULT, SystemClock(), Environment.PRODUCTION, Marks(folder))


async def key_lines(connection: Connection, environment: str = Environment.PRODUCTION) -> list[str]:
    """The verifier keys of an environment's current log."""
    return await verifier_keys(connection, (await queries.head(connection, environment)).log_id)


async def work(database: Database, folder: Path) -> None:
    """Everything a worker does once, in its order: close, seal, append, publish."""
    await close_due(database, 0)
    while await seal_next(database):
        pass
    log = writer(database, folder)
    await log.append()
    await log.publish()


async def lost(database: Database, digests: set[bytes]) -> list[str]:
    """What is wrong with these acknowledged digests; empty when each has exactly one sealed round and
    a proof that verifies, and the rebuilt trees and log are what is stored."""
    async with database.connection() as connection:
        rows = await connection.fetch(
            "SELECT s.digest, r.sealed_at FROM submissions s JOIN rounds r ON r.id = s.round_id"
        )
    sealed = [row["digest"] for row in rows if row["sealed_at"] is not None]
    problems = [f"{digest.hex()} is in no sealed round" for digest in digests - set(sealed)]
    if len(sealed) != len(set(sealed)):
        problems.append("a digest is in two rounds")
    told: dict[str, tuple[int, int]] = {}
    audit = await fsck(database, lambda what, done, total: told.__setitem__(what, (done, total)))
    problems += [f"{finding.where}: {finding.what}" for finding in audit.findings]
    # Each round has a blinding leaf beside the digests.
    leaves = len(sealed) + audit.rounds
    if (audit.leaves, told["rounds"]) != (leaves, (audit.rounds, audit.rounds)):
        problems.append(f"{audit} and {told} are not of {len(sealed)} digests")
    proofs = Proofs(database, SystemClock())
    for digest in digests:
        body = await proofs.proof(owner(), digest, Currency.LOG)
        if verify_payload(body).leaf != digest:
            problems.append(f"the proof of {digest.hex()} is about something else")
    return problems
