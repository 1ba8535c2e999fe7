"""A witness cosigning for a hundred logs: checkpoints for each second of processor time of its process.

Every log sends its next checkpoint as soon as the last one was cosigned, over a connection of its own. The
baseline does what cannot be left out, with no HTTP, no notes and no proofs: it verifies the log's
signature, makes both cosignatures, and stores each head in SQLite, in commits as durable.
"""

import os
import re
import select
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from bench.figures import Figure, Target, compared
from bench.options import Options
from proof.core.note_keys import SigningKey
from proof.verify.evidence.log.note import LOG_KEY, checkpoint_body, signed_note
from proof.verify.evidence.log.rfc6962 import leaf_hash, node_hash
from proof.witness.administration import add_log
from proof.witness.folder import create

_LOGS = 100
_FIRST_SIZE, _STEP = 100_000, 7
# As many as share a commit when all logs send without pause.
_BATCH = 32
_TICKS = os.sysconf("SC_CLK_TCK")
_READY_S = 60.0
_RECEIVE_BYTES = 65_536
_ENOUGH = Target("at least", 1_000)
_RATIO = Target("at least", 0.5)
_length = re.compile(rb"content-length: (\d+)").search
_announced = re.compile(rb"http://127\.0\.0\.1:(\d+)")


def run(options: Options) -> list[Figure]:
    """Checkpoints for a second of one core, and against the baseline; memory, and the time to start."""
    rounds, steps = (1, 5) if options.quick else (5, 100)
    keys = [SigningKey.generate(f"bench.example/log{number}", LOG_KEY) for number in range(_LOGS)]
    ours, bare = [], []
    with (
        tempfile.TemporaryDirectory(prefix="proof-bench-") as name,
        _served(Path(name), keys) as server,
    ):
        size = _FIRST_SIZE
        for number in range(rounds):
            sizes = [size + step * _STEP for step in range(steps + 1)]
            size = sizes[-1]
            ours.append(server.rate([_requests(key, sizes) for key in keys]))
            bare.append(_baseline(Path(name) / f"bare{number}", steps * _LOGS))
            options.say(f"  {ours[-1]:,.0f} a second, bare {bare[-1]:,.0f}")
        memory_mb = server.memory_mb()
    return [
        Figure("witness, checkpoints on one core", "1/s", max(ours), target=_ENOUGH),
        compared("witness, against signatures and commits", "1/s", ours, bare, _RATIO),
        Figure("witness, memory after that", "MB", memory_mb, target=Target("at most", 50)),
        Figure(
            "witness, processor time to start", "s", server.start_s, target=Target("at most", 1)
        ),
    ]


@dataclass
class _Server:
    """`proof witness serve`, and how much processor time it took until it answered."""

    process: "subprocess.Popen[bytes]"
    port: int
    start_s: float = field(init=False)

    def __post_init__(self) -> None:
        self.start_s = self._cpu_s()

    def rate(self, sent: Sequence[Sequence[bytes]]) -> float:
        """Cosigned checkpoints for a second of its processor time; all of each log's, in order."""
        before = self._cpu_s()
        _converse(self.port, sent)
        return sum(map(len, sent)) / (self._cpu_s() - before)

    def memory_mb(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        (found,) = re.findall(r"VmRSS:\s+(\d+) kB", status)
        return int(found) / 1024

    def _cpu_s(self) -> float:
        times = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(times[11]) + int(times[12])) / _TICKS


@contextmanager
def _served(folder: Path, keys: Sequence[SigningKey]) -> Iterator[_Server]:
    witness, first = folder / "witness", _root(0, _FIRST_SIZE)
    create(witness, "bench.example/witness")
    for key in keys:
        body = checkpoint_body(key.name, _FIRST_SIZE, first)
        add_log(witness, key.text, None, signed_note(body, [key.sign(body)]))
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "proof",
            "witness",
            "serve",
            "--folder",
            str(witness),
            "--port",
            "0",
        ],
        env={**os.environ, "XDG_STATE_HOME": str(folder / "state")},
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        # Its first line tells its address, where connections wait from then on.
        found = _announced.search(process.stderr.readline())
        if found is None:
            raise RuntimeError("the witness did not start")
        _converse(int(found[1]), [[b"GET /healthz HTTP/1.1\r\nhost: witness\r\n\r\n"]])
        yield _Server(process, int(found[1]))
    finally:
        process.terminate()
        process.communicate()


