"""The log as anybody reads it: checkpoints, tiles, entries and consistency, checked without us."""

from hashlib import sha256

import pytest
from tests.support import signer
from tests.support.application import Platform, Stage
from tests.support.partners import execute, owner_of

from proof.partners.types import Environment
from proof.verify import parse_verifier_key, verify_checkpoint, verify_consistency
from proof.verify.evidence.log.checkpoint import Checkpoint
from proof.verify.evidence.log.rfc6962 import leaf_hash


async def newest(platform: Platform) -> Checkpoint:
    keys = (await platform.call("GET", "/log/key")).body.decode()
    assert keys.endswith("\n")
    note = await platform.call("GET", "/log/checkpoint")
    assert note.headers["content-type"] == "text/plain; charset=utf-8"
    assert note.headers["cache-control"] == "no-store"
    trusted = [parse_verifier_key(line) for line in keys.splitlines()]
    checkpoint = verify_checkpoint(note.body, trusted)
    assert checkpoint.log_key is not None
    assert len(checkpoint.cosignatures) == 1
    return checkpoint


async def grow(platform: Platform, owner: int, count: int) -> None:
    """Add sealed rounds, as if `count` seconds had passed, and publish."""
    await execute(
        platform.database,
        "INSERT INTO rounds (partner_environment_id, environment, blinding, closed_at, sealed_at,"
        " leaf_count, root, plain_root)"
        " SELECT $1, 'production', sha256(n::text::bytea), now(), now(), 2,"
        " sha256(('root ' || n || random())::bytea), sha256(('plain ' || n || random())::bytea)"
        " FROM generate_series(1, $2) n",
        owner,
        count,
    )
    writer = platform.writers[Environment.PRODUCTION]
    while await writer.append():
        pass
    await writer.publish()


def split_entries(body: bytes) -> list[bytes]:
    found, at = [], 0
    while at < len(body):
        length = int.from_bytes(body[at : at + 2], "big")
        found.append(body[at + 2 : at + 2 + length])
        at += 2 + length
    assert at == len(body)
    return found


def test_an_empty_log_has_keys_and_no_checkpoint(alone: Stage) -> None:
    async def scene() -> None:
        answer = await alone.platform.call("GET", "/log/checkpoint")
        assert answer.status == 404
        assert "no checkpoint yet" in answer.message
        keys = (await alone.platform.call("GET", "/log/key")).body.decode().splitlines()
        assert [parse_verifier_key(key).name for key in keys] == [
            "proof.example/production",
            "proof.example/production/cosigner",
        ]
        assert (await alone.platform.call("GET", "/log/tile/0/000.p/1")).status == 404

    alone.run(scene())


def test_the_log_served_is_the_log_signed(alone: Stage) -> None:
    platform = alone.platform

    async def scene() -> None:
        owner = (await owner_of(platform.database, await platform.onboard())).id
        seen: list[Checkpoint] = []
        for count in (1, 2, 97, 156, 1, 300):
            await grow(platform, owner, count)
            seen.append(await newest(platform))
        assert [checkpoint.size for checkpoint in seen] == [1, 3, 100, 256, 257, 557]
        entries = await served_entries(platform, 557)
        hashes = [leaf_hash(entry) for entry in entries]
        for checkpoint in seen:
            assert checkpoint.root == signer.log_root(hashes[: checkpoint.size])
        await require_consistency(platform, seen)
        await require_tiles(platform, hashes)
        await require_edges(platform)

    alone.run(scene())


