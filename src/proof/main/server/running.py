"""The Proof that `proof serve` runs at an address, as the system shows its processes.

Linux shows the environment a process was started with to its own user and to root.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from proof.config import Settings

_PROCESSES = Path("/proc")
_MARK = b"PROOF_SUPERVISOR_PID="


def another(settings: Settings) -> str:
    """In words, that what serves the address of these settings has other data, and how to reach it; empty
    when it has the same, or nothing of ours serves there."""
    for environment in _serving(settings.host, settings.port):
        theirs, ours = _place(environment), _own_place(settings)
        if theirs == ours:
            return ""
        name, value = theirs
        reach = f"PROOF_DATA_DIR={value}" if name == "data folder" else "its PROOF_DATABASE_URL"
        option = f"--data {value} or " if name == "data folder" and ours[0] == name else ""
        return (
            f"the Proof that serves {settings.host} port {settings.port} has the {name} {value}, and this"
            f" command uses the {ours[0]} {ours[1]}; to reach that one, give {option}{reach}"
        )
    return ""


def _serving(host: str, port: int) -> Iterator[Mapping[str, str]]:
    for path in _PROCESSES.glob("[0-9]*/environ"):
        try:
            raw = path.read_bytes()
        except OSError:
            # The process ended, or belongs to another user.
            continue
        if _MARK not in raw:
            continue
        found = dict(
            part.split("=", 1) for part in raw.decode("utf-8", "replace").split("\0") if "=" in part
        )
        if (found.get("PROOF_HOST"), found.get("PROOF_PORT")) == (host, str(port)):
            yield found


def _place(environment: Mapping[str, str]) -> tuple[str, str]:
    if url := environment.get("PROOF_DATABASE_URL"):
        return "database", _without_login(url)
    return "data folder", environment.get("PROOF_DATA_DIR", "")


def _own_place(settings: Settings) -> tuple[str, str]:
    if settings.database_url:
        return "database", _without_login(settings.database_url)
    return "data folder", str(settings.data_dir)


def _without_login(url: str) -> str:
    """Host and name of a database: what tells it apart, and no secret."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "that its URL does not name"
    return f"{parts.netloc.rpartition('@')[2]}{parts.path}"
