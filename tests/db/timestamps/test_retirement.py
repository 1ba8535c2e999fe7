"""A log is closed for good and another follows: keys rotate, and losses are survived."""

import asyncio
import json
from collections.abc import Sequence
from hashlib import sha256
from uuid import uuid4

import pytest
from tests.support.application import Platform, Stage
from tests.support.partners import issued, tamper
from tests.support.retiring import OPERATOR, ROTATION, retire, retirement

from proof.core.errors import InvalidInputError, NotFoundError
from proof.partners.types import Environment, OnboardedPartner
from proof.timestamps.anchors.log import keys, queries
from proof.timestamps.anchors.log.final import FinalUnknownError
from proof.timestamps.anchors.log.retirement import Order
from proof.timestamps.anchors.log.service import ensure_log
from proof.timestamps.proofs.audit import fsck
from proof.verify import Established, parse_verifier_key, verify_checkpoint, verify_payload
from proof.verify.evidence.log.checkpoint import parse_checkpoint_body
from proof.verify.evidence.log.note import parse_note
from proof.verify.evidence.log.succession import verify_succession

PRODUCTION = Environment.PRODUCTION
FIRST, SECOND = "proof.example/production", "proof.example/production/2"


def digests(label: str, count: int = 3) -> list[bytes]:
    return [sha256(f"{label} {n}".encode()).digest() for n in range(count)]


class Partner:
    """One partner of a platform, and the proofs it was given."""

    def __init__(self, platform: Platform, onboarded: OnboardedPartner) -> None:
        self.platform = platform
        self.token = issued(onboarded).api_key
        self.onboarded = onboarded
        self.given: dict[bytes, bytes] = {}

    async def submit(self, hashes: Sequence[bytes]) -> None:
        answer = await self.platform.call(
            "POST", "/v1/timestamp", {"sha256": [each.hex() for each in hashes]}, token=self.token
        )
        assert answer.status == 200

    async def stamped(self, label: str) -> list[bytes]:
        """Hashes that are submitted, sealed and published; their proofs are kept."""
        hashes = digests(label)
        await self.submit(hashes)
        await self.platform.seal()
        await self.fetch(hashes)
        return hashes

    async def fetch(self, hashes: Sequence[bytes]) -> None:
        for each in hashes:
            answer = await self.platform.call("GET", f"/v1/proof/{each.hex()}", token=self.token)
            assert answer.status == 200, answer.body
            self.given[each] = answer.body


async def partner_of(platform: Platform) -> Partner:
    return Partner(platform, await platform.onboard())


async def served_keys(platform: Platform) -> list[str]:
    lines = (await platform.call("GET", "/log/key")).body.decode().splitlines()
    for each in (await platform.call("GET", "/log/retired")).json:
        path = f"/log/retired/{each['number']}/key"
        lines += (await platform.call("GET", path)).body.decode().splitlines()
    return lines


async def established(platform: Platform, given: dict[bytes, bytes]) -> dict[bytes, Established]:
    """What each proof says to a verifier who takes all keys that are served."""
    trusted = [parse_verifier_key(line) for line in await served_keys(platform)]
    found = {leaf: verify_payload(raw, log_keys=trusted) for leaf, raw in given.items()}
    for leaf, each in found.items():
        assert each.tied
        assert each.leaf == leaf
        assert each.timestamp_ms == each.claimed.timestamp_ms
    return found


def origins(given: dict[bytes, bytes], hashes: Sequence[bytes]) -> set[str]:
    return {json.loads(given[each])["evidence"]["origin"] for each in hashes}


async def findings(platform: Platform) -> list[str]:
    audit = await fsck(platform.database, lambda *_: None)
    return [f"{finding.where}: {finding.what}" for finding in audit.findings]


async def first_entry(platform: Platform) -> bytes:
    body = (await platform.call("GET", "/log/tile/entries/000.p/1")).body
    assert int.from_bytes(body[:2], "big") == len(body) - 2
    return body[2:]


def test_keys_rotate_and_partners_see_nothing_of_it(alone: Stage) -> None:
    platform = alone.platform

    async def scene() -> None:
        partner = await partner_of(platform)
        before = await partner.stamped("before")
        last = (await platform.call("GET", "/log/checkpoint")).body
        tile = (await platform.call("GET", "/log/tile/0/000.p/1")).body
        key = (await platform.call("GET", "/log/key")).body
        await partner.submit(digests("between"))
        closed = await retire(platform.database, platform.vault, platform.folder)
        assert (closed.origin, closed.successor, closed.number) == (FIRST, SECOND, 1)
        assert (closed.size, closed.kept_size, closed.reason) == (1, 1, "rotation")

        # The processes that ran before go on by themselves.
        await platform.seal()
        await partner.fetch(digests("between"))
        after = await partner.stamped("after")
        assert origins(partner.given, before) == {FIRST}
        assert origins(partner.given, [*digests("between"), *after]) == {SECOND}
        times = await established(platform, partner.given)
        ordered = [times[group[0]].timestamp_ms for group in (before, digests("between"), after)]
        assert None not in ordered
        assert ordered == sorted(ordered, key=lambda each: each or 0)
        first = dict(partner.given)
        await partner.fetch(before)
        assert partner.given == first, "a proof of the closed log stays what it was"

        await require_served(platform, last, tile, key)
        assert await findings(platform) == []

    alone.run(scene())


