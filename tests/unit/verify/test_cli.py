"""The program: exit codes, words and JSON; as one file it is what people run, isolated."""

import contextlib
import io
import json
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from tests.support import signer
from tests.support.signer import LOG, WITNESS, Signer

from proof.verify.cli import main
from proof.verify.evidence.log import note

ROOT = Path(__file__).parents[3]
SEED = ROOT / "tests" / "vectors" / "seed_proof.json"
CONTENT = b"0"  # a leaf of every tree the signer builds


@pytest.fixture(scope="session")
def pyz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("build") / "deep" / "proof-verify.pyz"
    script = ROOT / "scripts" / "build_verifier.py"
    subprocess.run([sys.executable, script, target], check=True, capture_output=True)
    return target


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A file, its proof and the log's keys."""
    leaves = sorted(sha256(str(n).encode()).hexdigest() for n in range(5))
    payload = signer.payload(leaf_index=leaves.index(sha256(CONTENT).hexdigest()))
    (tmp_path / "report.pdf").write_bytes(CONTENT)
    (tmp_path / "proof.json").write_text(json.dumps(payload))
    (tmp_path / "log.key").write_text(f"# the test log\n\n{LOG.text}\n  {WITNESS.text}\n")
    (tmp_path / "log-only.key").write_text(LOG.text)
    return tmp_path


def run_file(folder: Path, pyz: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-S", str(pyz), *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert "Traceback" not in done.stderr
    return done


def run(
    folder: Path, *arguments: str, given: str = "", encoding: str = "utf-8"
) -> subprocess.CompletedProcess[str]:
    """The program without a process of its own; `given` is what it finds on standard input."""
    streams = [io.TextIOWrapper(io.BytesIO(), encoding) for _ in range(3)]
    streams[0].buffer.write(given.encode())
    streams[0].buffer.seek(0)
    with contextlib.chdir(folder), pytest.MonkeyPatch.context() as patched:
        for name, stream in zip(("stdin", "stdout", "stderr"), streams, strict=True):
            patched.setattr(sys, name, stream)
        code = main(arguments)
    said = []
    for stream in streams[1:]:
        stream.seek(0)
        said.append(stream.read())
    return subprocess.CompletedProcess(arguments, code, *said)


def test_the_one_file_verifies_receipts(folder: Path, pyz: Path) -> None:
    vectors = ROOT / "tests" / "vectors" / "receipts"
    keys = ["--receipt-key", "receipts.key", "--log-key", "log.key"]
    done = run_file(vectors, pyz, "tied/with-statement.json", *keys)
    assert done.returncode == 0, done.stderr
    assert "Established: the holder of 'log.example/receipts-vectors/receipts' said" in done.stdout


def test_tied(folder: Path, pyz: Path) -> None:
    done = run_file(folder, pyz, "report.pdf", "proof.json", "--log-key", "log.key")
    assert done.returncode == 0
    assert "'report.pdf' (SHA-256 " in done.stdout
    assert "signed it within the second that began at 2026-02-02T02:40:00Z." in done.stdout
    assert "existed by 2026-02-02T02:40:01Z" in done.stdout
    assert "Entry 6 of 11 in the log 'log.example/test' is the root and, behind it," in done.stdout
    assert "in the place of the plain root (RFC 9162), by which .ots files go;" in done.stdout
    assert "it was not checked, and nothing above rests on it." in done.stdout
    assert "Not established" not in done.stdout
    assert "Claimed: " not in done.stdout


def test_other_forms_of_the_subject(folder: Path) -> None:
    digest = sha256(CONTENT).hexdigest()
    for subject in (
        ["--file", "report.pdf"],
        ["--sha256", digest],
        ["--sha256", digest.upper()],
        [],
    ):
        done = run(folder, "proof.json", *subject, "--log-key", "log.key")
        assert done.returncode == 0, subject


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        (("-", "--log-key", "log.key"), "proof.json"),
        (("report.pdf", "-", "--log-key", "log.key"), "proof.json"),
        (("-", "proof.json", "--log-key", "log.key"), "report.pdf"),
        (("proof.json", "--file", "-", "--log-key", "log.key"), "report.pdf"),
        (("report.pdf", "proof.json", "--log-key", "-"), "log.key"),
        (("--log-key", "log.key", "--", "report.pdf", "-"), "proof.json"),
    ],
)
def test_one_file_may_come_from_standard_input(
    folder: Path, arguments: tuple[str, ...], given: str
) -> None:
    text = (folder / given).read_text()
    (folder / given).unlink()
    done = run(folder, *arguments, given=text)
    assert done.returncode == 0, done
    if "report.pdf" in {given, *arguments}:
        assert "Not established" not in done.stdout
    assert run(folder, *arguments, given="").returncode in {1, 2}


