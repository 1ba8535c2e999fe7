"""Where the marks of this machine lie: beside the keys, and apart from the data folder."""

import os
from collections.abc import Mapping
from pathlib import Path

import structlog

from proof.config import Settings
from proof.main.parts.keys import keys_folder
from proof.timestamps.anchors.log.mark import Marks

_PRIVATE = 0o700

_log = structlog.get_logger()


def state_folder(environment: Mapping[str, str]) -> Path | None:
    """Proof's own folder in the state directory of this user; None when nothing says where that is.

    Sources: systemd.exec (STATE_DIRECTORY, a list), XDG Base Directory Specification (XDG_STATE_HOME).
    """
    if own := environment.get("STATE_DIRECTORY", "").partition(":")[0]:
        return Path(own)
    if common := environment.get("XDG_STATE_HOME"):
        return Path(common, "proof")
    home = environment.get("HOME")
    return Path(home, ".local", "state", "proof") if home else None


def marks(settings: Settings, environment: Mapping[str, str]) -> Marks:
    """Both places, or the one beside the keys, which the log then says."""
    beside_keys, apart = keys_folder(settings), state_folder(environment)
    if apart is None:
        said = "this user has no home; set XDG_STATE_HOME or STATE_DIRECTORY"
    else:
        folder = apart / "logs"
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=_PRIVATE)
        except OSError as error:
            said = f"{folder}: {error.strerror}"
        else:
            if os.access(folder, os.W_OK | os.X_OK):
                return Marks(beside_keys, folder)
            said = f"{folder} cannot be written"
    _log.warning(
        "log.one_mark",
        reason=said,
        meaning="a data folder that is copied back whole takes its mark back too",
    )
    return Marks(beside_keys)
