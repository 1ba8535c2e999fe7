"""Header files: what is checked from the first header to the last, and what a file may claim."""

import json
import struct
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support import anchored
from tests.support.anchored import (
    GENESIS_TIME_S,
    REGTEST_BITS,
    REGTEST_GENESIS,
    double_sha256,
    mine,
)

from proof.verify import RefusedError, errors, load_headers
from proof.verify.evidence.bitcoin.header import bits_from_target, target_from_bits
from proof.verify.evidence.bitcoin.headers import MIN_MAIN_WORK, PERIOD, HeaderChain, parse_head
from proof.verify.evidence.bitcoin.networks import MAIN, NETWORKS, Network, TargetRule

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "bitcoin.json").read_text())
CHAIN = anchored.chain(30)
FILE = anchored.header_file(CHAIN)
# The main network's rule with targets that a test can meet.
EASY = Network("easy", double_sha256(REGTEST_GENESIS), REGTEST_BITS, TargetRule.EVERY_2016)


def test_a_file_is_read() -> None:
    headers = load_headers(FILE)
    assert (headers.network.name, headers.start, headers.end) == ("regtest", 0, 30)
    assert headers.work == 60
    assert [headers.at(height) for height in range(30)] == CHAIN
    assert headers.at(30) is headers.at(-1) is None
    assert "raw" not in repr(headers)


def test_a_file_without_a_head_begins_with_the_first_block() -> None:
    assert load_headers(b"".join(CHAIN)) == load_headers(FILE)
    genesis = bytes.fromhex(VECTORS["genesis"]["header"])
    main = load_headers(genesis)
    assert (main.network.name, main.end, main.tie) == (MAIN, 1, False)


def test_a_file_may_begin_later() -> None:
    headers = load_headers(anchored.header_file(CHAIN[10:], start=10))
    assert (headers.start, headers.end) == (10, 30)
    assert headers.at(10) == CHAIN[10]
    assert headers.at(9) is None


@pytest.mark.parametrize(
    ("name", "time_s", "nonce"),
    [("test", 1296688602, 414098458), ("regtest", 1296688602, 2), ("signet", 1598918400, 52613770)],
)
def test_the_first_blocks_of_the_networks(name: str, time_s: int, nonce: int) -> None:
    """They share the first block's transaction."""
    main = bytes.fromhex(VECTORS["genesis"]["header"])
    network = NETWORKS[name]
    raw = main[:68] + struct.pack("<III", time_s, network.easiest_bits, nonce)
    assert double_sha256(raw) == network.genesis
    assert load_headers(raw).network == network


def test_only_a_main_chain_must_show_work() -> None:
    headers = load_headers(FILE)
    assert headers.tie
    assert 2**90 < MIN_MAIN_WORK < 2**96


def _replaced(height: int, header: bytes) -> bytes:
    return anchored.header_file([*CHAIN[:height], header, *CHAIN[height + 1 :]])


def _header(height: int, bits: int = REGTEST_BITS, *, good: bool = True) -> bytes:
    previous = double_sha256(CHAIN[height - 1])
    return mine(previous, bytes(32), GENESIS_TIME_S + 600 * height + 1, bits, good=good)


