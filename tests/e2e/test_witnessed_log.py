"""Two companies' Proofs that witness each other, as operators run them, and a data folder taken back."""

import http.client
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.support.ports import free_port
from tests.support.served import Server, unstarted
from tests.support.witnesses import AicsWitness, ProofWitness

from proof.core.note_keys import SigningKey
from proof.verify import verify_payload
from proof.verify.evidence.log.note import COSIGNER_KEY
from proof.verify.evidence.log.policy import parse_policy

_GIVE_UP_S = 120.0


@dataclass
class Company:
    """A Proof, and the token of a partner of it."""

    server: Server
    token: str = ""
    witnesses: list[AicsWitness | ProofWitness] = field(default_factory=list)

    def call(self, method: str, path: str, body: object = None) -> tuple[int, bytes]:
        headers = {"x-api-key": self.token} if self.token else {}
        connection = http.client.HTTPConnection("127.0.0.1", urlsplit(self.server.url).port)
        with closing(connection):
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, answer.read()

    def submit(self, label: str) -> str:
        digest = sha256(label.encode()).hexdigest()
        status, answer = self.call("POST", "/v1/timestamp", {"sha256": [digest]})
        assert status == 200, answer
        return digest

    def proof(self, digest: str) -> bytes:
        """Once it is there."""
        deadline = time.monotonic() + _GIVE_UP_S
        while True:
            status, answer = self.call("GET", f"/v1/proof/{digest}")
            if status == 200:
                return answer
            assert status == 425, answer
            assert time.monotonic() < deadline, self.server.log()
            time.sleep(0.05)

    def reason(self, part: str, text: str) -> str:
        """Why a part is stopped, once that text is in it."""
        deadline = time.monotonic() + _GIVE_UP_S
        while True:
            told = json.loads(self.server.run("health", "--json").stdout)
            reasons = {each["part"]: each["reason"] or "" for each in told["parts"]}
            if text in reasons.get(part, ""):
                return str(reasons[part])
            assert time.monotonic() < deadline, reasons
            time.sleep(0.1)


@pytest.fixture(scope="module")
def companies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Company, Company]]:
    """The first needs two of three witnesses: the second's, an aics-witness, and one that is dead. The
    second needs the first's."""
    folder = tmp_path_factory.mktemp("two")
    dead = SigningKey.generate("dead.example", COSIGNER_KEY).text
    with ExitStack() as stack:
        theirs = ProofWitness(folder / "w1", "second.example/witness")
        ours = ProofWitness(folder / "w2", "first.example/witness")
        aics = AicsWitness(folder / "w3")
        policies = {
            "first": [
                *theirs.policy,
                f"witness aics {aics.vkey} {aics.url}",
                f"witness dead {dead} http://127.0.0.1:{free_port()}",
                f"group three 2 {theirs.group} aics dead",
                "quorum three",
            ],
            "second": [*ours.policy, f"quorum {ours.group}"],
        }
        found = []
        for name, lines in policies.items():
            file = folder / f"{name}.policy"
            file.write_text("\n".join(lines) + "\n")
            settings = {"PROOF_LOG_POLICY_FILE": str(file)}
            company = Company(stack.enter_context(unstarted(settings)))
            company.server.start()
            found.append(company)
        first, second = found
        for witness, company in ((theirs, first), (aics, first), (ours, second)):
            status, key = company.call("GET", "/log/key")
            assert status == 200
            witness.add(key.decode().splitlines()[0])
            company.witnesses.append(witness)
        for witness in (theirs, ours, aics):
            stack.callback(witness.stop)
            witness.start()
        for company in found:
            company.token = company.server.add_partner()["production"]["api_key"]
        yield first, second


def test_each_publishes_with_the_others_cosignature(companies: tuple[Company, Company]) -> None:
    for company, signers in zip(companies, ({"second", "aics"}, {"first"}), strict=True):
        raw = company.proof(company.submit("hello"))
        status, text = company.call("GET", "/log/policy")
        assert status == 200
        established = verify_payload(raw, policy=parse_policy(text))
        assert established.tied
        checkpoint = json.loads(raw)["evidence"]["checkpoint"]
        names = {line.split()[1] for line in checkpoint.splitlines() if line.startswith("—")}
        assert signers <= {name.partition(".")[0] for name in names}


def test_a_data_folder_that_is_copied_back_whole_signs_nothing_here_and_nothing_elsewhere(
    companies: tuple[Company, Company], tmp_path: Path
) -> None:
    company, _ = companies
    server = company.server
    before = company.submit("before")
    given = [company.proof(before)]
    assert server.stop() == 0
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-a", server.data_dir, copy], check=True)
    server.start()
    given.append(company.proof(company.submit("lost")))
    _, published = company.call("GET", "/log/checkpoint")
    monitored(company, tmp_path)
    assert server.stop() == 0
    shutil.rmtree(server.data_dir)
    subprocess.run(["cp", "-a", copy, server.data_dir], check=True)
    server.start()
    other = company.submit("another history")
    said = company.reason("work", "entries")
    assert "were signed" in said or "are not those" in said
    assert str(tmp_path) not in said, "it is the mark apart from the data folder"
    assert server.stop() == 0
    # Another machine has no mark of it.
    server.environment["XDG_STATE_HOME"] = str(tmp_path / "another machine")
    server.start()
    said = company.reason("work", "signed by the log's own key")
    size, root = published.decode().splitlines()[1:3]
    assert f"holds {size} entries of the log" in said
    assert company.call("GET", f"/v1/proof/{other}")[0] == 425
    assert company.call("GET", f"/v1/proof/{before}")[0] == 200
    assert published != company.call("GET", "/log/checkpoint")[1]
    given.append(goes_on(company, other, int(size), root))
    policy = parse_policy(company.call("GET", "/log/policy")[1])
    assert [verify_payload(each, policy=policy).tied for each in given] == [True] * 3
    monitored(company, tmp_path)
    assert json.loads(server.run("fsck", "--json").stdout)["findings"] == []


def monitored(company: Company, folder: Path) -> None:
    """A monitor that takes the policy as it is served sees a log that continues what it saw before."""
    policy = folder / "monitor.policy"
    policy.write_bytes(company.call("GET", "/log/policy")[1])
    place = ("--policy", str(policy), "--state", str(folder / "monitor"))
    done = company.server.run("log", "monitor", f"{company.server.url}/log", *place, "--once")
    assert done.returncode == 0, done.stdout + done.stderr


def goes_on(company: Company, waiting: str, size: int, root: str) -> bytes:
    """The log that lost entries is closed, and its successor proves what waits."""
    origin = company.call("GET", "/log/key")[1].decode().partition("+")[0]
    done = company.server.run(
        "log", "retire", origin, "--reason", "folder taken back", "--yes", "--json"
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["size"], found["note"].splitlines()[2]) == (size, root)
    assert found["kept_size"] < size
    for witness in company.witnesses:
        witness.add(found["successor_vkey"])
        if isinstance(witness, AicsWitness):
            witness.stop()
            witness.start()
    raw = company.proof(waiting)
    assert json.loads(raw)["evidence"]["origin"] == found["successor"]
    (listed,) = json.loads(company.call("GET", "/log/retired")[1])
    assert (listed["size"], listed["keptSize"]) == (size, found["kept_size"])
    assert listed["reason"] == "folder taken back"
    assert company.call("GET", "/log/retired/1/checkpoint")[1].decode() == found["note"]
    return raw
