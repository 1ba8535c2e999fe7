"""Heads of the audit chain in the timestamp log: what they prove, and what they give away."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.db.audit.scene import chained, noted, owning, write
from tests.support.pipeline import ORIGIN, VAULT, key_lines, work
from tests.support.retiring import retire
from tests.support.signer import Signer

from proof.core.clock import SystemClock
from proof.core.errors import NotFoundError
from proof.core.note_keys import SigningKey
from proof.db import Database
from proof.partners import audit_chain
from proof.partners.audit import entry_from
from proof.partners.audit_chain import SYSTEM, ZERO, Head, entry_hash, extend, note_submitted
from proof.timestamps.anchors.log.service import ensure_log
from proof.timestamps.proofs import audit_heads
from proof.timestamps.proofs.audit import fsck
from proof.timestamps.proofs.audit_heads import (
    AuditReport,
    EntryProof,
    HeadSubmitter,
    entry_proof,
    newest_proof,
    verify_log,
)
from proof.timestamps.proofs.errors import ProofNotYetError, UnsoundProofError
from proof.timestamps.submissions.committer import Committer
from proof.verify import Policy, parse_verifier_key, verify_payload
from proof.verify.audit import verify_audit
from proof.verify.evidence.log.note import LOG_KEY, VerifierKey, signed_note


@pytest.fixture
def log(run: Any, database: Database) -> None:
    run(ensure_log(database, VAULT, "production", ORIGIN))


async def verdict(
    database: Database, *saved: bytes, keys: tuple[VerifierKey, ...] = ()
) -> AuditReport:
    trusted = Policy.of_keys(keys) if keys else None
    return await verify_log(database, saved, trusted, lambda _: None)


async def submitted(database: Database) -> None:
    """As a worker does that has just been started."""
    submitter = HeadSubmitter(database, SystemClock())
    while await submitter.step():
        pass


async def stamped(database: Database) -> int:
    async with database.connection() as connection:
        count: int = await connection.fetchval("SELECT count(*) FROM submissions")
    return count


async def proved(database: Database, folder: Path, *actions: str) -> bytes:
    """The proof of a head up to these entries."""
    await chained(database, *actions)
    await submitted(database)
    await work(database, folder)
    return (await newest_proof(database, SystemClock())).body


async def rechain(database: Database, owner: Any) -> None:
    """A whole new chain over what the log holds now, as its administrator could make it."""
    await owner.execute("DELETE FROM audit_chain")
    hashed = ZERO
    async with database.connection() as connection:
        rows = await connection.fetch("SELECT * FROM audit_log ORDER BY id")
    for position, row in enumerate(rows, 1):
        hashed = entry_hash(hashed, entry_from(row))
        await owner.execute(
            "INSERT INTO audit_chain VALUES ($1, $2, $3)", position, row["id"], hashed
        )


async def test_a_head_is_proved_and_any_verifier_reads_it(
    log: None, database: Database, tmp_path: Path
) -> None:
    body = await proved(database, tmp_path, "a", "b")
    async with database.connection() as connection:
        head = await audit_chain.newest_head(connection)
        keys = [parse_verifier_key(t) for t in await key_lines(connection)]
    assert head is not None
    established = verify_payload(body, log_keys=keys)
    assert established.tied
    assert established.leaf == head.hash
    assert json.loads(body)["auditHead"] == {"position": 2, "entryId": 2}
    found = await verdict(database, body, keys=tuple(keys))
    assert found.findings == ()
    assert (found.heads, found.chain.checked) == (2, 2)
    assert found.saved[0].timestamp_ms == established.timestamp_ms
    assert (await fsck(database, lambda *_: None)).findings == ()


async def test_a_saved_head_holds_while_the_log_grows(
    log: None, database: Database, tmp_path: Path
) -> None:
    async with database.transaction() as tx:
        # Numbers are given out and not used where a transaction was rolled back.
        await tx.execute("SELECT nextval(pg_get_serial_sequence('audit_log', 'id'))")
    first = await proved(database, tmp_path, "a")
    second = await proved(database, tmp_path, "b", "c")
    found = await verdict(database, first, second)
    assert found.findings == ()
    assert [(head.position, head.entry_id) for head in found.saved] == [(1, 2), (3, 4)]


async def test_every_position_is_submitted_once_in_pages_and_by_whoever_comes_first(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_heads, "HEADS_AT_ONCE", 2)
    first, second = (HeadSubmitter(database, SystemClock()) for _ in range(2))
    assert not await first.step()
    await chained(database, *"abcde")
    assert await first.step()
    assert (await stamped(database), await noted(database)) == (2, 2)
    # It goes over what is noted already.
    assert [await second.step() for _ in range(3)] == [True, True, False]
    assert (await stamped(database), await noted(database)) == (5, 5)
    assert [await first.step() for _ in range(2)] == [True, False]
    await chained(database, "f")
    await asyncio.gather(first.step(), second.step())
    assert (await stamped(database), await noted(database)) == (6, 6)
    report = await verdict(database)
    assert (report.heads, report.findings) == (6, ())


async def test_what_was_chained_before_between_heads_is_submitted_too(database: Database) -> None:
    await chained(database, *"abcd")
    async with database.connection() as connection:
        heads = [head for head, _ in await audit_chain.heads_after(connection, 0, 9)]
    await commit(database, heads[1], heads[3])
    async with database.transaction() as tx:
        await note_submitted(tx, [heads[1], heads[3]], SystemClock().now())
    await submitted(database)
    assert (await stamped(database), await noted(database)) == (4, 4)


async def test_stopped_between_submitting_and_noting_the_heads_go_again_as_the_same(
    log: None, database: Database, tmp_path: Path
) -> None:
    await chained(database, "a", "b")
    async with database.connection() as connection:
        heads = [head for head, _ in await audit_chain.heads_after(connection, 0, 9)]
    await commit(database, *heads)
    # Killed here: nothing was noted. Then two workers at once.
    await asyncio.gather(*(submitted(database) for _ in range(3)))
    async with database.transaction() as tx:
        await note_submitted(tx, heads, SystemClock().now())
    await work(database, tmp_path)
    body = (await newest_proof(database, SystemClock())).body
    found = await verdict(database, body)
    assert (found.heads, found.findings) == (2, ())


async def commit(database: Database, *heads: Head) -> None:
    committer = Committer(database)
    committer.start()
    await committer.commit(SYSTEM.id, SYSTEM.environment, [head.hash for head in heads])
    await committer.close()


async def test_the_newest_head_without_a_proof_gives_way_to_the_one_before(
    log: None, database: Database, tmp_path: Path
) -> None:
    with pytest.raises(ProofNotYetError):
        await newest_proof(database, SystemClock())
    await proved(database, tmp_path, "a")
    await chained(database, *"bcd")
    await submitted(database)
    assert (await newest_proof(database, SystemClock())).head.position == 1


@pytest.mark.parametrize(
    ("rewriting", "kept"),
    [
        ("UPDATE audit_log SET actor = 'nobody' WHERE id = 1", 0),
        ("DELETE FROM audit_log WHERE id = 2", 1),
        ("DELETE FROM audit_log WHERE id > 1", 1),
        ("DELETE FROM audit_log WHERE id > 2", 2),
    ],
)
async def test_a_chain_computed_anew_is_found_by_its_heads_and_by_saved_ones(
    log: None,
    database: Database,
    owner_arguments: dict[str, Any],
    tmp_path: Path,
    rewriting: str,
    kept: int,
) -> None:
    body = await proved(database, tmp_path, "a", "b", "c")
    leaf = json.loads(body)["sha256"]
    async with database.connection() as connection:
        heads = [head.hash for head, _ in await audit_chain.heads_after(connection, 0, 9)]
    async with owning(owner_arguments) as owner:
        await owner.execute(rewriting)
        await rechain(database, owner)
        found = await verdict(database)
        assert found.chain.findings == ()
        lost = min(heads[kept:]).hex()
        several = f"{3 - kept} heads were submitted that the chain lacks; one is {lost}"
        single = f"the head {lost} was submitted; the chain lacks it"
        assert found.findings == (single if kept == 2 else several,)
        # Covering that up as well leaves what was kept outside, and fsck.
        await owner.execute("DELETE FROM submissions")
        assert (await verdict(database)).findings == ()
        (finding,) = (await verdict(database, body)).findings
        assert finding.startswith(f"position 3 was {leaf}; the chain holds ")
    assert (await fsck(database, lambda *_: None)).findings != ()


async def test_an_end_cut_off_is_found(
    log: None, database: Database, owner_arguments: dict[str, Any], tmp_path: Path
) -> None:
    body = await proved(database, tmp_path, "a", "b")
    async with owning(owner_arguments) as owner:
        await owner.execute(
            "DELETE FROM audit_chain WHERE position = 2; DELETE FROM audit_log WHERE id = 2"
        )
    found = await verdict(database, body)
    assert found.chain.findings == ()
    assert found.findings[0].endswith("was submitted; the chain lacks it")
    assert "the chain holds nothing there" in found.findings[1]


async def test_a_log_that_was_rewritten_under_a_saved_head_is_found(
    log: None, database: Database, owner_arguments: dict[str, Any], tmp_path: Path
) -> None:
    body = await proved(database, tmp_path, "a")
    await proved(database, tmp_path, "b")
    async with owning(owner_arguments) as owner:
        await owner.execute("ALTER TABLE log_tiles DISABLE TRIGGER log_tile_grows")
        await owner.execute("UPDATE log_tiles SET hashes = sha256('x') || substr(hashes, 33)")
        (finding,) = (await verdict(database, body)).findings
        assert finding.startswith("the first 1 entries of the log are not those")
        await owner.execute("UPDATE log_heads SET size = 0")
        (finding,) = (await verdict(database, body)).findings
        assert finding.endswith("it holds 0")


async def test_a_head_saved_before_the_log_was_closed_holds(
    log: None, database: Database, owner_arguments: dict[str, Any], tmp_path: Path
) -> None:
    before = await proved(database, tmp_path, "a")
    await retire(database, VAULT, tmp_path)
    after = await proved(database, tmp_path, "b")
    assert json.loads(after)["evidence"]["origin"] == f"{ORIGIN}/2"
    assert (await verdict(database, before, after)).findings == ()
    async with owning(owner_arguments) as owner:
        # As if what pinned it had been lost, which the successor's first entry would say.
        await owner.execute("ALTER TABLE logs DISABLE TRIGGER log_stays_retired")
        await owner.execute("UPDATE logs SET kept_size = 0 WHERE retired_at IS NOT NULL")
        await owner.execute(
            "UPDATE log_heads SET size = 0 FROM logs WHERE id = log_id AND number = 1"
        )
        assert (await verdict(database, before, after)).findings == ()
        await owner.execute("UPDATE logs SET kept_size = 1 WHERE retired_at IS NOT NULL")
        (finding,) = (await verdict(database, before, after)).findings
        assert finding.endswith("it holds 0")


async def test_forged_saved_heads_are_refused(
    log: None, database: Database, tmp_path: Path
) -> None:
    body = await proved(database, tmp_path, "a", "b")
    parsed = json.loads(body)
    for changed, said in (
        ({"auditHead": {"position": 1, "entryId": 1}}, "position 1 was"),
        ({"auditHead": {"position": True}}, "no auditHead"),
        ({"auditHead": {"position": 0}}, "no auditHead"),
        ({"auditHead": {"position": 1 << 63}}, "no auditHead"),
        ({"auditHead": None}, "no auditHead"),
        ({"sha256": "00" * 32}, "is refused"),
        ({"evidence": {"type": "other"}}, "signed by no key that is trusted"),
    ):
        forged = json.dumps(parsed | changed).encode()
        (finding,) = (await verdict(database, forged)).findings
        assert said in finding
    (finding,) = (await verdict(database, b"{")).findings
    assert "is refused" in finding
    stranger = Signer.named("other.example/log", LOG_KEY).key
    (finding,) = (await verdict(database, body, keys=(stranger,))).findings
    assert "signed by no key that is trusted" in finding


async def test_nobody_has_the_credentials_of_the_owner_of_heads(database: Database) -> None:
    async with database.connection() as connection:
        row = await connection.fetchrow(
            "SELECT e.partner_id, e.environment,"
            " (SELECT count(*) FROM credentials c WHERE c.partner_environment_id = e.id) AS tokens"
            " FROM partner_environments e WHERE id = $1",
            SYSTEM.id,
        )
    assert row is not None
    assert tuple(row) == (SYSTEM.partner_id, SYSTEM.environment, 0)
    assert await extend(database) == 0


RECEIPTS = SigningKey.generate(f"{ORIGIN}/receipts", LOG_KEY)


def sign(text: bytes) -> str:
    return signed_note(text, [RECEIPTS.sign(text)]).decode()


async def proof_of(database: Database, entry_id: int) -> EntryProof:
    return await entry_proof(database, SystemClock(), entry_id, sign)


async def kept_keys(database: Database) -> tuple[VerifierKey, ...]:
    async with database.connection() as connection:
        return tuple(map(parse_verifier_key, await key_lines(connection)))


async def test_the_proof_of_an_entry_shows_it_and_nothing_of_others(
    log: None, database: Database, tmp_path: Path
) -> None:
    before = datetime.now(UTC)
    with pytest.raises(NotFoundError, match="no entry 2"):
        await proof_of(database, 2)
    await chained(database, "a", "b")
    with pytest.raises(ProofNotYetError, match="waits to be stamped"):
        await proof_of(database, 2)
    await submitted(database)
    with pytest.raises(ProofNotYetError, match="not in a checkpoint"):
        await proof_of(database, 2)
    await write(database, "c")
    with pytest.raises(ProofNotYetError, match="waits to be chained"):
        await proof_of(database, 3)
    await work(database, tmp_path)
    found = await proof_of(database, 2)
    keys = await kept_keys(database)
    trusted = Policy.of_keys(keys)
    established = verify_audit(found.body, receipt_keys=[RECEIPTS.public], policy=trusted)
    assert established.tied
    assert (established.entry["action"], established.position) == ("b", 2)
    assert established.timestamp_ms is not None
    assert established.timestamp_ms >= before.timestamp() * 1000
    assert not verify_audit(found.body, policy=trusted).tied
    # What was kept also shows that nobody rewrote the log up to there.
    report = await verdict(database, found.body, keys=keys)
    assert (report.findings, report.saved[0].position) == ((), 2)
    assert len(json.loads(found.body)["proofs"]) == 1
    # Each position has a leaf of its own: the path leads over hashes, not over entries.
    assert set(json.loads(found.body)) == {
        "format",
        "entry",
        "position",
        "previous",
        "signature",
        "proofs",
    }


async def test_an_entry_that_was_altered_gets_no_proof_and_its_old_one_finds_it(
    log: None, database: Database, owner_arguments: dict[str, Any], tmp_path: Path
) -> None:
    await proved(database, tmp_path, "a", "b")
    body = (await proof_of(database, 2)).body
    async with owning(owner_arguments) as owner:
        await owner.execute("UPDATE audit_log SET actor = 'nobody' WHERE id = 2")
        with pytest.raises(UnsoundProofError, match="entry 2 at position 2 does not make its hash"):
            await proof_of(database, 2)
        await rechain(database, owner)
        await owner.execute("DELETE FROM submissions")
        assert (await verdict(database)).findings == ()
        (finding,) = (await verdict(database, body)).findings
    assert finding.startswith("position 2 was ")


async def test_what_was_rolled_back_is_no_entry_and_a_proof_goes_to_its_number(
    log: None, database: Database, tmp_path: Path
) -> None:
    async with database.transaction() as tx:
        await tx.execute("SELECT nextval(pg_get_serial_sequence('audit_log', 'id'))")
    await proved(database, tmp_path, "a")
    with pytest.raises(NotFoundError):
        await proof_of(database, 1)
    assert (await proof_of(database, 2)).head.position == 1
