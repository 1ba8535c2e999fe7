"""`proof witness` as a process: killed under load, started from folders it must not trust, and beside
the witness and the log client of another author.
"""

import contextlib
import http.client
import json
import random
import re
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import pytest
from tests.support.tools import aics
from tests.support.witness_requests import LOG, REQUESTS
from tests.support.witnessed_logs import NaiveLog
from tests.support.witnesses import AicsWitness, ProofWitness, aics_witness, proof_witness

from proof.main.witness.serving import MAX_CONNECTIONS
from proof.verify.evidence.log.checkpoint import parse_checkpoint_body
from proof.verify.evidence.log.note import parse_note, signed_note
from proof.witness.log_keys import parse_log_key, signed_lines

_COMMAND_S = 120
_MEMORY_MB = 50
_KILLS = 6


def ask(
    witness: ProofWitness | AicsWitness, method: str, path: str, body: bytes = b""
) -> tuple[int, str, bytes]:
    """Status, content type and body of one answer."""
    connection = http.client.HTTPConnection(witness.url.removeprefix("http://"), timeout=60)
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, answer.getheader("content-type", ""), answer.read()
    finally:
        connection.close()


def add(witness: ProofWitness | AicsWitness, body: bytes) -> tuple[int, str, bytes]:
    return ask(witness, "POST", "/add-checkpoint", body)


def newest(witness: ProofWitness | AicsWitness, log: NaiveLog) -> bytes:
    path = f"/{sha256(log.origin.encode()).hexdigest()}/checkpoint"
    status, _, note = ask(witness, "GET", path)
    assert status == 200
    return note


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProofWitness]:
    with proof_witness(tmp_path_factory.mktemp("ours"), [LOG.vkey]) as witness:
        assert add(witness, LOG.request(0, 3))[0] == 200
        yield witness


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AicsWitness]:
    with aics_witness(tmp_path_factory.mktemp("theirs"), [LOG.vkey]) as witness:
        assert add(witness, LOG.request(0, 3))[0] == 200
        yield witness


# What the specification leaves open: how long a request may be. aics-witness reads up to 256 KiB.
_OPEN = {"too long": 400}


@pytest.mark.parametrize("name", [name for name in REQUESTS if name != "right"])
def test_every_request_is_answered_as_another_author_s_witness_answers_it(
    ours: ProofWitness, theirs: AicsWitness, name: str
) -> None:
    body, status = REQUESTS[name]
    our_status, our_type, our_body = add(ours, body)
    their_status, their_type, their_body = add(theirs, body)
    assert (our_status, their_status) == (status, _OPEN.get(name, status))
    if status == 409:
        assert (our_type, our_body) == (their_type, their_body) == ("text/x.tlog.size", b"3\n")
    assert newest(ours, LOG).startswith(LOG.checkpoint(3))
    assert newest(theirs, LOG).startswith(LOG.checkpoint(3))


# A log of its author's own, which sends two checkpoints to each witness, from a stale start, and
# verifies what comes back; then one that its author's witness cosigned, by a policy of both.
_CLIENT = """
import json, sys, time
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
import aics_tlog as tlog
from aics_witness.feeder import WitnessClient, merge_cosignatures

given = json.load(sys.stdin)
key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(given["seed"]))
vkey = tlog.vkey_from_ed25519(given["origin"], key.public_key())
if not given["witnesses"]:
    print(tlog.format_vkey(vkey))
    raise SystemExit
tree = tlog.MerkleTree()
clients = [WitnessClient(url, vkey) for url, vkey in given["witnesses"]]
for size in (3, 1000, 1000):
    tree.extend(b"%d" % number for number in range(tree.size, size))
    checkpoint = tlog.Checkpoint(given["origin"], tree.size, tree.root())
    note = tlog.sign_checkpoint(checkpoint, key, given["origin"]).serialise().encode()
    for client in clients:
        client.known_sizes.clear()
        line = client.submit(note, tree.consistency_proof)
        note = merge_cosignatures(note, line)
keys = [tlog.parse_vkey(vkey) for _, vkey in given["witnesses"]]
parsed = tlog.parse_note(note)
done = tlog.verify_checkpoint(parsed, vkey, keys, len(keys), max_age_seconds=600)
print(json.dumps({"ok": done.ok, "size": tree.size, "note": note.decode()}))
"""


