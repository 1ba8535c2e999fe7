"""A real Anvil: the one on PATH, or else the binary of its npm package, under `.cache/tools`."""

import base64
import hashlib
import os
import shutil
import tarfile
import urllib.request
from pathlib import Path

from tests.support.tools.bitcoind import CACHE, locked

_VERSION = "1.7.1"
_REGISTRY = "https://registry.npmjs.org"
_PACKAGE = "anvil-linux-amd64"
_SHA512 = "+XmShybEaxfCrr0OUUZwYEy2OnYZt5pHH9TzBtLv3+VrK0O/ANuNSVEahqNhKHlgX7GRJ59383ofNhxkRWIYTg=="


def command() -> list[str]:
    """How Anvil is started here; it is installed first if it must be."""
    found = shutil.which("anvil")
    if found:
        return [found]
    program = CACHE / f"anvil-{_VERSION}" / "package" / "bin" / "anvil"
    with locked(CACHE / "anvil.lock"):
        if not program.exists():
            _install(program.parents[2])
    return [str(program)]


def _install(folder: Path) -> None:
    registry = os.environ.get("NPM_CONFIG_REGISTRY", _REGISTRY).rstrip("/")
    url = f"{registry}/@foundry-rs/{_PACKAGE}/-/{_PACKAGE}-{_VERSION}.tgz"
    with urllib.request.urlopen(url, timeout=120) as answer:
        archive = answer.read()
    if base64.b64encode(hashlib.sha512(archive).digest()).decode() != _SHA512:
        raise RuntimeError(f"{url} is not the archive it should be; install anvil on PATH instead")
    unpacking = folder.with_suffix(".new")
    shutil.rmtree(unpacking, ignore_errors=True)
    unpacking.mkdir(parents=True)
    packed = unpacking / "anvil.tgz"
    packed.write_bytes(archive)
    with tarfile.open(packed) as opened:
        opened.extractall(unpacking, filter="data")
    packed.unlink()
    unpacking.rename(folder)
