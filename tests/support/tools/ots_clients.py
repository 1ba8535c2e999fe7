"""Other programs for OpenTimestamps: the official JavaScript client, and otskit, under `.cache/tools`.

The JavaScript client is installed from the lock file beside this module, without its dependency `fs`: that
package is empty, and Node has a module of its own by that name.
"""

import base64
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import urllib.request
from pathlib import Path

from tests.support.tools.bitcoind import CACHE, locked

JAVASCRIPT = "0.4.9"
OTSKIT = "0.1.0"

_LOCKED = Path(__file__).parent / "opentimestamps"
_OTSKIT_SHA256 = "2fb9e4f03ed5c0560b20b740d625d8bede24fd6bc06f0098ac7f765f5ca95999"
_NPM = "10.9.2"
_NPM_SHA512 = (
    "iriPEPIkoMYUy3F6f3wwSZAU93E0Eg6cHwIR6jzzOXWSy+SD/rOODEs74cVONHKSx2obXtuUoyidVEhISrisgQ=="
)
_REGISTRY = "https://registry.npmjs.org"
_INSTALL_S = 300


def javascript() -> list[str]:
    """How the JavaScript client is started; it is installed first if it must be."""
    folder = CACHE / f"opentimestamps-{JAVASCRIPT}"
    with locked(CACHE / "opentimestamps.lock"):
        if not folder.exists():
            _install_javascript(folder)
    return [_node(), str(folder / "node_modules" / "opentimestamps" / "ots-cli.js")]


def otskit() -> tuple[list[str], dict[str, str]]:
    """How otskit is started, and the environment it needs; it is installed first if it must be."""
    folder = CACHE / f"otskit-{OTSKIT}"
    with locked(CACHE / "otskit.lock"):
        if not folder.exists():
            _install_otskit(folder)
    return [sys.executable, "-m", "otskit"], {"PYTHONPATH": str(folder)}


def _install_javascript(folder: Path) -> None:
    unpacking = folder.with_suffix(".new")
    shutil.rmtree(unpacking, ignore_errors=True)
    shutil.copytree(_LOCKED, unpacking)
    _run([*_npm(), "ci", "--ignore-scripts", "--no-audit", "--no-fund"], unpacking)
    unpacking.rename(folder)


def _install_otskit(folder: Path) -> None:
    unpacking = folder.with_suffix(".new")
    shutil.rmtree(unpacking, ignore_errors=True)
    unpacking.mkdir(parents=True)
    wanted = unpacking / "requirements.txt"
    wanted.write_text(f"otskit=={OTSKIT} --hash=sha256:{_OTSKIT_SHA256}\n")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes"]
    _run([*pip, "--target", str(unpacking), "-r", str(wanted)], unpacking)
    unpacking.rename(folder)


def _node() -> str:
    """The one on PATH, or else the one that Playwright brings."""
    found = shutil.which("node")
    if found:
        return found
    import playwright

    return str(Path(playwright.__file__).parent / "driver" / "node")


def _npm() -> list[str]:
    """The one on PATH, or else the registry's own package of it."""
    found = shutil.which("npm")
    if found:
        return [found]
    folder = CACHE / f"npm-{_NPM}"
    if not folder.exists():
        _unpack_npm(folder)
    return [_node(), str(folder / "package" / "bin" / "npm-cli.js")]


def _unpack_npm(folder: Path) -> None:
    registry = os.environ.get("NPM_CONFIG_REGISTRY", _REGISTRY).rstrip("/")
    url = f"{registry}/npm/-/npm-{_NPM}.tgz"
    with urllib.request.urlopen(url, timeout=120) as answer:
        archive = answer.read()
    if base64.b64encode(hashlib.sha512(archive).digest()).decode() != _NPM_SHA512:
        raise RuntimeError(f"{url} is not the archive it should be; install npm on PATH instead")
    unpacking = folder.with_suffix(".new")
    shutil.rmtree(unpacking, ignore_errors=True)
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        for member in opened.getmembers():
            if member.isfile() and (content := opened.extractfile(member)):
                target = unpacking / member.name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content.read())
    unpacking.rename(folder)


def _run(arguments: list[str], folder: Path) -> None:
    done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, timeout=_INSTALL_S)
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments[:3])} failed:\n{done.stderr[-2000:]}")