@pytest.mark.parametrize(
    "arguments",
    [
        ("-", "-"),
        ("-", "--log-key", "-"),
        ("proof.json", "--log-key", "-", "--log-key", "-"),
        ("proof.json", "--headers", "-"),
        ("report.pdf", "-", "--tsa-certificate", "-"),
    ],
)
def test_standard_input_is_read_once(folder: Path, arguments: tuple[str, ...]) -> None:
    done = run(folder, *arguments, given=(folder / "proof.json").read_text())
    assert (done.returncode, done.stdout) == (2, "")
    assert "standard input" in done.stderr


def test_json(folder: Path) -> None:
    done = run(folder, "report.pdf", "proof.json", "--log-key", "log.key", "--json")
    facts: dict[str, Any] = json.loads(done.stdout)
    assert (facts["result"], facts["exitCode"], facts["compared"]) == ("tied", 0, True)
    assert facts["sha256"] == sha256(CONTENT).hexdigest()
    assert facts["log"]["index"] == 6
    assert facts["timestamp"] == facts["claimed"]["timestamp"] == signer.EXISTED_BY_MS
    assert facts["remaining"] == []


def test_a_claimed_time_that_is_not_the_established_one_is_told_beside_it(folder: Path) -> None:
    payload = json.loads((folder / "proof.json").read_text())
    payload["tree"]["timestamp"] -= 60_000
    (folder / "proof.json").write_text(json.dumps(payload))
    told = run(folder, "report.pdf", "proof.json", "--log-key", "log.key")
    assert told.returncode == 0
    assert "existed by 2026-02-02T02:40:01Z" in told.stdout
    assert (
        "Claimed: the proof's publisher names the time 2026-02-02T02:39:01Z;"
        " what counts is 2026-02-02T02:40:01Z." in told.stdout
    )
    facts = json.loads(
        run(folder, "report.pdf", "proof.json", "--log-key", "log.key", "--json").stdout
    )
    assert facts["timestamp"] == signer.EXISTED_BY_MS
    assert facts["claimed"]["timestamp"] == signer.EXISTED_BY_MS - 60_000


def test_untied_without_key(folder: Path) -> None:
    done = run(folder, "report.pdf", "proof.json")
    assert done.returncode == 3
    assert "Not established: No key of the log" in done.stdout


def test_untied_without_cosigner(folder: Path) -> None:
    done = run(folder, "report.pdf", "proof.json", "--log-key", "log-only.key")
    assert done.returncode == 3
    assert "Not established: The log" in done.stdout
    keys = ["--log-key", "log-only.key", "--log-key", "log.key"]
    assert run(folder, "report.pdf", "proof.json", *keys).returncode == 0


def test_seed_example(folder: Path) -> None:
    done = run(folder, str(SEED), "--json")
    facts = json.loads(done.stdout)
    assert done.returncode == facts["exitCode"] == 3
    assert facts["result"] == "untied"
    assert facts["remaining"]


