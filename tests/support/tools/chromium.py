"""Chromium for the tests in a browser: the machine's own, or Debian's package, fetched once.

Its headless shell is the same engine without a browser around it, which opens a page in a third of the
work; the whole browser does where the shell cannot be had.
"""

import os
import shutil
import subprocess
from pathlib import Path

from tests.support.tools.bitcoind import CACHE, locked

ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    # The pages are flat: what imitates a graphics card for them, and a process for each tab, is work for
    # nothing.
    "--disable-software-rasterizer",
    "--renderer-process-limit=1",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_PACKAGE = "chromium-headless-shell"
_SHELL = Path("usr/lib/chromium/chromium-headless-shell")
_BROWSER = Path("/usr/bin/chromium")
_APT_TIMEOUT_S = 600


class ChromiumMissingError(Exception):
    """There is no Chromium and none could be fetched."""


def install() -> None:
    """Fetch the headless shell if it is not there. Raises ChromiumMissingError when there is no browser
    either."""
    with locked(CACHE / "chromium.lock"):
        if _shell() is None:
            _fetched()


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


def _shell() -> Path | None:
    places = (Path("/"), CACHE / "chromium")
    return next((place / _SHELL for place in places if (place / _SHELL).exists()), None)


def _present() -> Path | None:
    return _shell() or (_BROWSER if _BROWSER.exists() else None)


def _fetched() -> Path:
    try:
        _install() if os.geteuid() == 0 else _unpack()
    except (OSError, subprocess.SubprocessError) as error:
        if (browser := _present()) is not None:
            return browser
        said = getattr(error, "stderr", "") or ""
        raise ChromiumMissingError(
            "the widget's tests need Chromium, and Debian's package could not be fetched; install it with"
            f" `apt-get install {_PACKAGE}` ({error}) {said}"
        ) from error
    found = _present()
    if found is None:
        raise ChromiumMissingError(
            f"Debian's {_PACKAGE} package holds no binary where it used to be"
        )
    return found


def _install() -> None:
    _run("apt-get", "update")
    _run("apt-get", "install", "-y", "--no-install-recommends", _PACKAGE)


def _unpack() -> None:
    """The package and every package it depends on that is not installed. The system's lists may be old or
    missing, and are root's to renew, so this has lists of its own."""
    folder, packages = CACHE / "chromium.new", CACHE / "chromium-packages"
    for each in (folder, packages):
        shutil.rmtree(each, ignore_errors=True)
    for name in ("lists/partial", "cache/archives/partial"):
        (packages / name).mkdir(parents=True)
    apt = (
        "apt-get",
        *("-o", f"Dir::State::Lists={packages / 'lists'}"),
        *("-o", f"Dir::Cache={packages / 'cache'}"),
        *("-o", "APT::Sandbox::User=root"),
    )
    _run(*apt, "update")
    simulated = _run(*apt, "install", "-s", "--no-install-recommends", _PACKAGE)
    names = [line.split()[1] for line in simulated.splitlines() if line.startswith("Inst ")]
    _run(*apt, "download", *names, cwd=packages)
    for package in packages.glob("*.deb"):
        _run("dpkg", "-x", str(package), str(folder))
    shutil.rmtree(packages)
    # Whole or not at all: other runs look for the binary, and a run that is stopped begins anew.
    shutil.rmtree(CACHE / "chromium", ignore_errors=True)
    folder.rename(CACHE / "chromium")


def library_path() -> dict[str, str]:
    """The environment an unpacked Chromium finds its libraries by; nothing for an installed one."""
    folder = CACHE / "chromium" / "usr" / "lib"
    if not chromium().is_relative_to(folder):
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
