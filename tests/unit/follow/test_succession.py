"""A log is closed and another follows: a monitor goes with it, and is not led to a log that does not."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.support.fake_log import log_files, some, static_server
from tests.support.signer import LOG, WITNESS, Signer
from tests.unit.follow.test_monitor import Watch

from proof.follow.faults import Fault
from proof.follow.state import StateFolder
from proof.follow.trust import trust_of
from proof.verify.evidence.log.note import LOG_KEY
from proof.verify.evidence.log.succession import predecessor_of

SECOND = Signer.named("log.example/second", LOG_KEY)
THIRD = Signer.named("log.example/third", LOG_KEY)
STRANGE = Signer.named("log.example/strange", LOG_KEY)


def of(log: Signer, entries: Sequence[bytes]) -> dict[str, bytes]:
    return log_files(entries, signers=(log, WITNESS), origin=log.name)


def following(final: dict[str, bytes], kept: int, count: int = 3) -> list[bytes]:
    """The entries of a successor."""
    return [predecessor_of(final["checkpoint"], kept).entry, *some(count, "later ")]


def listed(number: int, log: Signer, successor: Signer) -> dict[str, Any]:
    return {
        "number": number,
        "origin": log.name,
        "vkey": log.text,
        "successor": successor.name,
        "reason": "keys are rotated\x1b[31m",
    }


def address(
    current: dict[str, bytes], closed: Sequence[tuple[dict[str, Any], dict[str, bytes]]]
) -> dict[str, bytes]:
    """All that an address shows whose earlier logs are closed."""
    files = dict(current, retired=json.dumps([said for said, _ in closed]).encode())
    for said, log in closed:
        files |= {f"retired/{said['number']}/{path}": raw for path, raw in log.items()}
    return files


FIRST = of(LOG, some(300))
AFTER = of(SECOND, following(FIRST, 300))
ROTATED = address(AFTER, [(listed(1, LOG, SECOND), FIRST)])


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    with static_server(of(LOG, some(200))) as static:
        keys = "".join(f"{each.text}\n" for each in (LOG, SECOND, THIRD, WITNESS)).encode()
        yield Watch(static, StateFolder(tmp_path / "state"), trust_of(None, [keys]))


async def test_a_monitor_goes_with_the_log(watch: Watch) -> None:
    await watch.look(entries=True)
    watch.static.files = ROTATED
    found = await watch.look(entries=True)
    assert found.fault is None, found.message
    assert found.kept
    assert (found.kept.origin, found.kept.size, found.entries) == (SECOND.name, 4, 4)
    (notice,) = watch.told
    assert notice.type == "log.succeeded"
    assert f"{LOG.name} is closed with 300 entries, and {SECOND.name} follows it" in notice.message
    assert "the reason given: 'keys are rotated\\x1b[31m'" in notice.message
    watch.static.files = address(
        of(SECOND, following(FIRST, 300, 9)), [(listed(1, LOG, SECOND), FIRST)]
    )
    assert (await watch.look()).grown_by == 6
    watch.static.files = FIRST
    found = await watch.look()
    assert found.fault is Fault.ROLLBACK
    assert "which was closed" in found.message


async def test_a_monitor_goes_through_several_at_once(watch: Watch) -> None:
    await watch.look()
    third = of(THIRD, following(AFTER, 4))
    watch.static.files = address(
        third, [(listed(1, LOG, SECOND), FIRST), (listed(2, SECOND, THIRD), AFTER)]
    )
    found = await watch.look()
    assert found.fault is None, found.message
    assert found.kept
    assert found.kept.origin == THIRD.name
    assert len(watch.told) == 2


async def test_entries_that_were_lost_are_told(watch: Watch) -> None:
    await watch.look()
    lost = {
        path: raw for path, raw in of(LOG, some(256)).items() if not path.startswith("checkpoint")
    }
    after = of(SECOND, following(FIRST, 256))
    watch.static.files = address(
        after, [(listed(1, LOG, SECOND), lost | {"checkpoint": FIRST["checkpoint"]})]
    )
    found = await watch.look()
    assert found.fault is None, found.message
    assert "; 44 of its entries were lost" in watch.told[0].message


BEFORE = of(LOG, some(199))
OTHER = of(LOG, some(300, "other "))
SAME_SIZE = of(LOG, some(200, "other "))
# What an address shows in place of the log of 200 entries that was seen there.
STRAYED: dict[str, tuple[dict[str, bytes], Fault]] = {
    "another log that nothing announces": (of(SECOND, some(9)), Fault.KEY),
    "a log that no policy names": (
        address(of(STRANGE, following(FIRST, 300)), [(listed(1, LOG, STRANGE), FIRST)]),
        Fault.KEY,
    ),
    "a log whose first entry is a round's": (
        address(of(SECOND, some(9)), [(listed(1, LOG, SECOND), FIRST)]),
        Fault.KEY,
    ),
    "a log that follows another checkpoint": (
        address(of(SECOND, following(OTHER, 300)), [(listed(1, LOG, SECOND), FIRST)]),
        Fault.KEY,
    ),
    "a closed log of another history": (
        address(of(SECOND, following(OTHER, 300)), [(listed(1, LOG, SECOND), OTHER)]),
        Fault.FORK,
    ),
    "a closed log of the same size and another history": (
        address(of(SECOND, following(SAME_SIZE, 100)), [(listed(1, LOG, SECOND), SAME_SIZE)]),
        Fault.FORK,
    ),
    "a closed log that is shorter than was seen": (
        address(of(SECOND, following(BEFORE, 199)), [(listed(1, LOG, SECOND), BEFORE)]),
        Fault.ROLLBACK,
    ),
    "a closed log without its checkpoint": (
        {path: raw for path, raw in ROTATED.items() if path != "retired/1/checkpoint"},
        Fault.UNREACHABLE,
    ),
    "a closed log under another's name": (
        address(of(SECOND, following(FIRST, 300)), [(listed(1, LOG, SECOND), AFTER)]),
        Fault.KEY,
    ),
    "a list that goes round in circles": (
        address(
            of(THIRD, some(9)), [(listed(1, LOG, SECOND), FIRST), (listed(2, SECOND, LOG), AFTER)]
        ),
        Fault.KEY,
    ),
    "a list that is none": (dict(AFTER, retired=b"<html>"), Fault.KEY),
}


@pytest.mark.parametrize("name", STRAYED)
async def test_a_monitor_is_not_led_astray(watch: Watch, name: str) -> None:
    await watch.look()
    watch.static.files, expected = STRAYED[name]
    for _ in range(2):
        found = await watch.look()
        assert found.fault is expected, found.message
        assert found.kept
        assert (found.kept.origin, found.kept.size) == (LOG.name, 200)
    assert [notice.fault for notice in watch.told] == [expected]


async def test_a_proof_from_a_closed_log_is_held_against_it(watch: Watch) -> None:
    for files, expected in (
        (of(LOG, some(150)), None),
        (of(LOG, some(300)), None),
        (of(LOG, some(301)), Fault.ROLLBACK),
        (SAME_SIZE, Fault.FORK),
        (OTHER, Fault.FORK),
    ):
        watch.static.files = ROTATED
        other = watch.trust.verify(files["checkpoint"])
        found = await watch.look(against=[("their.json", other)])
        assert found.fault is expected, found.message
    watch.static.files = dict(AFTER)
    assert (await watch.look(against=[("their.json", other)])).fault is Fault.BROKEN