def test_another_file_is_refused(folder: Path) -> None:
    (folder / "other.pdf").write_bytes(b"other")
    done = run(folder, "other.pdf", "proof.json", "--log-key", "log.key")
    assert done.returncode == 1
    assert done.stdout.startswith("Refused: the proof is about ")
    assert "'other.pdf' has the hash" in done.stdout
    assert "altered, or another file" in done.stdout
    for subject in (["--file", "other.pdf"], ["--sha256", "0" * 64]):
        facts = json.loads(run(folder, "proof.json", *subject, "--json").stdout)
        assert facts["error"] == "SubjectMismatchError"


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        (["proof.json", "report.pdf"], "'proof.json' looks like one: give the file first"),
        (["proof.json", "log.key"], "'proof.json' looks like one: give the file first"),
        (["report.pdf", "log.key"], "and 'report.pdf' is none either"),
        (["report.pdf"], "give the file first, then its proof"),
        (["empty"], "'empty' is no proof: it is empty"),
    ],
)
def test_what_is_no_proof_is_named_and_so_is_what_was_meant(
    folder: Path, paths: list[str], said: str
) -> None:
    (folder / "empty").touch()
    done = run(folder, *paths, "--log-key", "log.key")
    assert (done.returncode, said in done.stdout) == (1, True), done.stdout
    assert f"Refused: {paths[-1]!r} is no proof: " in done.stdout
    facts = json.loads(run(folder, *paths, "--json").stdout)
    assert facts["error"] == "NotAProofError"


def test_a_proof_that_was_cut_off_is_still_called_a_proof(folder: Path) -> None:
    whole = (folder / "proof.json").read_bytes()
    (folder / "cut.json").write_bytes(whole[:-20])
    done = run(folder, "report.pdf", "cut.json")
    assert done.stdout.startswith("Refused: the proof is not JSON")


def test_a_third_path_says_where_keys_go(folder: Path) -> None:
    done = run(folder, "report.pdf", "proof.json", "log.key")
    assert (done.returncode, "--log-key" in done.stderr) == (2, True)


def test_altered_proof_is_refused(folder: Path) -> None:
    proof = folder / "proof.json"
    proof.write_text(proof.read_text().replace('"rightSha256": "', '"rightSha256": "f', 1))
    done = run(folder, "report.pdf", "proof.json", "--json")
    facts = json.loads(done.stdout)
    assert done.returncode == facts["exitCode"] == 1
    assert (facts["result"], facts["error"]) == ("refused", "HexError")


def test_huge_proof_is_refused_before_it_is_read_whole(folder: Path) -> None:
    with (folder / "huge.json").open("wb") as file:
        file.truncate(1 << 40)
    assert run(folder, "huge.json").returncode == 1


def test_large_file_is_hashed_in_pieces(folder: Path) -> None:
    with (folder / "large").open("wb") as file:
        file.truncate(64 << 20)
    done = run(folder, "large", "proof.json")
    assert done.returncode == 1
    assert sha256(bytes(64 << 20)).hexdigest() in done.stdout


USAGE = {
    "nothing": [],
    "three paths": ["a", "b", "c"],
    "file twice": ["report.pdf", "proof.json", "--file", "report.pdf"],
    "file and hash": ["proof.json", "--file", "report.pdf", "--sha256", "0" * 64],
    "short hash": ["proof.json", "--sha256", "00"],
    "no hex": ["proof.json", "--sha256", "g" * 64],
    "unknown option": ["proof.json", "--trust-me"],
    "abbreviated option": ["proof.json", "--js"],
    "missing proof": ["nowhere.json"],
    "proof is a folder": ["."],
    "missing file": ["nowhere", "proof.json"],
    "missing key": ["proof.json", "--log-key", "nowhere"],
}


@pytest.mark.parametrize("fault", USAGE)
def test_wrong_usage(folder: Path, fault: str) -> None:
    done = run(folder, *USAGE[fault])
    assert done.returncode == 2
    assert done.stderr
    assert not done.stdout


def test_a_file_name_that_is_no_option_does_not_reach_the_terminal(folder: Path) -> None:
    done = run(folder, "--\x1b]0;verified\x07\x9b2J", "proof.json")
    assert done.returncode == 2
    assert "\\x1b]0;verified\\x07\\x9b2J" in done.stderr
    assert done.stderr.replace("\n", "").isprintable()


KEY_FILES = {
    "malformed": (f"{LOG.text}\nnonsense\n".encode(), "line 2"),
    "wrong hash": (LOG.text.replace("+", "+0", 1).encode(), "line 1"),
    "not text": (b"\n\xff\n", "line 2: not UTF-8"),
    "empty": (b"", "holds no key"),
    "only comments": (b"# nothing\n", "holds no key"),
    "too long": (b"#" * (1024 * 1024 + 1), "bytes long"),
}