def _requests(key: SigningKey, sizes: Sequence[int]) -> list[bytes]:
    """The log's next checkpoints, from the first of these sizes on."""
    return [_request(key, old, new) for old, new in pairwise(sizes)]


def _request(key: SigningKey, old: int, new: int) -> bytes:
    body = checkpoint_body(key.name, new, _root(0, new))
    proof = [b64encode(each).decode() for each in _consistency(old, new)]
    head = "\n".join([f"old {old}", *proof, "", ""])
    content = head.encode() + signed_note(body, [key.sign(body)])
    return (
        b"POST /add-checkpoint HTTP/1.1\r\nhost: witness\r\ncontent-length: %d\r\n\r\n"
        % len(content)
        + content
    )


def _converse(port: int, sent: Sequence[Sequence[bytes]]) -> None:
    """Send each list's requests one after the other, on a connection of its own, and await 200 for each."""
    poll, talks = select.epoll(), {}
    for requests in sent:
        connection = socket.create_connection(("127.0.0.1", port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        talks[connection.fileno()] = _Talk(connection, iter(requests))
        poll.register(connection, select.EPOLLIN)
        talks[connection.fileno()].send()
    while talks:
        for descriptor, _ in poll.poll():
            talk = talks[descriptor]
            if talk.receive() and not talk.send():
                talks.pop(descriptor).connection.close()


@dataclass
class _Talk:
    connection: socket.socket
    requests: Iterator[bytes]
    answer: bytes = b""

    def send(self) -> bool:
        """The next request, if there is one."""
        following = next(self.requests, b"")
        self.connection.sendall(following)
        return bool(following)

    def receive(self) -> bool:
        """Whether the answer is complete."""
        self.answer += (received := self.connection.recv(_RECEIVE_BYTES))
        head, _, body = self.answer.partition(b"\r\n\r\n")
        length = _length(head)
        if not received or not self.answer.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"the witness answered {self.answer[:200]!r}")
        if length is None or len(body) < int(length[1]):
            return False
        self.answer = b""
        return True


def _baseline(path: Path, count: int) -> float:
    """Heads for a second of this process's time, with signatures and commits alone."""
    log, cosigner = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    second, public = MLDSA44PrivateKey.generate(), log.public_key()
    body = checkpoint_body("bench.example/log", _FIRST_SIZE, bytes(32))
    signature = log.sign(body)
    database = sqlite3.connect(path, isolation_level=None)
    database.executescript(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE heads (log PRIMARY KEY, head)"
    )
    started = time.process_time()
    for begun in range(0, count, _BATCH):
        database.execute("BEGIN IMMEDIATE")
        for number in range(begun, min(begun + _BATCH, count)):
            public.verify(signature, body)
            database.execute("REPLACE INTO heads VALUES (?, ?)", (number % _LOGS, body))
            cosigner.sign(body)
            second.sign(body)
        database.execute("COMMIT")
    took = time.process_time() - started
    database.close()
    return count / took


@cache
def _root(begin: int, end: int) -> bytes:
    """MTH of RFC 6962 section 2.1 over leaves that are their own numbers."""
    if end - begin == 1:
        return leaf_hash(sha256(begin.to_bytes(8, "big")).digest())
    middle = begin + _split(end - begin)
    return node_hash(_root(begin, middle), _root(middle, end))


def _consistency(old: int, new: int) -> list[bytes]:
    """PROOF of RFC 6962 section 2.1.2."""
    return _subproof(old, 0, new, complete=True)


def _subproof(old: int, begin: int, end: int, *, complete: bool) -> list[bytes]:
    if old == end:
        return [] if complete else [_root(begin, end)]
    middle = begin + _split(end - begin)
    if old <= middle:
        return [*_subproof(old, begin, middle, complete=complete), _root(middle, end)]
    return [*_subproof(old, middle, end, complete=False), _root(begin, middle)]


def _split(size: int) -> int:
    """The largest power of two below `size`."""
    return 1 << (size - 1).bit_length() - 1
