"""A real Anvil: the one on PATH, or else the binary of its npm package, under `.cache/tools`."""

import base64
import hashlib
import io
import os
import shutil
import tarfile
import urllib.request
from pathlib import Path, PurePosixPath

from tests.support.tools.bitcoind import CACHE, locked

_VERSION = "1.7.1"
_REGISTRY = "https://registry.npmjs.org"
_PACKAGE = "anvil-linux-amd64"
_PROGRAM = PurePosixPath("package/bin/anvil")
_SHA512 = "+XmShybEaxfCrr0OUUZwYEy2OnYZt5pHH9TzBtLv3+VrK0O/ANuNSVEahqNhKHlgX7GRJ59383ofNhxkRWIYTg=="


def command() -> list[str]:
    """How Anvil is started here; it is installed first if it must be."""
    found = shutil.which("anvil")
    if found:
        return [found]
    folder = CACHE / f"anvil-{_VERSION}"
    with locked(CACHE / "anvil.lock"):
        if not (folder / _PROGRAM).exists():
            _install(folder)
    return [str(folder / _PROGRAM)]


def _install(folder: Path) -> None:
    registry = os.environ.get("NPM_CONFIG_REGISTRY", _REGISTRY).rstrip("/")
    url = f"{registry}/@foundry-rs/{_PACKAGE}/-/{_PACKAGE}-{_VERSION}.tgz"
    with urllib.request.urlopen(url, timeout=120) as answer:
        archive = answer.read()
    if base64.b64encode(hashlib.sha512(archive).digest()).decode() != _SHA512:
        raise RuntimeError(f"{url} is not the archive it should be; install anvil on PATH instead")
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        program = opened.extractfile(str(_PROGRAM))
        assert program is not None
        unpacking = folder.with_suffix(".new")
        shutil.rmtree(unpacking, ignore_errors=True)
        (unpacking / _PROGRAM.parent).mkdir(parents=True)
        (unpacking / _PROGRAM).write_bytes(program.read())
    (unpacking / _PROGRAM).chmod(0o755)
    unpacking.rename(folder)