@pytest.mark.parametrize("fault", KEY_FILES)
def test_faulty_key_file_names_its_line(folder: Path, fault: str) -> None:
    content, expected = KEY_FILES[fault]
    (folder / "bad.key").write_bytes(content)
    done = run(folder, "proof.json", "--log-key", "bad.key")
    assert done.returncode == 2
    assert expected in done.stderr


MLDSA = signer.MLDSA_WITNESS
POLICY = f"""\
log {LOG.text}
witness ours {WITNESS.text}
witness theirs {MLDSA.text}
group both all ours theirs
quorum both
"""


@pytest.fixture
def cosigned(folder: Path) -> Path:
    """A proof whose checkpoint has the lines of the log, two witnesses and a stranger; and a policy."""
    payload = json.loads((folder / "proof.json").read_text())
    text, _, _ = payload["evidence"]["checkpoint"].partition("\n\n")
    body = f"{text}\n".encode()
    stranger = Signer.named("stranger.example", note.COSIGNER_KEY)
    lines = [
        LOG.line(body),
        WITNESS.line(body),
        MLDSA.line(body, signer.TIME_S + 60),
        stranger.line(body),
    ]
    payload["evidence"]["checkpoint"] = note.signed_note(body, lines).decode()
    (folder / "cosigned.json").write_text(json.dumps(payload))
    (folder / "log.policy").write_text(POLICY)
    return folder


def test_a_policy_waits_for_the_last_of_its_quorum(cosigned: Path, pyz: Path) -> None:
    done = run_file(cosigned, pyz, "report.pdf", "cosigned.json", "--policy", "log.policy")
    assert done.returncode == 0
    assert "existed by 2026-02-02T02:41:01Z" in done.stdout
    assert "The quorum of cosigners signed it, the last of them within the second" in done.stdout
    assert "Claimed: the proof's publisher names the time 2026-02-02T02:40:01Z" in done.stdout
    for line in (
        f"'log.example/test' {LOG.key.key_hash.hex()}: a log's, valid",
        f"'cosigner.example/test' {WITNESS.key.key_hash.hex()}: cosigned 2026-02-02T02:40:00Z, valid",
        f"'cosigner.example/test' {MLDSA.key.key_hash.hex()}: cosigned 2026-02-02T02:41:00Z, valid",
    ):
        assert line in done.stdout
    assert "'stranger.example'" in done.stdout
    assert ": not checked, its key was not given" in done.stdout


def test_without_the_quorum_nothing_is_said_of_time(cosigned: Path) -> None:
    done = run(cosigned, "report.pdf", "proof.json", "--policy", "log.policy")
    assert done.returncode == 3
    assert "--  The quorum of cosigners is not reached: without 'theirs'." in done.stdout
    assert "is in what the log 'log.example/test' signed without your quorum" in done.stdout
    assert "not the quorum of cosigners (without 'theirs')" in done.stdout
    facts = json.loads(run(cosigned, "proof.json", "--policy", "log.policy", "--json").stdout)
    assert (facts["result"], facts["timestamp"]) == ("untied", None)
    assert facts["log"]["quorum"] == {"name": "both", "reached": False, "missing": ["theirs"]}


def test_a_policy_without_logs_takes_them_from_log_keys(cosigned: Path) -> None:
    (cosigned / "log.policy").write_text(POLICY.partition("\n")[2])
    done = run(cosigned, "cosigned.json", "--policy", "log.policy")
    assert (done.returncode, done.stdout) == (2, "")
    assert "names no log" in done.stderr
    (cosigned / "witness.key").write_text(WITNESS.text)
    assert (
        run(
            cosigned, "cosigned.json", "--policy", "log.policy", "--log-key", "witness.key"
        ).returncode
        == 2
    )
    for keys in ("log.key", "log-only.key"):
        arguments = ("--policy", "log.policy", "--log-key", keys)
        assert run(cosigned, "cosigned.json", *arguments).returncode == 0
        assert run(cosigned, "proof.json", *arguments).returncode == 3


