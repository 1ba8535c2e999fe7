"""Files that are there whole or not at all."""

import os
import secrets
from contextlib import suppress
from pathlib import Path


def write_atomically(path: Path, content: bytes) -> None:
    """Put `content` at `path`, whole or not at all. Raises OSError."""
    temporary = path.with_name(f".proof-{secrets.token_hex(8)}.tmp")
    try:
        # The caller's umask decides who may read it, as with any file.
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
