"""The highest signed size, remembered outside the database.

A database restored from an older backup would otherwise let the log sign a second, different
history. What is in this file was signed; a log that no longer holds it stops signing.
"""

import json
import os
from pathlib import Path
from typing import NamedTuple

from proof.core.errors import ProofError


class LogRolledBackError(ProofError):
    """The log in the database does not continue what was signed before."""


class MarkUnwritableError(ProofError):
    """The high-water mark cannot be kept, so nothing may be signed."""


class SignedHead(NamedTuple):
    size: int
    root: bytes


class HighWaterMark:
    """One file a log: the size and root that were signed last."""

    def __init__(self, folder: Path, label: str) -> None:
        self.path = folder / f"{label}-log.json"

    def read(self) -> SignedHead:
        """What was signed last; size 0 when nothing was."""
        try:
            stored = json.loads(self.path.read_text())
        except FileNotFoundError:
            return SignedHead(0, b"")
        return SignedHead(int(stored["size"]), bytes.fromhex(stored["root"]))

    def write(self, signed: SignedHead) -> None:
        """Replace the file; on disk when this returns. Raises MarkUnwritableError."""
        try:
            self._replace(signed)
        except OSError as error:
            raise MarkUnwritableError(f"{self.path} cannot be written: {error.strerror}") from error

    def _replace(self, signed: SignedHead) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial = self.path.with_suffix(".partial")
        private = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(private, "w") as file:
            json.dump({"size": signed.size, "root": signed.root.hex()}, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self.path)
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
