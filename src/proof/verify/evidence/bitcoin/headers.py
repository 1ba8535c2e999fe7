"""A file of Bitcoin headers, checked from its first header to its last.

The file is one ASCII line, `proof-headers/1 NETWORK HEIGHT` and a line feed, then 80-byte headers one
after the other, the first of them at HEIGHT. Without that line it is a chain from its network's first
block.

Sources: the Bitcoin developer reference, "Block Headers"; Bitcoin Core `src/pow.cpp` (retargeting) and
`src/chain.h` (median time past).
"""

import re
import struct
from dataclasses import dataclass, field
from typing import Final

from proof.verify.errors import (
    GenesisError,
    HeaderFileError,
    HeaderTimeError,
    LinkageError,
    LowDifficultyError,
    OtherNetworkError,
    ProofOfWorkError,
    RetargetError,
    quoted,
)
from proof.verify.evidence.bitcoin.header import (
    HEADER_BYTES,
    bits_from_target,
    double_sha256,
    target_from_bits,
    work_of,
)
from proof.verify.evidence.bitcoin.networks import MAIN, NETWORKS, Network, TargetRule

MAX_HEADERS: Final = 20_000_000

MIN_MAIN_WORK: Final = 1 << 91
"""Hashes that a main-network file must show before it ties anything.

The chain passed it in 2019. A chain from the first block can be forged cheaply while its targets are
easy, so linkage alone says little; this much took the whole network of 2025 four weeks.
"""


PERIOD: Final = 2016

_PERIOD_S: Final = 14 * 24 * 3600

_MEDIAN_OF: Final = 11

_MEDIAN_BYTES: Final = _MEDIAN_OF * HEADER_BYTES

_times = struct.Struct("<68xI8x").iter_unpack

_MAX_HEAD_BYTES: Final = 64

_MAGIC: Final = b"proof-headers/"

_head = re.compile(rb"proof-headers/1 ([a-z0-9]{1,16}) (0|[1-9][0-9]{0,8})").fullmatch


@dataclass(frozen=True, slots=True)
class HeaderFileHead:
    """What a file says of itself; `size` is the length of its first line."""

    network: Network
    start: int
    size: int


def head_line(network: str, start: int) -> bytes:
    """The first line of a header file."""
    return b"proof-headers/1 %s %d\n" % (network.encode("ascii"), start)


def parse_head(raw: bytes) -> HeaderFileHead:
    """Read the head from a file's first bytes; 144 are enough. Raises HeaderFileError, GenesisError."""
    if not raw.startswith(_MAGIC):
        return _bare(raw)
    line, feed, _ = raw[:_MAX_HEAD_BYTES].partition(b"\n")
    found = _head(line)
    if not feed or not found:
        raise HeaderFileError(
            "the header file's first line is not `proof-headers/1 NETWORK HEIGHT`"
        )
    name = found[1].decode("ascii")
    if name not in NETWORKS:
        raise OtherNetworkError(f"the header file is of {quoted(name)}, an unknown network")
    network, start = NETWORKS[name], int(found[2])
    if network.rule is TargetRule.EVERY_2016 and start % PERIOD:
        raise HeaderFileError(
            f"a header file of {name} begins at a multiple of {PERIOD}, where targets change,"
            f" not at {start}"
        )
    return HeaderFileHead(network, start, len(line) + 1)


def _bare(raw: bytes) -> HeaderFileHead:
    first = double_sha256(raw[:HEADER_BYTES])
    for network in NETWORKS.values():
        if first == network.genesis:
            return HeaderFileHead(network, 0, 0)
    raise HeaderFileError(
        "the header file has no head line and does not begin with the first block of any network"
    )