def client(origin: str, witnesses: list[tuple[str, str]]) -> str:
    python, environment = aics.python()
    given = {"origin": origin, "seed": "07" * 32, "witnesses": witnesses}
    done = subprocess.run(
        [*python, "-c", _CLIENT],
        env=environment,
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=_COMMAND_S,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_log_of_another_author_is_cosigned(
    ours: ProofWitness, tmp_path: Path, theirs: AicsWitness
) -> None:
    """The log is told to a witness that runs; its author's client then asks both witnesses."""
    origin = "aics.example/log"
    vkey = client(origin, []).strip()
    ours.add(vkey)
    theirs.stop()
    theirs.add(vkey)
    theirs.start()
    done = json.loads(client(origin, [(ours.url, ours.vkeys[0]), (theirs.url, theirs.vkey)]))
    assert (done["ok"], done["size"]) == (True, 1000)
    # What monitors read has both of our keys' lines, the one we sent among them.
    note = parse_note(newest(ours, NaiveLog(origin)))
    keys = [parse_log_key(key) for key in (vkey, *ours.vkeys)]
    lines = signed_lines(note, parse_checkpoint_body(note.body), keys)
    assert len(parse_note(signed_note(note.body, [lines])).signatures) == 3
    (listed,) = (log for log in ours.list()["logs"] if log["origin"] == origin)
    assert (listed["size"], listed["vkeys"]) == (1000, [vkey])


def test_logs_come_and_go_while_it_runs(ours: ProofWitness) -> None:
    log = NaiveLog("log.example/later").grow(b"0", b"1", b"2")
    assert add(ours, log.request(0, 1))[0] == 404
    ours.add(log.vkey)
    assert add(ours, log.request(0, 1))[0] == 200
    ours.remove(log.origin)
    assert add(ours, log.request(1, 2))[0] == 404
    ours.add(log.vkey)
    assert add(ours, log.fork(0).grow(b"other").request(0, 1))[::2] == (409, b"1\n")
    assert add(ours, log.request(1, 2))[0] == 200


def test_a_long_request_is_refused_before_it_is_read_and_the_witness_goes_on(
    ours: ProofWitness,
) -> None:
    host, _, port = ours.url.removeprefix("http://").partition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=60)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        connection.request("POST", "/add-checkpoint", iter([b"x" * 65_536] * 100))
    connection.close()
    assert ask(ours, "GET", "/healthz")[::2] == (200, b"ok\n")


def test_strangers_who_hold_connections_keep_no_log_out(ours: ProofWitness) -> None:
    """More than there is room for: silent ones, heads and bodies that do not end, and answered ones."""
    host, _, port = ours.url.removeprefix("http://").partition(":")
    begun = [
        b"",
        b"POST /add-checkpoint HTTP/1.1\r\nhost: w\r\n",
        b"POST /add-checkpoint HTTP/1.1\r\nhost: w\r\ncontent-length: 900\r\n\r\nold",
        b"GET /healthz HTTP/1.1\r\nhost: w\r\n\r\n",
    ]
    with contextlib.ExitStack() as stack:
        for number in range(MAX_CONNECTIONS + 100):
            held = stack.enter_context(socket.create_connection((host, int(port)), timeout=60))
            held.sendall(begun[number % len(begun)])
        body, status = REQUESTS["the same again"]
        assert add(ours, body)[0] == status
        assert ours.process is not None
        files = list(Path(f"/proc/{ours.process.pid}/fd").iterdir())
        assert len(files) < MAX_CONNECTIONS + 50


def test_it_is_small(ours: ProofWitness) -> None:
    assert ours.process is not None
    status = Path(f"/proc/{ours.process.pid}/status").read_text()
    (memory,) = re.findall(r"VmRSS:\s+(\d+) kB", status)
    assert int(memory) < _MEMORY_MB * 1024


def refusal(witness: ProofWitness, *more: str) -> str:
    """What `serve` says when it does not start."""
    done = subprocess.run(
        [*witness.command("serve"), *more],
        env=witness.environment,
        capture_output=True,
        text=True,
        timeout=_COMMAND_S,
    )
    assert (done.returncode, done.stdout) == (2, "")
    (said,) = done.stderr.splitlines()
    return said