REFUSED: dict[str, tuple[type[RefusedError], bytes]] = {
    "another header in between": (errors.LinkageError, _replaced(9, _header(9))),
    "headers in another order": (
        errors.LinkageError,
        anchored.header_file([*CHAIN[:5], CHAIN[6], CHAIN[5]]),
    ),
    "a header twice": (
        errors.LinkageError,
        anchored.header_file([*CHAIN[:5], CHAIN[4], *CHAIN[5:]]),
    ),
    "a header left out": (
        errors.LinkageError,
        anchored.header_file([*CHAIN[:5], *CHAIN[6:]]),
    ),
    "no work": (
        errors.ProofOfWorkError,
        anchored.header_file([*CHAIN[:9], _header(9, good=False)]),
    ),
    "harder than the rule": (
        errors.RetargetError,
        anchored.header_file([*CHAIN[:9], _header(9, 0x201FFFFF)]),
    ),
    "easier than the network": (
        errors.LowDifficultyError,
        anchored.header_file([*CHAIN[:9], _header(9, 0x2100FFFF)]),
    ),
    "another first block": (
        errors.GenesisError,
        anchored.header_file([mine(bytes(32), bytes(32), GENESIS_TIME_S), *CHAIN[1:]]),
    ),
    "a regtest chain called main": (
        errors.LowDifficultyError,
        anchored.header_file(CHAIN, "main"),
    ),
    "cut within a header": (errors.HeaderFileError, FILE[:-1]),
    "empty": (errors.HeaderFileError, b""),
    "no chain at all": (errors.HeaderFileError, b"\x00" * 800),
    "unknown network": (errors.OtherNetworkError, anchored.header_file(CHAIN, "liquid")),
    "later version": (errors.HeaderFileError, FILE.replace(b"/1 ", b"/2 ", 1)),
    "no line end": (errors.HeaderFileError, b"proof-headers/1 regtest 0"),
    "endless line": (errors.HeaderFileError, b"proof-headers/1 regtest " + b"1" * 1000),
    "height with a sign": (errors.HeaderFileError, FILE.replace(b" 0\n", b" -1\n", 1)),
    "main from the middle of a period": (
        errors.HeaderFileError,
        anchored.header_file(CHAIN, "main", 100_000),
    ),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_a_wrong_file_is_refused(fault: str) -> None:
    expected, raw = REFUSED[fault]
    with pytest.raises(expected):
        load_headers(raw)


def _easy_period(spacing_s: int) -> tuple[HeaderChain, int]:
    """A chain up to the end of its first period, with blocks that far apart, and its last time."""
    grown, time_s = HeaderChain(EASY, 0), GENESIS_TIME_S
    grown.extend(REGTEST_GENESIS)
    while grown.height < PERIOD:
        assert grown.last_hash is not None
        time_s += spacing_s
        grown.extend(mine(grown.last_hash, bytes(32), time_s))
    return grown, time_s


@pytest.mark.parametrize(
    ("spacing_s", "bits"),
    [(60, 0x201FFFFF), (300, 0x203FF7DE), (600, 0x207FEFBD), (1200, REGTEST_BITS)],
)
def test_the_target_is_recomputed_after_a_period(spacing_s: int, bits: int) -> None:
    """At most by four either way, never easier than the network's first; 2,015 intervals count."""
    grown, time_s = _easy_period(spacing_s)
    took_s = min(max(spacing_s * 2015, 302_400), 4 * 1_209_600)
    easiest = target_from_bits(REGTEST_BITS)
    assert bits_from_target(min(easiest * took_s // 1_209_600, easiest)) == bits
    assert grown.last_hash is not None
    for wrong in {REGTEST_BITS, 0x201FFFFF, 0x203FFFFF} - {bits}:
        with pytest.raises(errors.RetargetError):
            grown.extend(mine(grown.last_hash, bytes(32), time_s + 1, wrong))
    assert grown.height == PERIOD
    grown.extend(mine(grown.last_hash, bytes(32), time_s + 1, bits))
    with pytest.raises(errors.RetargetError):
        grown.extend(mine(grown.last_hash, bytes(32), time_s + 2, 0x200FFFFF))


def test_a_refused_header_leaves_the_next_target_as_it_was() -> None:
    grown, time_s = _easy_period(300)
    assert grown.last_hash is not None
    idle = mine(grown.last_hash, bytes(32), time_s + 1, 0x203FF7DE, good=False)
    with pytest.raises(errors.ProofOfWorkError):
        grown.extend(idle)
    grown.extend(mine(grown.last_hash, bytes(32), time_s + 1, 0x203FF7DE))
    assert grown.height == PERIOD + 1


def _with_times(times: Sequence[int], start: int = 0) -> HeaderChain:
    """A regtest chain whose blocks were made so many minutes after the network's first, in order; from
    height 0 it begins with that one."""
    grown = HeaderChain(NETWORKS["regtest"], start)
    if start == 0:
        grown.extend(REGTEST_GENESIS)
    for minutes in times:
        before = grown.last_hash or bytes(32)
        grown.extend(mine(before, bytes(32), GENESIS_TIME_S + 60 * minutes))
    return grown


_EVEN = [*range(10, 230, 10)]

MEDIANS = {
    "equal to the median": (0, _EVEN, 170, 171),
    "after a block of the future": (0, [*_EVEN, 9_000], 180, 181),
    "after six of the future the median is one of them": (
        0,
        [*_EVEN, *range(9_000, 9_006)],
        9_000,
        9_001,
    ),
    "after five of them it is not yet": (0, [*_EVEN, *range(9_000, 9_005)], 220, 221),
    "unsorted": (5_000, [50, 10, 40, 20, 60, 30, 70, 90, 80, 110, 100], 60, 61),
    "the second block": (0, [], 0, 1),
    "the third, of two the later": (0, [30], 30, 31),
    "the first eleven of a network": (0, [10, 20, 30, 40], 20, 21),
    "eleven in a file that begins later": (5_000, _EVEN[:11], 60, 61),
}


@pytest.mark.parametrize("case", MEDIANS)
def test_a_time_is_after_the_median_of_the_eleven_before(case: str) -> None:
    start, times, refused, taken = MEDIANS[case]
    grown = _with_times(times, start)
    before, height = grown.last_hash, grown.height
    assert before is not None
    with pytest.raises(errors.HeaderTimeError, match=f"the header at {height},"):
        grown.extend(mine(before, bytes(32), GENESIS_TIME_S + 60 * refused))
    assert (grown.last_hash, grown.height) == (before, height)
    grown.extend(mine(before, bytes(32), GENESIS_TIME_S + 60 * taken))
    assert grown.height == height + 1


def test_a_file_that_begins_later_has_no_median_for_its_first_eleven() -> None:
    backwards = _with_times([*range(110, 0, -10)], start=5_000)
    assert backwards.height == 5_011
    assert backwards.last_hash is not None
    with pytest.raises(errors.HeaderTimeError):
        backwards.extend(mine(backwards.last_hash, bytes(32), GENESIS_TIME_S + 60 * 60))


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=60), st.lists(st.integers(1, 20), max_size=9)
)
def test_the_median_does_not_depend_on_how_headers_come(jumps: list[int], cuts: list[int]) -> None:
    """Against the rule as it reads; the chain is cut where the cuts say."""
    headers, times = [REGTEST_GENESIS], [GENESIS_TIME_S]
    allowed = True
    for jump in jumps:
        newest = sorted(times[-11:])
        times.append(GENESIS_TIME_S + jump)
        headers.append(mine(double_sha256(headers[-1]), bytes(32), times[-1]))
        if times[-1] <= newest[len(newest) // 2]:
            allowed = False
            break
    grown, rest = HeaderChain(NETWORKS["regtest"], 0), headers
    try:
        for cut in [*cuts, len(headers)]:
            grown.extend(b"".join(rest[:cut]))
            rest = rest[cut:]
    except errors.HeaderTimeError:
        assert not allowed
    else:
        assert allowed
    assert grown.height == len(headers) - (not allowed)


def test_the_first_real_change_of_target() -> None:
    """Height 32,256: the first block of the main network that was harder, 1d00d86a after 1d00ffff."""
    chain = HeaderChain(NETWORKS[MAIN], 30_240)
    chain.height = 32_256
    chain._bits, chain._target = struct.pack("<I", 0x1D00FFFF), target_from_bits(0x1D00FFFF)
    chain._period_began_s, chain._last_time_s = 1261130161, 1262152739
    assert chain._expected_bits() == 0x1D00D86A


@given(st.integers(1, 2**256 - 1))
def test_targets_are_rounded_down_to_their_short_form(target: int) -> None:
    bits = bits_from_target(target)
    rounded = target_from_bits(bits)
    assert rounded <= target
    assert bits_from_target(rounded) == bits
    assert target - rounded < max(1, target >> 15)


@given(st.integers(0, len(FILE) - 1), st.integers(1, 255))
def test_any_byte_altered_is_refused(index: int, change: int) -> None:
    raw = FILE[:index] + bytes([FILE[index] ^ change]) + FILE[index + 1 :]
    try:
        headers = load_headers(raw)
    except RefusedError:
        return
    # The head line may claim another height, and the last header's nonce another good hash.
    assert headers.start != 0 or index >= len(FILE) - 80


@given(st.binary(max_size=400))
def test_any_bytes_are_refused(raw: bytes) -> None:
    with pytest.raises(RefusedError):
        load_headers(raw)
    with pytest.raises(RefusedError):
        parse_head(raw)
