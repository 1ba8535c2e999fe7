"""The other author's follower and writer of logs, aics-tlog, unmodified."""

import json
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, cast

from tests.support.tools import aics

_AUDIT = """
import json, sys
from aics_tlog.checkpoint import verify_checkpoint
from aics_tlog.note import parse_note, parse_vkey
from aics_tlog.remote import HttpTileReader, tile_source_url
from aics_tlog.verified import audit_tiles
for tiles in sys.argv[2:]:
    reader = HttpTileReader(tile_source_url(tiles), proxies={})
    found = verify_checkpoint(parse_note(reader.read_checkpoint()), parse_vkey(sys.argv[1]), [], 0)
    assert found.ok, (tiles, found.error)
    audit_tiles(reader, found.size, found.root, entries=True)
    print(found.size)
"""
_APPEND = """
import json, sys
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from aics_tlog.checkpoint import Checkpoint, sign_checkpoint
from aics_tlog.note import format_vkey, vkey_from_ed25519
from aics_tlog.writer import DirectoryTileStore, IncrementalTileWriter
folder, origin, size, entries = sys.argv[1], sys.argv[2], int(sys.argv[3]), json.load(sys.stdin)
store, key = DirectoryTileStore(folder), Ed25519PrivateKey.from_private_bytes(bytes(32))
writer = IncrementalTileWriter(store, size)
done = writer.append(entry.encode() for entry in entries)
store.write_checkpoint(sign_checkpoint(Checkpoint(origin, done.size, done.root), key, origin).to_bytes())
print(format_vkey(vkey_from_ed25519(origin, key.public_key())))
"""


def aics_tlog(*arguments: object) -> dict[str, Any]:
    """What a command of it reports."""
    return cast("dict[str, Any]", json.loads(_run("-m", "aics_tlog", *arguments)))


def audited_size(tiles: object, vkey: str) -> int:
    """How many entries a log has, at a URL prefix or in a folder; it checked every tile and entry."""
    (size,) = audited_sizes([tiles], vkey)
    return size


def audited_sizes(places: Sequence[object], vkey: str) -> list[int]:
    """The same of one log in several places, at the price of one process."""
    return [int(line) for line in _run("-c", _AUDIT, vkey, *places).splitlines()]


def appended(folder: Path, origin: str, size: int, entries: Iterable[str]) -> str:
    """The vkey of the log in the folder, to whose `size` entries these were added."""
    return _run("-c", _APPEND, folder, origin, size, given=json.dumps(list(entries))).strip()


def _run(*arguments: object, given: str = "") -> str:
    python, environment = aics.python()
    done = subprocess.run(
        [*python, *map(str, arguments)],
        env=environment,
        input=given,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