def test_it_is_not_served_from_a_folder_that_may_have_forgotten(tmp_path: Path) -> None:
    with proof_witness(tmp_path, [LOG.vkey]) as witness:
        add(witness, LOG.request(0, 3))
        assert "another process serves" in refusal(witness)
        copy = tmp_path / "copy"
        shutil.copytree(witness.folder, copy)
        assert "is served already" in refusal(witness, "--folder", str(copy))
        add(witness, LOG.request(3, 8))
        assert witness.process is not None
        witness.process.send_signal(signal.SIGINT)
        assert witness.process.wait() == 0
        assert "an older copy was put back" in refusal(witness, "--folder", str(copy))
        # An older copy that is put over the folder is the incident that witnesses are for.
        shutil.copytree(copy, witness.folder, dirs_exist_ok=True)
        assert "a witness that may have forgotten" in refusal(witness)
        (witness.folder / "witness.sqlite").unlink()
        assert "nobody knows what its keys signed" in refusal(witness)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--host", "203.0.113.1"), "choose --host"),
        (("--host", "no such host"), "choose --host"),
        (("--folder", "/nowhere"), "holds no witness"),
    ],
)
def test_where_it_cannot_listen_or_is_not_it_says_what_to_do(
    tmp_path: Path, more: tuple[str, ...], said: str
) -> None:
    assert said in refusal(ProofWitness(tmp_path), *more)


@dataclass
class _Adversary:
    """A log that extends its history in two ways at every step, in turn with itself, and keeps all that
    was signed."""

    log: NaiveLog
    sent: dict[bytes, NaiveLog] = field(default_factory=dict)
    signed: list[tuple[int, bytes]] = field(default_factory=list)

    def step(self, witness: ProofWitness, source: random.Random) -> None:
        """One request. Raises OSError or HTTPException when the witness is gone."""
        base = self.log
        branch = base.fork(len(base.leaves)).grow(
            *(source.randbytes(4) for _ in range(source.randint(1, 3)))
        )
        self.sent[branch.root()] = branch
        status, _, answer = add(witness, branch.request(len(base.leaves)))
        if status == 200:
            self.signed.append((len(branch.leaves), branch.root()))
            assert branch.body() in signed_note(branch.body(), [answer])
        else:
            assert status == 409
        self.follow(witness)

    def follow(self, witness: ProofWitness) -> None:
        """Go on from what the witness holds."""
        held = parse_checkpoint_body(parse_note(newest(witness, self.log)).body)
        self.log = self.sent[held.root]


def test_killed_at_any_point_it_signs_one_history(tmp_path: Path) -> None:
    """Logs that would fork at every step, on several connections each; the process is killed as answers
    arrive. Whatever was ever signed is a part of the history that is held in the end."""
    source = random.Random(7)
    adversaries = [_Adversary(NaiveLog(f"log.example/{number}").grow(b"0")) for number in range(3)]
    with proof_witness(tmp_path, [each.log.vkey for each in adversaries]) as witness:
        for each in adversaries:
            each.sent[each.log.root()] = each.log
            assert add(witness, each.log.request(0))[0] == 200
        for kill in range(_KILLS):
            _press(witness, adversaries, source, kill)
            witness.start()
            for each in adversaries:
                each.follow(witness)
                size = len(each.log.leaves)
                assert all(signed <= size for signed, _ in each.signed)
        for each in adversaries:
            assert each.signed
            assert all(each.log.root(size) == root for size, root in each.signed)


def _press(
    witness: ProofWitness, adversaries: list[_Adversary], source: random.Random, kill: int
) -> None:
    """Two connections for each log until the witness was killed, which is done after some answers."""
    answers = threading.Semaphore(0)
    failures: list[BaseException] = []

    def press(adversary: _Adversary, seed: int) -> None:
        mine = random.Random(seed)
        try:
            while True:
                adversary.step(witness, mine)
                answers.release()
        except (OSError, http.client.HTTPException):
            pass
        except BaseException as error:
            failures.append(error)
            answers.release()
            raise

    threads = [
        threading.Thread(target=press, args=(each, 1000 * kill + number))
        for number, each in enumerate(adversaries * 2)
    ]
    for thread in threads:
        thread.start()
    for _ in range(source.randint(5, 40)):
        answers.acquire()
    witness.kill()
    for thread in threads:
        thread.join()
    assert not failures