def test_cosigners_of_a_key_file_are_none_of_the_policys_quorum(cosigned: Path) -> None:
    stranger = Signer.named("stranger.example", note.COSIGNER_KEY)
    (cosigned / "log.policy").write_text(
        f"log {LOG.text}\nwitness w {Signer.named('absent.example', note.COSIGNER_KEY).text}\nquorum w\n"
    )
    (cosigned / "stranger.key").write_text(stranger.text)
    arguments = ("cosigned.json", "--policy", "log.policy", "--log-key", "stranger.key")
    assert run(cosigned, *arguments).returncode == 3


def test_a_policy_may_come_from_standard_input_once(cosigned: Path) -> None:
    assert run(cosigned, "cosigned.json", "--policy", "-", given=POLICY).returncode == 0
    done = run(cosigned, "-", "--policy", "-", given=POLICY)
    assert (done.returncode, "standard input" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (POLICY.replace("all", "4"), "line 4 of the policy: '4' is neither"),
        (POLICY.removesuffix("\n"), "line 5 of the policy has no newline"),
        ("", "no quorum line"),
        ("#" * 2_000_000, "longer than 1048576 bytes"),
        (None, "log.policy"),
    ],
)
def test_a_faulty_policy_names_its_line(cosigned: Path, content: str | None, said: str) -> None:
    (cosigned / "log.policy").unlink()
    if content is not None:
        (cosigned / "log.policy").write_text(content)
    done = run(cosigned, "cosigned.json", "--policy", "log.policy")
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_help_teaches(folder: Path) -> None:
    done = run(folder, "--help")
    assert done.returncode == 0
    for word in ("examples:", "exit codes:", "--log-key", "--sha256", "--json"):
        assert word in done.stdout


def test_module_form_needs_the_standard_library_only(folder: Path) -> None:
    code = (
        "import sys, runpy; sys.path.insert(0, sys.argv.pop(1)); "
        "runpy.run_module('proof.verify', run_name='__main__', alter_sys=True)"
    )
    arguments = [str(ROOT / "src"), "report.pdf", "proof.json", "--log-key", "log.key"]
    command = [sys.executable, "-I", "-S", "-c", code, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_closed_output_is_no_traceback(folder: Path, pyz: Path) -> None:
    command = [sys.executable, "-I", "-S", str(pyz), str(SEED)]
    reader = subprocess.Popen([sys.executable, "-c", ""], stdin=subprocess.PIPE)
    reader.wait()
    done = subprocess.run(command, stdout=reader.stdin, stderr=subprocess.PIPE, text=True)
    assert reader.stdin is not None
    reader.stdin.close()
    assert done.returncode == 3
    assert not done.stderr


def test_full_disk_is_no_traceback(folder: Path, pyz: Path) -> None:
    command = [sys.executable, "-I", "-S", str(pyz), str(SEED)]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 3
    assert not done.stderr


def test_output_of_a_narrow_terminal(folder: Path) -> None:
    (folder / "отчёт.pdf").write_bytes(CONTENT)
    done = run(folder, "отчёт.pdf", "proof.json", encoding="ascii")
    assert done.returncode == 3
    assert done.stdout.isascii()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--help"], 0),
        (["report.pdf", "-", "--log-key", "log.key"], 1),
        (["proof.json", "--sha256", "0" * 64], 1),
        (["proof.json"], 3),
        ([str(SEED), "--json"], 3),
    ],
)
def test_as_one_file_it_says_the_same(
    folder: Path, pyz: Path, arguments: list[str], code: int
) -> None:
    done, same = run_file(folder, pyz, *arguments), run(folder, *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (code, same.stdout, same.stderr)


def test_build_is_reproducible(pyz: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.pyz"
    script = ROOT / "scripts" / "build_verifier.py"
    subprocess.run([sys.executable, script, again], check=True, capture_output=True)
    assert again.read_bytes() == pyz.read_bytes()
    assert again.stat().st_mode & 0o111


def test_main_returns_codes_and_raises_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    proof = str(folder / "proof.json")
    assert main([proof]) == 3
    assert main(["--help"], prog="proof verify") == 0
    assert "proof verify" in capsys.readouterr().out
    assert main([]) == 2
    assert main(["a\0b"]) == 2
    assert main([proof, "--file", "a\0b"]) == 2
    assert main([proof, "--file", "\udcff"]) == 2
    assert capsys.readouterr().err
