"""The program on time-stamp tokens: exit codes, words, JSON, and the certificate in each spelling."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from tests.support import tokens
from tests.support.tokens import TIME_MS, Parts

from proof.verify.cli import main

CERTIFICATE = tokens.certificate()
FINGERPRINT = tokens.fingerprint(CERTIFICATE).hex()
PAYLOAD = tokens.payload()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("tsa.json").write_text(json.dumps(PAYLOAD))
    Path("p521.json").write_text(json.dumps(tokens.payload(Parts(kind="p521"))))
    Path("tsa.pem").write_bytes(CERTIFICATE.public_bytes(Encoding.PEM))
    Path("tsa.der").write_bytes(CERTIFICATE.public_bytes(Encoding.DER))
    other = tokens.certificate("p384").public_bytes(Encoding.PEM)
    Path("chain.pem").write_bytes(b"its chain:\n" + other + CERTIFICATE.public_bytes(Encoding.PEM))
    Path("other.pem").write_bytes(other)
    Path("broken.pem").write_bytes(other.replace(b"MII", b"!!!").replace(b"MIB", b"!!!"))
    Path("empty").touch()
    Path("large").write_bytes(bytes(70_000))
    return tmp_path


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(arguments)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


SPELLED = {
    "hex": FINGERPRINT,
    "upper case": FINGERPRINT.upper(),
    "as openssl prints it": ":".join(
        FINGERPRINT[at : at + 2].upper() for at in range(0, len(FINGERPRINT), 2)
    ),
    "PEM": "tsa.pem",
    "DER": "tsa.der",
    "several in one file": "chain.pem",
}


@pytest.mark.parametrize("spelled", SPELLED)
def test_with_the_certificate(spelled: str, run: Run) -> None:
    code, out, _ = run("tsa.json", "--tsa-certificate", SPELLED[spelled])
    assert code == 0, out
    assert (
        " 5. ok  The root is what the token with serial number\n             4242 is over." in out
    )
    assert " 6. ok  The token's digests are right, and so is its signature under the cert" in out
    assert " 7. ok  The certificate is one you gave." in out
    assert "existed by 2026-02-02T02:40:00Z, give or take 1.5 s, as an authority whose" in out
    assert "Not established" not in out


@pytest.mark.parametrize("given", [[], ["--tsa-certificate", "other.pem"]])
def test_without_it(given: list[str], run: Run) -> None:
    code, out, _ = run("tsa.json", *given)
    assert code == 3
    assert "--  Nothing was checked under a certificate you gave." in out
    assert f"Not established: You did not name the certificate with SHA-256 {FINGERPRINT}" in out
    assert "`openssl ts -verify -digest " in out


def test_what_cannot_be_checked_here(run: Run) -> None:
    fingerprint = tokens.fingerprint(tokens.certificate("p521")).hex()
    code, out, _ = run("p521.json", "--tsa-certificate", fingerprint)
    assert code == 3
    assert "its signature was not checked" in out


def test_in_json(run: Run) -> None:
    code, out, _ = run("tsa.json", "--tsa-certificate", "tsa.pem", "--json")
    facts = json.loads(out)
    assert (code, facts["result"], facts["timestamp"]) == (0, "tied", TIME_MS)
    assert facts["rfc3161"] == {
        "serialNumber": "4242",
        "policy": "2.25.42",
        "timestamp": TIME_MS,
        "accuracyMicroseconds": 1_500_000,
        "certificateSha256": FINGERPRINT,
        "signatureChecked": True,
        "tiedBy": "certificate",
    }
    assert facts["log"] is facts["bitcoin"] is facts["ethereum"] is None
    code, out, _ = run("tsa.json", "--json")
    assert (code, json.loads(out)["rfc3161"]["tiedBy"]) == (3, None)


def test_a_damaged_token_is_refused(run: Run) -> None:
    token = PAYLOAD["evidence"]["token"]
    damaged = PAYLOAD | {"evidence": PAYLOAD["evidence"] | {"token": token[:-2]}}
    Path("cut.json").write_text(json.dumps(damaged))
    code, out, _ = run("cut.json", "--json", "--tsa-certificate", "tsa.pem")
    assert (code, json.loads(out)["error"]) == (1, "DerError")


USAGE = {
    "no such file": ("nowhere", "cannot read 'nowhere'"),
    "a digit too few": (FINGERPRINT[1:], "cannot read"),
    "an empty file": ("empty", "holds no certificate"),
    "a proof": ("tsa.json", "holds no certificate"),
    "broken base64": ("broken.pem", "not in base64"),
    "a large file": ("large", "over 65536 bytes"),
}


@pytest.mark.parametrize("fault", USAGE)
def test_wrong_usage(fault: str, run: Run) -> None:
    given, expected = USAGE[fault]
    code, out, err = run("tsa.json", "--tsa-certificate", given)
    assert (code, out) == (2, "")
    assert expected in err


def test_the_command_it_names_checks_the_token() -> None:
    """The authority here is its own CA, valid when the token was made."""
    Path("token").write_bytes(bytes.fromhex(PAYLOAD["evidence"]["token"]))
    command = ["openssl", "ts", "-verify", "-token_in", "-in", "token", "-CAfile", "tsa.pem"]
    for digest, expected in ((PAYLOAD["tree"]["rootSha256"], "OK"), ("00" * 32, "FAILED")):
        done = subprocess.run(
            [*command, "-digest", digest, "-attime", str(TIME_MS // 1000)],
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert f"Verification: {expected}" in done.stdout, done.stderr
