"""The wheels of a release, installed as strangers and operators install them."""

import csv
import io
import json
import os
import subprocess
import sys
import venv
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile

import pytest
from tests.support import signer
from tests.support.signer import LOG, WITNESS

from proof import __version__

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "src"
SITE_PACKAGES = Path(pytest.__file__).parents[1]
LIMIT_S = 120


class Wheel:
    """One built file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with ZipFile(path) as archive:
            self.entries = archive.infolist()
            self.contents = {name: archive.read(name) for name in archive.namelist()}
        self.files = {name for name in self.contents if ".dist-info/" not in name}

    def described(self, name: str) -> bytes:
        """A file of its metadata."""
        (found,) = (key for key in self.contents if key.endswith(f".dist-info/{name}"))
        return self.contents[found]


class Installation:
    """A fresh environment without network, index or pip of its own."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder, with_pip=False)
        self.programs = folder / "bin"
        (self.site,) = folder.glob("lib/python*/site-packages")

    def pip(self, *arguments: str | Path) -> None:
        python = self.programs / "python"
        command = [
            sys.executable,
            "-m",
            "pip",
            "--disable-pip-version-check",
            "--python",
            str(python),
        ]
        subprocess.run(
            [*command, *arguments], check=True, capture_output=True, timeout=LIMIT_S, cwd=self.site
        )

    def install(self, *wheels: Wheel) -> None:
        self.pip(
            "install", "--no-index", "--no-deps", "--no-compile", *(wheel.path for wheel in wheels)
        )

    def lend_dependencies(self) -> None:
        """Those that this test runs with; its links to the checkout are not followed."""
        (self.site / "lent.pth").write_text(f"{SITE_PACKAGES}\n")

    def run(self, program: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        return subprocess.run(
            [self.programs / program, *arguments],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
        )


def build(target: Path, **environment: str) -> tuple[Wheel, Wheel]:
    """Verifier and server."""
    script = ROOT / "scripts" / "build_wheels.py"
    given = {key: value for key, value in os.environ.items() if key != "SOURCE_DATE_EPOCH"}
    subprocess.run(
        [sys.executable, script, target], check=True, capture_output=True, env=given | environment
    )
    server, verifier = sorted(target.iterdir())
    return Wheel(verifier), Wheel(server)


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> tuple[Wheel, Wheel]:
    return build(tmp_path_factory.mktemp("wheels"))


@pytest.fixture
def proof(tmp_path: Path) -> Path:
    """A folder with a proof and the keys of its log."""
    folder = tmp_path / "proof"
    folder.mkdir()
    (folder / "proof.json").write_text(json.dumps(signer.payload()))
    (folder / "log.key").write_text(f"{LOG.text}\n{WITNESS.text}\n")
    return folder


def sources() -> Iterator[str]:
    for path in (SOURCES / "proof").rglob("*"):
        if path.is_file() and path.suffix != ".pyc":
            yield path.relative_to(SOURCES).as_posix()


def verifies(installation: Installation, proof: Path) -> bool:
    done = installation.run("proof-verify", "proof.json", "--log-key", "log.key", folder=proof)
    return done.returncode == 0 and "existed by 2026-02-02T02:40:01Z" in done.stdout


def test_every_file_is_in_one_wheel(wheels: tuple[Wheel, Wheel]) -> None:
    verifier, server = wheels
    assert verifier.files & server.files == set()
    assert verifier.files | server.files == set(sources()) - {"proof/verify/README.md"}
    assert {name for name in verifier.files if not name.startswith("proof/verify/")} == {
        "proof/__init__.py",
        "proof/py.typed",
    }


def test_they_say_what_they_are_and_need(wheels: tuple[Wheel, Wheel]) -> None:
    for wheel, name in zip(wheels, ("proof-verify", "proof"), strict=True):
        told = message_from_bytes(wheel.described("METADATA"))
        assert (told["Name"], told["Version"]) == (name, __version__)
        assert told["License-Expression"] == "Apache-2.0"
        assert wheel.described("licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
        required = told.get_all("Requires-Dist", [])
        assert required[:1] == ([] if name == "proof-verify" else [f"proof-verify=={__version__}"])
        rows = list(csv.reader(io.StringIO(wheel.described("RECORD").decode())))
        assert {row[0] for row in rows} == wheel.contents.keys()


def test_the_same_sources_give_the_same_bytes(wheels: tuple[Wheel, Wheel], tmp_path: Path) -> None:
    again, dated = (
        build(tmp_path / "again"),
        build(tmp_path / "dated", SOURCE_DATE_EPOCH="1000000000"),
    )
    for first, second, other in zip(wheels, again, dated, strict=True):
        assert second.path.read_bytes() == first.path.read_bytes()
        assert {entry.date_time[:3] for entry in first.entries} == {(1980, 1, 1)}
        assert {entry.date_time[:3] for entry in other.entries} == {(2001, 9, 9)}
        # What a compressor writes depends on its version.
        assert {entry.compress_type for entry in first.entries} == {ZIP_STORED}
        assert other.contents == first.contents


def test_a_stranger_installs_the_verifier_alone(
    wheels: tuple[Wheel, Wheel], proof: Path, tmp_path: Path
) -> None:
    installation = Installation(tmp_path / "venv")
    installation.install(wheels[0])
    assert "usage: proof-verify" in installation.run("proof-verify", "--help", folder=proof).stdout
    assert verifies(installation, proof)
    program = "import importlib.util as u, proof.verify; print(u.find_spec('proof.main'))"
    assert installation.run("python", "-I", "-c", program, folder=proof).stdout == "None\n"


def test_both_stand_side_by_side_and_the_verifier_outlives_the_server(
    wheels: tuple[Wheel, Wheel], proof: Path, tmp_path: Path
) -> None:
    installation = Installation(tmp_path / "venv")
    installation.install(*wheels)
    alone = installation.run("proof", "--version", folder=proof)
    assert alone.returncode == 1
    assert "is missing; install Proof with its dependencies" in alone.stderr
    installation.lend_dependencies()
    told = installation.run("proof", "--version", folder=proof)
    assert (told.returncode, told.stdout) == (0, f"proof {__version__}\n"), told.stderr
    assert verifies(installation, proof)
    installation.pip("uninstall", "--yes", "proof")
    assert not (installation.programs / "proof").exists()
    assert verifies(installation, proof)
