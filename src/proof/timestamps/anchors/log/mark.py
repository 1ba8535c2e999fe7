"""The highest signed size, remembered outside the database.

A database restored from an older backup would otherwise let the log sign a second, different
history. What is in these files was signed; a log that no longer holds it stops signing. One lies beside the
keys, and one apart from the data folder, which is not taken back with a copy of that.
"""

import json
import os
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from proof.core.errors import ProofError

_NAME_DIGITS = 32


class LogRolledBackError(ProofError):
    """The log in the database does not continue what was signed before."""


class MarkUnwritableError(ProofError):
    """The high-water mark cannot be kept, so nothing may be signed."""


class MarkUnreadableError(ProofError):
    """The high-water mark is damaged, so nobody can tell what was signed."""


class SignedHead(NamedTuple):
    size: int
    root: bytes


class Marks(NamedTuple):
    """The folders where this machine keeps its marks; `apart` from the data folder, if there is a place."""

    beside_keys: Path
    apart: Path | None = None

    def of(self, label: str, verifier_key: str) -> "list[HighWaterMark]":
        """Those of a log. Apart they go by its key, since all data folders of this user share them."""
        found = [HighWaterMark(self.beside_keys, label)]
        if self.apart is not None:
            name = sha256(verifier_key.encode()).hexdigest()[:_NAME_DIGITS]
            found.append(HighWaterMark(self.apart, name))
        return found


class HighWaterMark:
    """One file a log: the size and root that were signed last."""

    def __init__(self, folder: Path, label: str) -> None:
        self.path = folder / f"{label}-log.json"

    def read(self) -> SignedHead:
        """What was signed last; size 0 when nothing was. Raises MarkUnreadableError."""
        try:
            stored = json.loads(self.path.read_bytes())
            return SignedHead(int(stored["size"]), bytes.fromhex(stored["root"]))
        except FileNotFoundError:
            return SignedHead(0, b"")
        except (OSError, ValueError, KeyError, TypeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is damaged"
            raise MarkUnreadableError(
                f"{self.path}, which says what the log signed last, cannot be read: {reason}. Nothing is"
                " signed. See that the log holds the newest proof or checkpoint that others have of it"
                " (`proof log monitor --against`), then remove the file: it is written anew"
            ) from None

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