@dataclass(slots=True)
class HeaderChain:
    """A chain that grows while it is checked.

    `height` is that of the next header, `last_hash` the hash of the last one, `work` the hashes all
    took altogether. After a refusal it stands before the header that was refused.
    """

    network: Network
    start: int
    height: int = field(init=False)
    last_hash: bytes | None = field(init=False, default=None)
    work: int = field(init=False, default=0)
    _bits: bytes = field(init=False, default=b"")
    _target: int = field(init=False, default=0)
    _header_work: int = field(init=False, default=0)
    _period_began_s: int = field(init=False, default=0)
    _last_time_s: int = field(init=False, default=0)
    # The last eleven headers, and a time that none of theirs is after.
    _newest: bytes = field(init=False, default=b"", repr=False)
    _latest_s: int = field(init=False, default=-1)

    def __post_init__(self) -> None:
        self.height = self.start

    def extend(self, raw: bytes) -> None:
        """Check and add headers.

        Each names the one before it, meets its target, has the target that the network's rule gives,
        and a time after the median of the eleven before it, or of all where a chain from height 0 has
        fewer; such a chain begins with the network's first block. Raises HeaderFileError (not a
        multiple of 80 bytes, or too many), GenesisError, LinkageError, ProofOfWorkError, RetargetError,
        LowDifficultyError, HeaderTimeError, HeaderFormatError.

        Not checked: times of the first eleven where a chain begins later, whether a time lies in the
        future, versions, signet's signatures, and the targets of networks whose rule has exceptions.
        """
        if len(raw) % HEADER_BYTES:
            raise HeaderFileError("the headers end within a header")
        if self.height - self.start + len(raw) // HEADER_BYTES > MAX_HEADERS:
            raise HeaderFileError(f"there are more than {MAX_HEADERS} headers")
        headers, before = self._newest + raw, len(self._newest)
        began = self.height
        try:
            for at in range(before, len(headers), HEADER_BYTES):
                self._add(headers, at)
        finally:
            end = before + (self.height - began) * HEADER_BYTES
            self._newest = headers[max(0, end - _MEDIAN_BYTES) : end]

    def _add(self, headers: bytes, at: int) -> None:
        header, height = headers[at : at + HEADER_BYTES], self.height
        if header[4:36] != self.last_hash and self.last_hash is not None:
            raise LinkageError(f"the header at {height} does not name the one before it")
        at_boundary = height % PERIOD == 0
        target, bits = self._target, header[72:76]
        if bits != self._bits or at_boundary:
            target = self._checked_target(header)
        digest = double_sha256(header)
        if int.from_bytes(digest, "little") > target:
            raise ProofOfWorkError(f"the hash of the header at {height} is above its target")
        if height == 0 and digest != self.network.genesis:
            raise GenesisError(
                f"the headers do not begin with the first block of {self.network.name}"
            )
        time_s = int.from_bytes(header[68:72], "little")
        # Nearly every block is later than all before it; only for the others is a median needed.
        if time_s > self._latest_s:
            self._latest_s = time_s
        else:
            self._check_median(headers[max(0, at - _MEDIAN_BYTES) : at], time_s)
        # From here on nothing refuses it, so that a refused header leaves no trace in the rules.
        if target != self._target:
            self._target, self._header_work = target, work_of(target)
        self._bits = bits
        self._last_time_s = time_s
        if at_boundary:
            self._period_began_s = time_s
        self.last_hash = digest
        self.work += self._header_work
        self.height = height + 1

    def _check_median(self, before: bytes, time_s: int) -> None:
        """Check a time against the headers before it, eleven at most."""
        times = sorted(time for (time,) in _times(before))
        if self.start and len(times) < _MEDIAN_OF:
            return
        median = times[len(times) // 2]
        if time_s <= median:
            raise HeaderTimeError(
                f"the time of the header at {self.height}, {time_s}, is not after the median of the"
                f" {len(times)} before it, {median}"
            )
        self._latest_s = max(times[-1], time_s)

    def _checked_target(self, header: bytes) -> int:
        bits = int.from_bytes(header[72:76], "little")
        target = target_from_bits(bits)
        if target > target_from_bits(self.network.easiest_bits):
            raise LowDifficultyError(
                f"the target at {self.height} is easier than {self.network.name} allows"
            )
        expected = self._expected_bits()
        if expected is not None and bits != expected:
            raise RetargetError(
                f"the header at {self.height} has target {bits:08x}; the rules of"
                f" {self.network.name} give {expected:08x}"
            )
        return target

    def _expected_bits(self) -> int | None:
        """The target the rule gives for the next header; None where anything allowed may stand."""
        rule = self.network.rule
        if rule is TargetRule.CONSTANT or (self.height == 0 and rule is TargetRule.EVERY_2016):
            return self.network.easiest_bits
        if rule is TargetRule.UNCHECKED or self.height == self.start:
            return None
        if self.height % PERIOD:
            return int.from_bytes(self._bits, "little")
        # 2,015 intervals are measured, not 2,016: the network has always counted that way.
        took_s = self._last_time_s - self._period_began_s
        took_s = min(max(took_s, _PERIOD_S // 4), _PERIOD_S * 4)
        easiest = target_from_bits(self.network.easiest_bits)
        return bits_from_target(min(self._target * took_s // _PERIOD_S, easiest))


@dataclass(frozen=True, slots=True)
class TrustedHeaders:
    """Checked headers of one chain. That it is the network's chain is the caller's judgement.

    `end`: the height after the last one. `work`: hashes that all took altogether.
    """

    network: Network
    start: int
    end: int
    work: int
    raw: memoryview = field(repr=False, compare=False)

    @property
    def tie(self) -> bool:
        """Whether they show enough work to be the network's own chain; test networks cannot."""
        return self.network.name != MAIN or self.work >= MIN_MAIN_WORK

    def at(self, height: int) -> bytes | None:
        """The 80 bytes of the header at that height, or None outside the file."""
        if not self.start <= height < self.end:
            return None
        offset = (height - self.start) * HEADER_BYTES
        return bytes(self.raw[offset : offset + HEADER_BYTES])


def load_headers(data: bytes | memoryview) -> TrustedHeaders:
    """Check a whole header file: about two seconds for the main network's 900,000 headers.

    `data` stays in use, so that a mapped file need not be read into memory. Raises what `parse_head`
    and `HeaderChain.extend` raise.
    """
    view = memoryview(data).toreadonly()
    head = parse_head(bytes(view[: _MAX_HEAD_BYTES + HEADER_BYTES]))
    chain, raw = HeaderChain(head.network, head.start), view[head.size :]
    step = PERIOD * HEADER_BYTES
    for at in range(0, len(raw), step):
        chain.extend(bytes(raw[at : at + step]))
    return TrustedHeaders(head.network, head.start, chain.height, chain.work, raw)
