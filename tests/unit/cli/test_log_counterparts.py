"""Our follower and another author's, aics-tlog, read each other's logs, from a plain file server."""

import json
from pathlib import Path

from tests.support.aics_log import aics_tlog, appended, audited_size, audited_sizes
from tests.support.file_server import file_server
from tests.unit.cli.conftest import Proof

ORIGIN = "aics.example/log"


def test_a_log_that_another_program_writes_is_followed_and_mirrored(
    proof: Proof, tmp_path: Path
) -> None:
    written, key = tmp_path / "written", tmp_path / "log.key"
    known = ("--log-key", str(key))
    with file_server(written) as url, file_server(tmp_path / "copy") as copy:
        size = 0
        for count in (1, 255, 44, 400):
            vkey = appended(
                written, ORIGIN, size, [f"entry {n}" for n in range(size, size + count)]
            )
            key.write_text(vkey + "\n")
            size += count
            watch = ("--state", "state", "--once", "--entries", "--json")
            found = proof("log", "monitor", url, *known, *watch)
            assert json.loads(found.stdout)["entriesHashed"] == size, found.output
            assert proof("log", "mirror", url, "copy", *known).exit_code == 0
            assert audited_sizes([copy, tmp_path / "copy"], vkey) == [size, size]
            if count > 1:
                grown = ("--old-checkpoint", tmp_path / "before", "--log-key", vkey)
                assert aics_tlog("verify-consistency", "--tiles", copy, *grown)["ok"]
            (tmp_path / "before").write_bytes((tmp_path / "copy/checkpoint").read_bytes())
        # Another history under the same key.
        other = tmp_path / "other"
        appended(other, ORIGIN, 0, [f"other {n}" for n in range(size + 1)])
        with file_server(other) as forked:
            assert proof("log", "monitor", forked, *known, *watch).exit_code == 11
            assert proof("log", "mirror", forked, "copy", *known).exit_code == 11
        assert audited_size(copy, vkey) == size
