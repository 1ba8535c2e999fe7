"""Reading a log of somebody else's: what it serves has bounds, and each fault has a name."""

import gzip
from collections.abc import Awaitable, Callable

import pytest
from tests.support.fake_log import (
    Fault as Trouble,
)
from tests.support.fake_log import (
    StaticServer,
    dripping,
    encoded,
    endless,
    in_turn,
    log_files,
    some,
    static_server,
    status,
)

from proof.follow.faults import Fault, LogFaultError
from proof.follow.layout import bundle, entries_path, split_bundle, tile_path
from proof.follow.remote import Patience, RemoteLog, connection
from proof.timestamps.anchors.log.tree import TileName

ENTRIES = some(300)
QUICK = Patience(timeout_s=20, attempts=3, pause_s=0.001, waiting_s=2)
Read = Callable[[RemoteLog], Awaitable[object]]


async def read(static: StaticServer, act: Read, patience: Patience = QUICK) -> object:
    async with connection() as session:
        return await act(RemoteLog(session, static.url + "/", patience))


async def fault_of(trouble: Trouble | None, patience: Patience = QUICK) -> LogFaultError:
    """What is said of a tile that is served so."""
    with static_server(log_files(ENTRIES)) as static:
        if trouble:
            static.faults["tile/0/000"] = trouble
        else:
            del static.files["tile/0/000"]
        with pytest.raises(LogFaultError) as found:
            await read(static, lambda log: log.tile(TileName(0, 0), 256), patience)
    assert "/tile/0/000" in found.value.message
    return found.value


@pytest.mark.parametrize(
    ("position", "width", "expected"),
    [
        (0, 256, "000"),
        (67, 7, "067.p/7"),
        (999, 256, "999"),
        (1000, 255, "x001/000.p/255"),
        (1_234_067, 256, "x001/x234/067"),
        (10**12, 256, "x001/x000/x000/x000/000"),
    ],
)
def test_an_address_is_the_standards(position: int, width: int, expected: str) -> None:
    assert tile_path(TileName(3, position), width) == f"tile/3/{expected}"
    assert entries_path(position, width) == f"tile/entries/{expected}"


@pytest.mark.parametrize("entries", [[], [b""], [b"", b"a" * 65535, b"b"]])
def test_a_bundle_is_read_as_it_was_written(entries: list[bytes]) -> None:
    raw = bundle(entries)
    assert split_bundle(raw) == entries
    for end in {1, len(raw) - 1} & set(range(len(raw))):
        cut = split_bundle(raw[:end])
        assert cut is None or len(cut) < len(entries)


async def test_what_a_log_serves_is_read() -> None:
    files = log_files(ENTRIES)
    with static_server(files) as static:
        assert await read(static, lambda log: log.checkpoint()) == files["checkpoint"]
        assert (
            await read(static, lambda log: log.tile(TileName(0, 1), 44)) == files["tile/0/001.p/44"]
        )
        assert await read(static, lambda log: log.entries(0, 256)) == ENTRIES[:256]
        assert await read(static, lambda log: log.entries(1, 44)) == ENTRIES[256:]


async def test_a_partial_tile_that_is_gone_is_taken_from_the_full_one() -> None:
    with static_server(log_files(some(512))) as static:
        assert await read(static, lambda log: log.entries(1, 44)) == ENTRIES[256:]
        found = await read(static, lambda log: log.tile(TileName(0, 1), 44))
        assert found == log_files(ENTRIES)["tile/0/001.p/44"]


async def test_gzip_is_unpacked_within_the_bounds() -> None:
    files = log_files(ENTRIES)
    with static_server(files) as static:
        static.faults["tile/0/000"] = encoded(gzip.compress(files["tile/0/000"]), "gzip")
        assert await read(static, lambda log: log.tile(TileName(0, 0), 256)) == files["tile/0/000"]


@pytest.mark.parametrize(
    ("trouble", "expected", "said"),
    [
        (None, Fault.BROKEN, "is missing"),
        (status(410), Fault.BROKEN, "is missing"),
        (status(500), Fault.UNREACHABLE, "answers 500"),
        (status(503), Fault.UNREACHABLE, "answers 503"),
        (status(403), Fault.UNREACHABLE, "answers 403"),
        (status(302, location="http://elsewhere.example/"), Fault.UNREACHABLE, "redirects to"),
        (encoded(b"x" * 8191, "identity"), Fault.BROKEN, "8191 bytes"),
        (encoded(b"x" * 8193, "identity"), Fault.BROKEN, "longer than 8192 bytes"),
        (encoded(gzip.compress(bytes(10**7)), "gzip"), Fault.BROKEN, "longer than 8192 bytes"),
        (encoded(gzip.compress(bytes(8192))[:-9], "gzip"), Fault.BROKEN, "breaks off"),
        (encoded(bytes(8192), "gzip"), Fault.BROKEN, "not the gzip"),
        (encoded(bytes(8192), "br"), Fault.BROKEN, "encoding 'br'"),
        (endless, Fault.BROKEN, "longer than 8192 bytes"),
    ],
)
async def test_what_is_wrong_is_named(trouble: Trouble | None, expected: Fault, said: str) -> None:
    found = await fault_of(trouble)
    assert found.fault is expected
    assert said in found.message


async def test_an_answer_has_a_time_however_it_drips() -> None:
    found = await fault_of(dripping, Patience(timeout_s=0.2, attempts=1))
    assert found.fault is Fault.UNREACHABLE
    assert "no whole answer in 0.2 s" in found.message


async def test_what_fails_in_passing_is_tried_again() -> None:
    with static_server(log_files(ENTRIES)) as static:
        static.faults["tile/0/000"] = in_turn(
            status(500), status(429, retry_after="1"), status(502)
        )
        assert await read(static, lambda log: log.tile(TileName(0, 0), 256))
        assert static.asked.count("tile/0/000") == 4


async def test_waiting_that_is_asked_for_has_an_end() -> None:
    found = await fault_of(status(503, retry_after="99999"))
    assert found.fault is Fault.UNREACHABLE


async def test_nobody_answers() -> None:
    with static_server() as static:
        pass
    with pytest.raises(LogFaultError) as found:
        await read(static, lambda log: log.checkpoint())
    assert found.value.fault is Fault.UNREACHABLE


async def test_a_log_without_a_checkpoint_is_empty() -> None:
    with static_server() as static, pytest.raises(LogFaultError) as found:
        await read(static, lambda log: log.checkpoint())
    assert found.value.fault is Fault.EMPTY
    assert "ends in /log" in found.value.message


@pytest.mark.parametrize(
    "raw", [b"", b"\x00", b"\x00\x05abc", bundle(ENTRIES[:255]), bundle(some(257))]
)
async def test_what_is_no_bundle_of_as_many_entries_is_broken(raw: bytes) -> None:
    with static_server(log_files(ENTRIES)) as static:
        static.files["tile/entries/000"] = raw
        with pytest.raises(LogFaultError) as found:
            await read(static, lambda log: log.entries(0, 256))
    assert found.value.fault is Fault.BROKEN