async def require_served(platform: Platform, last: bytes, tile: bytes, key: bytes) -> None:
    """The closed log where it was announced, and the successor where the log was."""
    answer = await platform.call("GET", "/log/retired")
    assert answer.headers["cache-control"] == "no-store"
    (listed,) = answer.json
    body = parse_checkpoint_body(parse_note(last).body)
    assert listed == {
        "number": 1,
        "origin": FIRST,
        "vkey": key.decode().splitlines()[0],
        "size": 1,
        "rootSha256": body.root.hex(),
        "keptSize": 1,
        "reason": "rotation",
        "retiredAt": listed["retiredAt"],
        "successor": SECOND,
    }
    for path, expected in (("checkpoint", last), ("tile/0/000.p/1", tile), ("key", key)):
        found = await platform.call("GET", f"/log/retired/1/{path}")
        assert found.body == expected
        assert "immutable" in found.headers["cache-control"]
    for path in ("tile/0/000.p/2", "consistency/1/2", "tile/entries/000"):
        assert (await platform.call("GET", f"/log/retired/1/{path}")).status == 404
    for number in ("0", "2", "01", "x"):
        assert (await platform.call("GET", f"/log/retired/{number}/checkpoint")).status == 404
    assert (await platform.call("GET", "/sandbox/log/retired")).json == []
    assert verify_succession(last, await first_entry(platform)) == 1
    trusted = [parse_verifier_key(line) for line in await served_keys(platform)]
    checkpoint = verify_checkpoint((await platform.call("GET", "/log/checkpoint")).body, trusted)
    assert checkpoint.origin == SECOND
    assert len({key.public_key for key in trusted}) == 4


def test_the_private_keys_of_a_closed_log_are_gone_and_the_act_is_audited(alone: Stage) -> None:
    platform = alone.platform

    async def scene() -> None:
        await (await partner_of(platform)).stamped("one")
        closed = await retire(platform.database, platform.vault, platform.folder, Order("yearly"))
        async with platform.database.connection() as connection:
            with pytest.raises(keys.LogClosedError):
                await keys.signer(connection, platform.vault, closed.log_id)
            assert len(await keys.verifier_keys(connection, closed.log_id)) == 2
            assert not await queries.take_lease(connection, closed.log_id, uuid4(), 1.0)
            (entry,) = await connection.fetch(
                "SELECT actor, before, after FROM audit_log WHERE action = 'log.retire'"
            )
        assert entry["actor"] == OPERATOR.name
        assert json.loads(entry["before"]) == {"environment": "production", "log": FIRST}
        assert json.loads(entry["after"]) == {
            "log": SECOND,
            "reason": "yearly",
            "final_size": 1,
            "kept_size": 1,
        }

    alone.run(scene())


def test_a_log_is_closed_once_however_often_it_is_asked(alone: Stage) -> None:
    platform = alone.platform

    async def scene() -> None:
        partner = await partner_of(platform)
        await partner.stamped("one")
        order = Order("rotation", log=FIRST)
        several = await asyncio.gather(
            *(retire(platform.database, platform.vault, platform.folder, order) for _ in range(4))
        )
        assert {each.origin for each in several} == {FIRST}
        await partner.stamped("two")
        again = await retire(
            platform.database, platform.vault, platform.folder, Order("again", log=FIRST)
        )
        assert [again] == list({each.log_id: each for each in several}.values())
        assert len(await platform.fetch("SELECT FROM logs WHERE environment = 'production'")) == 2

    alone.run(scene())


def test_a_start_after_the_end_of_a_log_makes_nothing(alone: Stage) -> None:
    platform = alone.platform

    async def scene() -> None:
        await (await partner_of(platform)).stamped("one")
        await retire(platform.database, platform.vault, platform.folder)
        read = "SELECT * FROM log_keys JOIN logs ON id = log_id ORDER BY id, role"
        before = await platform.fetch(read)
        for origin in (FIRST, "other.example/log"):
            await ensure_log(platform.database, platform.vault, PRODUCTION, origin)
            assert await platform.fetch(read) == before

    alone.run(scene())


