"""Build the two wheels of a release: `proof_verify`, the verifier alone, and `proof`, all the rest.

Both fill the package `proof`, and no file is in both (docs/decisions/two-distributions.md). Each is built
by the project's own build backend, in a copy of the tree that has its files only. The same sources give the
same bytes: entries carry the date of SOURCE_DATE_EPOCH, by default the earliest a zip file can carry, and
are stored without compression, whose output varies with zlib.
"""

import argparse
import contextlib
import json
import os
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Callable
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile

from flit_core import buildapi

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "proof"
# What a stranger installs: the package's front door is with the part that can stand alone.
VERIFIER = ("__init__.py", "py.typed", "verify")
EPOCH_1980 = "315532800"
MARKER = "dependencies = [\n"
VERIFIER_PROJECT = """\
[build-system]
requires = ["flit_core>=3.11"]
build-backend = "flit_core.buildapi"

[project]
name = "proof-verify"
version = {version}
description = "Checks timestamp proofs offline: those of Proof, and OpenTimestamps files."
readme = "README.md"
license = {license}
license-files = ["LICENSE"]
requires-python = {python}

[project.scripts]
proof-verify = "proof.verify.cli:run"

[tool.flit.module]
name = "proof"
"""


def build(target: Path) -> list[Path]:
    """Write both wheels into a folder, which is made if it must be."""
    target = target.resolve()
    target.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("SOURCE_DATE_EPOCH", EPOCH_1980)
    with tempfile.TemporaryDirectory() as work:
        return [_wheel(stage, target) for stage in (_verifier(Path(work)), _server(Path(work)))]


def _verifier(work: Path) -> Path:
    project = _project()
    stage = _stage(work / "verify", lambda name: name in VERIFIER)
    shutil.move(stage / "src/proof/verify/README.md", stage / "README.md")
    text = VERIFIER_PROJECT.format(
        version=json.dumps(project["version"]),
        license=json.dumps(project["license"]),
        python=json.dumps(project["requires-python"]),
    )
    (stage / "pyproject.toml").write_text(text)
    return stage


def _server(work: Path) -> Path:
    stage = _stage(work / "server", lambda name: name not in VERIFIER)
    shutil.copy(ROOT / "README.md", stage)
    before, marker, after = (ROOT / "pyproject.toml").read_text().partition(MARKER)
    assert marker, "pyproject.toml has no dependencies to add the verifier to"
    needed = f'    "proof-verify=={_project()["version"]}",\n'
    (stage / "pyproject.toml").write_text(before + marker + needed + after)
    return stage


def _project() -> dict[str, str]:
    found: dict[str, str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return found


def _stage(stage: Path, wanted: Callable[[str], bool]) -> Path:
    """A tree with those of the package's files and folders whose name is wanted."""
    package = stage / "src" / "proof"
    package.mkdir(parents=True)
    shutil.copy(ROOT / "LICENSE", stage)
    for path in PACKAGE.iterdir():
        if wanted(path.name) and path.name != "__pycache__":
            if path.is_dir():
                shutil.copytree(path, package / path.name)
            else:
                shutil.copy(path, package)
    return stage


def _wheel(stage: Path, target: Path) -> Path:
    with contextlib.chdir(stage):
        name = buildapi.build_wheel(str(stage))
    with ZipFile(stage / name) as built, ZipFile(target / name, "w") as wheel:
        for entry in built.infolist():
            content = built.read(entry)
            entry.compress_type = ZIP_STORED
            wheel.writestr(entry, content)
    return target / name


def main() -> int:
    parser = argparse.ArgumentParser(description="Build the wheels of a release.")
    parser.add_argument(
        "target",
        nargs="?",
        type=Path,
        default=ROOT / "dist",
        help="the folder to write them to (default: dist)",
    )
    for wheel in build(parser.parse_args().target):
        print(f"{wheel}: {wheel.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
