"""Where the marks of a machine lie: in two places wherever there are two."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from proof.config import load_settings
from proof.main.parts.marks import marks, state_folder
from proof.timestamps.anchors.log.mark import Marks, SignedHead


@pytest.mark.parametrize(
    ("environment", "folder"),
    [
        (
            {"STATE_DIRECTORY": "/var/lib/proof:/b", "XDG_STATE_HOME": "/s", "HOME": "/h"},
            "/var/lib/proof",
        ),
        ({"XDG_STATE_HOME": "/s", "HOME": "/h"}, "/s/proof"),
        ({"STATE_DIRECTORY": "", "HOME": "/h"}, "/h/.local/state/proof"),
        ({}, None),
    ],
)
def test_the_state_directory_is_that_of_the_service_or_of_the_user(
    environment: dict[str, str], folder: str | None
) -> None:
    assert state_folder(environment) == (None if folder is None else Path(folder))


def test_the_mark_apart_goes_by_the_logs_key(tmp_path: Path) -> None:
    settings = load_settings({}, data_dir=tmp_path / "data")
    found = marks(settings, {"XDG_STATE_HOME": str(tmp_path / "state")})
    beside, apart = found.of("production", "log.example+1+AAAA")
    assert beside.path == tmp_path / "data" / "keys" / "production-log.json"
    assert apart.path.parent == tmp_path / "state" / "proof" / "logs"
    assert apart.path.parent.stat().st_mode & 0o077 == 0
    apart.write(SignedHead(7, bytes(32)))
    # Another data folder of this user with the same log finds it; another log does not.
    copied = Marks(tmp_path / "copy", found.apart)
    assert copied.of("sandbox", "log.example+1+AAAA")[1].read().size == 7
    assert copied.of("production", "log.example+1+BBBB")[1].read().size == 0


@pytest.mark.parametrize("home", [None, "a file", "a file/below"])
def test_without_a_place_apart_the_one_beside_the_keys_is_kept_and_the_log_says_so(
    tmp_path: Path, home: str | None
) -> None:
    (tmp_path / "a file").touch()
    settings = load_settings({}, data_dir=tmp_path / "data")
    environment = {} if home is None else {"HOME": str(tmp_path / home)}
    with capture_logs() as said:
        found = marks(settings, environment)
    assert found == Marks(tmp_path / "data" / "keys")
    (entry,) = said
    assert entry["event"] == "log.one_mark"
    assert entry["log_level"] == "warning"