async def served_entries(platform: Platform, size: int) -> list[bytes]:
    found: list[bytes] = []
    for position in range(-(-size // 256)):
        width = min(256, size - 256 * position)
        partial = "" if width == 256 else f".p/{width}"
        answer = await platform.call("GET", f"/log/tile/entries/{position:03}{partial}")
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["cache-control"] == "public, max-age=60"
        found += split_entries(answer.body)
    roots = await platform.fetch(
        "SELECT root, plain_root FROM log_entries JOIN logs ON logs.id = log_id"
        " WHERE environment = 'production' ORDER BY position"
    )
    assert found == [row["root"] + row["plain_root"] for row in roots]
    return found


async def require_consistency(platform: Platform, seen: list[Checkpoint]) -> None:
    for new in seen:
        for old in seen:
            target = f"/log/consistency/{old.size}/{new.size}"
            answer = await platform.call("GET", target)
            if old.size > new.size:
                assert answer.status == 404
                continue
            path = [bytes.fromhex(line) for line in answer.body.decode().splitlines()]
            verify_consistency(old.size, old.root, new.size, new.root, path)


async def require_tiles(platform: Platform, hashes: list[bytes]) -> None:
    levels = {0: hashes}
    levels[1] = [signer.log_root(hashes[at : at + 256]) for at in (0, 256)]
    for level, expected in levels.items():
        for position in range(-(-len(expected) // 256)):
            width = min(256, len(expected) - 256 * position)
            for part in {1, width // 2 or 1, width}:
                suffix = "" if part == 256 else f".p/{part}"
                answer = await platform.call("GET", f"/log/tile/{level}/{position:03}{suffix}")
                assert answer.status == 200
                first = 256 * position
                assert answer.body == b"".join(expected[first : first + part])


async def require_edges(platform: Platform) -> None:
    """Only what is signed is shown."""
    for beyond in ("0/002", "0/002.p/46", "0/003.p/1", "1/000", "1/000.p/3", "2/000.p/1"):
        assert (await platform.call("GET", f"/log/tile/{beyond}")).status == 404, beyond
    assert (await platform.call("GET", "/log/tile/entries/002.p/46")).status == 404
    assert (await platform.call("GET", "/log/consistency/1/558")).status == 404


def test_what_is_appended_but_not_signed_is_not_shown(alone: Stage) -> None:
    platform = alone.platform

    async def scene() -> None:
        owner = (await owner_of(platform.database, await platform.onboard())).id
        await grow(platform, owner, 3)
        await execute(
            platform.database,
            "INSERT INTO rounds (partner_environment_id, environment, blinding, closed_at,"
            " sealed_at, leaf_count, root, plain_root)"
            " VALUES ($1, 'production', $2, now(), now(), 2, $2, $2)",
            owner,
            sha256(b"unsigned").digest(),
        )
        assert await platform.writers[Environment.PRODUCTION].append() == 1
        assert (await newest(platform)).size == 3
        for target in ("tile/0/000.p/4", "tile/entries/000.p/4", "consistency/3/4"):
            assert (await platform.call("GET", f"/log/{target}")).status == 404
        await platform.writers[Environment.PRODUCTION].publish()
        assert (await newest(platform)).size == 4
        assert (await platform.call("GET", "/log/tile/0/000.p/4")).status == 200

    alone.run(scene())


PATHS = ("checkpoint", "key", "tile/0/000", "tile/entries/x001/x234/067.p/7", "consistency/1/2")


@pytest.mark.parametrize("path", PATHS)
async def test_pages_of_other_sites_may_read_it(platform: Platform, path: str) -> None:
    for prefix in ("", "/sandbox"):
        allowed = await platform.call("OPTIONS", f"{prefix}/log/{path}")
        assert (allowed.status, allowed.body) == (204, b"")
        assert allowed.headers["access-control-allow-methods"] == "GET, HEAD, OPTIONS"
        assert allowed.headers["access-control-max-age"] == "86400"
        for answer in (allowed, await platform.call("GET", f"{prefix}/log/{path}")):
            assert answer.headers["access-control-allow-origin"] == "*"
            assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "tile/0/999", 404),
        ("GET", "tile/entries/999.p/1", 404),
        ("GET", "tile/64/000", 404),
        ("GET", "nothing", 404),
        ("GET", "consistency/1/999999", 404),
        ("GET", "consistency/x/y", 400),
        ("POST", "checkpoint", 405),
    ],
)
async def test_a_refusal_is_read_by_any_page_and_kept_by_no_cache(
    platform: Platform, method: str, path: str, status: int
) -> None:
    """What is not in the log yet is in it a second later."""
    answer = await platform.call(method, f"/log/{path}")
    assert answer.status == status
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["cache-control"] == "no-store"


def test_a_tile_has_one_name(alone: Stage) -> None:
    platform = alone.platform

    async def scene() -> None:
        owner = (await owner_of(platform.database, await platform.onboard())).id
        await grow(platform, owner, 256)
        for kind in ("0", "entries"):
            assert (await platform.call("GET", f"/log/tile/{kind}/000")).status == 200
            for other in (
                "00",
                "0",
                "0000",
                "x000/000",
                "000.p/256",
                "000.p/01",
                "000.p/0",
                "000/",
            ):
                assert (await platform.call("GET", f"/log/tile/{kind}/{other}")).status == 404, (
                    other
                )
        assert (await platform.call("GET", "/log/tile/00/000")).status == 404

    alone.run(scene())


async def test_the_keys_of_the_two_environments_differ(platform: Platform) -> None:
    keys = [(await platform.call("GET", f"{at}/log/key")).body for at in ("", "/sandbox")]
    lines = b"".join(keys).decode().splitlines()
    assert len({parse_verifier_key(line).public_key for line in lines}) == 4