def test_a_chain_of_three_logs_verifies_from_the_first_to_the_last(alone: Stage) -> None:
    platform = alone.platform

    async def scene() -> None:
        partner = await partner_of(platform)
        for number in range(3):
            await partner.stamped(f"in log {number}")
            if number < 2:
                order = Order("yearly", successor=f"other.example/{number}")
                await retire(platform.database, platform.vault, platform.folder, order)
        assert len(await established(platform, partner.given)) == 9
        listed = (await platform.call("GET", "/log/retired")).json
        assert [each["successor"] for each in listed] == ["other.example/0", "other.example/1"]
        # Each log from its second on begins with the one before.
        notes = [(await platform.call("GET", f"/log/retired/{n}/checkpoint")).body for n in (1, 2)]
        middle = (await platform.call("GET", "/log/retired/2/tile/entries/000.p/1")).body[2:]
        assert verify_succession(notes[0], middle) == 1
        assert verify_succession(notes[1], await first_entry(platform)) == 2
        assert await findings(platform) == []

    alone.run(scene())


@pytest.mark.parametrize(
    ("order", "said"),
    [
        (Order(""), "--reason"),
        (Order("two\nlines"), "--reason"),
        (Order("x" * 501), "--reason"),
        (Order("why", successor=FIRST), "another log of this installation"),
        (Order("why", successor="proof.example/sandbox"), "another log of this installation"),
        (Order("why", successor="a b"), "cannot name a log"),
        (Order("why", successor="a+b"), "cannot name a log"),
        (Order("why", log="proof.example/sandbox"), "no production log has the origin"),
        (Order("why", vouched=b"no note"), "was not signed by the key of the log"),
        (Order("why"), "published nothing"),
    ],
)
async def test_what_cannot_be_done_changes_nothing(
    platform: Platform, order: Order, said: str
) -> None:
    with pytest.raises((InvalidInputError, NotFoundError, FinalUnknownError), match=said):
        await retire(platform.database, platform.vault, platform.folder, order)
    assert await platform.fetch("SELECT FROM logs WHERE retired_at IS NOT NULL") == []
    assert await platform.fetch("SELECT FROM log_keys WHERE sealed IS NULL") == []


def test_a_log_that_is_published_all_the_while_is_closed_in_between(alone: Stage) -> None:
    platform = alone.platform

    async def scene() -> None:
        partner = await partner_of(platform)
        await partner.stamped("one")
        closed = asyncio.create_task(
            retirement(platform.database, platform.vault, platform.folder).carry_out(
                ROTATION, OPERATOR
            )
        )
        labels: list[str] = []
        while not closed.done():
            labels.append(f"meanwhile {len(labels)}")
            await partner.stamped(labels[-1])
        await partner.stamped("after")
        inside = {label for label in labels if origins(partner.given, digests(label)) == {FIRST}}
        assert (await closed).size == 1 + len(inside)
        assert origins(partner.given, digests("after")) == {SECOND}
        assert len(await established(platform, partner.given)) == 3 * (len(labels) + 2)
        assert await findings(platform) == []

    alone.run(scene())


# Each is looked for before those above it.
SPOILED = {
    "1 of its entries were kept, and the log that follows says 0": (
        "UPDATE log_entries SET entry = convert_to(replace(convert_from(entry, 'UTF8'), 'kept 1',"
        " 'kept 0'), 'UTF8') WHERE entry IS NOT NULL"
    ),
    "names another final checkpoint": (
        "UPDATE log_entries SET entry = convert_to(regexp_replace(convert_from(entry, 'UTF8'),"
        " '[0-9a-f]{64}', repeat('0', 64)), 'UTF8') WHERE entry IS NOT NULL"
    ),
    "it was closed at 1 entries, and 2 were published": (
        "INSERT INTO log_checkpoints SELECT log_id, 2, note, signed_at FROM log_checkpoints"
        " JOIN logs ON logs.id = log_id WHERE retired_at IS NOT NULL"
    ),
    "its final checkpoint is not one that its key signed": (
        "UPDATE logs SET final_note = replace(final_note, E'\n1\n', E'\n2\n')"
        " WHERE retired_at IS NOT NULL"
    ),
}


def test_fsck_names_what_no_longer_fits_together(alone: Stage) -> None:
    platform = alone.platform

    async def scene() -> None:
        await (await partner_of(platform)).stamped("one")
        await retire(platform.database, platform.vault, platform.folder)
        assert await findings(platform) == []
        await tamper(platform.database, "ALTER TABLE logs DISABLE TRIGGER log_stays_retired")
        for said, statement in SPOILED.items():
            await tamper(platform.database, statement)
            (found,) = [each for each in await findings(platform) if "log 1" in each]
            assert found.startswith("production log 1: ")
            assert found.endswith(said)

    alone.run(scene())
