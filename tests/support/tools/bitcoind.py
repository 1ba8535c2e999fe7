"""A real bitcoind: the one on PATH, or else one that is installed under the checkout's `.cache/tools`.

Debian's package `bitcoin-knots` exists in sid only, so it is unpacked beside the libraries it was built
with and started through their own dynamic linker; nothing is installed into the system.
"""

import fcntl
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CACHE = Path(__file__).parents[3] / ".cache" / "tools"
_MIRROR = "http://deb.debian.org/debian"
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_PACKAGE = "bitcoin-knots"
_INSTALL_S = 300
_SOURCES = ("/etc/apt/sources.list", "/etc/apt/sources.list.d")
_ONLY_DEPENDS = [
    f"--no-{kind}"
    for kind in ("recommends", "suggests", "conflicts", "breaks", "replaces", "enhances")
]


def command() -> list[str]:
    """How bitcoind is started here; it is installed first if it must be."""
    found = shutil.which("bitcoind")
    if found:
        return [found]
    folder = CACHE / "bitcoind"
    with locked(CACHE / "bitcoind.lock"):
        if not (folder / "complete").exists():
            _install(folder)
    root = folder / "root"
    (linker,) = root.glob("usr/lib*/ld-linux-*.so.*")
    libraries = ":".join(str(path) for path in root.glob("usr/lib/*-linux-gnu"))
    (program,) = root.glob("usr/bin/bitcoind")
    return [str(linker), "--library-path", libraries, str(program)]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Two test runs install one after the other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _install(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("lists/partial", "cache/archives/partial", "packages", "root"):
        (folder / name).mkdir(parents=True)
    (folder / "sources.list").write_text(f"deb [signed-by={_KEYRING}] {_mirror()} sid main\n")
    options = [
        f"Dir::Etc::SourceList={folder / 'sources.list'}",
        "Dir::Etc::SourceParts=/dev/null",
        f"Dir::State::Lists={folder / 'lists'}",
        f"Dir::Cache={folder / 'cache'}",
        "APT::Sandbox::User=root",
    ]
    apt = [word for option in options for word in ("-o", option)]
    _run(["apt-get", *apt, "update"], folder)
    names = _libraries(_run(["apt-cache", *apt, "depends", "--recurse", *_ONLY_DEPENDS, _PACKAGE]))
    _run(["apt-get", *apt, "download", _PACKAGE, *names], folder / "packages")
    for package in sorted((folder / "packages").glob("*.deb")):
        _run(["dpkg", "-x", str(package), str(folder / "root")])
    for name in ("lists", "cache", "packages"):
        shutil.rmtree(folder / name)
    (folder / "complete").touch()


def _libraries(tree: str) -> list[str]:
    """The libraries among what a package depends on, and theirs; what only sets up a system is not
    followed."""
    needs: dict[str, list[str]] = {}
    for line in tree.splitlines():
        if not line.startswith(" "):
            needs[current := line.strip()] = []
        elif match := re.fullmatch(r"\s*\|?(?:Pre)?Depends: (lib[^<>\s]+)", line):
            needs[current].append(match[1])
    found: set[str] = set()
    pending = [_PACKAGE]
    while pending:
        new = set(needs.get(pending.pop(), ())) - found
        found |= new
        pending += new
    return sorted(found)


def _mirror() -> str:
    """The mirror this machine uses."""
    files = [Path(_SOURCES[0]), *Path(_SOURCES[1]).glob("*")]
    for file in files:
        if file.is_file():
            text = file.read_text(errors="replace")
            match = re.search(r"^(?:URIs:|deb)\s.*?(https?://\S+/debian)/?(?:\s|$)", text, re.M)
            if match:
                return match[1]
    return _MIRROR


def _run(arguments: list[str], folder: Path | None = None) -> str:
    done = subprocess.run(
        arguments,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=_INSTALL_S,
        env={**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"},
    )
    if done.returncode:
        raise RuntimeError(
            f"{' '.join(arguments[:1])} for bitcoind ended with {done.returncode}; install bitcoind"
            f" on PATH instead:\n{done.stderr[-2000:]}"
        )
    return done.stdout
