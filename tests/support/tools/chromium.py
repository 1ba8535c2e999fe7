"""Chromium for the tests in a browser: the machine's own, or Debian's package, fetched once."""

import os
import shutil
import subprocess
from pathlib import Path

from tests.support.tools.bitcoind import CACHE, locked

SYSTEM = Path("/usr/bin/chromium")
ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_UNPACKED = Path("usr/lib/chromium/chromium")
_APT_TIMEOUT_S = 600


class ChromiumMissingError(Exception):
    """There is no Chromium and none could be fetched."""


def chromium() -> Path:
    """The binary. Raises ChromiumMissingError with what to do.

    Root installs Debian's package; anybody else unpacks it with all it needs below `.cache/tools`. Several
    test runs may ask at once.
    """
    found = _present()
    if found is None:
        with locked(CACHE / "chromium.lock"):
            found = _present() or _fetched()
    return found


def _present() -> Path | None:
    unpacked = CACHE / "chromium" / _UNPACKED
    if SYSTEM.exists():
        return SYSTEM
    return unpacked if unpacked.exists() else None


def _fetched() -> Path:
    try:
        _install() if os.geteuid() == 0 else _unpack()
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", "") or ""
        raise ChromiumMissingError(
            "the widget's tests need Chromium, and Debian's package could not be fetched; install it with"
            f" `apt-get install chromium` ({error}) {said}"
        ) from error
    found = _present()
    if found is None:
        raise ChromiumMissingError("Debian's chromium package holds no binary where it used to be")
    return found


def _install() -> None:
    _run("apt-get", "update")
    _run("apt-get", "install", "-y", "--no-install-recommends", "chromium")


def _unpack() -> None:
    """The package and every package it depends on that is not installed."""
    folder = CACHE / "chromium"
    packages = CACHE / "chromium-packages"
    shutil.rmtree(packages, ignore_errors=True)
    packages.mkdir(parents=True)
    simulated = _run("apt-get", "install", "-s", "--no-install-recommends", "chromium")
    names = [line.split()[1] for line in simulated.splitlines() if line.startswith("Inst ")]
    _run("apt-get", "download", *names, cwd=packages)
    for package in packages.glob("*.deb"):
        _run("dpkg", "-x", str(package), str(folder))
    shutil.rmtree(packages)


def library_path() -> dict[str, str]:
    """The environment an unpacked Chromium finds its libraries by; nothing for an installed one."""
    folder = CACHE / "chromium" / "usr" / "lib"
    if SYSTEM.exists() or not folder.exists():
        return {}
    found = {str(library.parent) for library in folder.rglob("*.so*")}
    return {"LD_LIBRARY_PATH": ":".join(sorted(found))}


def _run(*command: str, cwd: Path | None = None) -> str:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(
        command,
        cwd=cwd,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
        timeout=_APT_TIMEOUT_S,
    )
    return done.stdout
