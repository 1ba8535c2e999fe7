"""Other programs for witnessed logs: the packages aics-tlog and aics-witness, under `.cache/tools`.

They ask for Python 3.12 and run on 3.11. Their one dependency, `cryptography`, is the environment's own.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.tools.bitcoind import CACHE, locked

TLOG = "0.2.1"
WITNESS = "0.1.0"

_TLOG_SHA256 = "e8cd2be003001576353bbd1a139b68252baf85df8e5d356c5ff26f3c417efdfc"
_WITNESS_SHA256 = "cd3f5acd2e79a8e29411a5a810b65ad7c5709d468cf1e889533bb0d5e5fe8400"
_INSTALL_S = 300


def python() -> tuple[list[str], dict[str, str]]:
    """How an interpreter is started that can import `aics_tlog` and `aics_witness`, and the environment
    it needs; they are installed first if they must be."""
    folder = CACHE / f"aics-{TLOG}-{WITNESS}"
    with locked(CACHE / "aics.lock"):
        if not folder.exists():
            _install(folder)
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(folder)}
    return [sys.executable, "-X", "utf8"], environment


def _install(folder: Path) -> None:
    unpacking = folder.with_suffix(".new")
    shutil.rmtree(unpacking, ignore_errors=True)
    unpacking.mkdir(parents=True)
    wanted = unpacking / "requirements.txt"
    wanted.write_text(
        f"aics-tlog=={TLOG} --hash=sha256:{_TLOG_SHA256}\n"
        f"aics-witness=={WITNESS} --hash=sha256:{_WITNESS_SHA256}\n"
    )
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes"]
    pip += ["--only-binary=:all:", "--ignore-requires-python"]
    done = subprocess.run(
        [*pip, "--target", str(unpacking), "-r", str(wanted)],
        capture_output=True,
        text=True,
        timeout=_INSTALL_S,
    )
    if done.returncode:
        raise RuntimeError(f"pip could not install aics-witness:\n{done.stderr[-2000:]}")
    unpacking.rename(folder)
