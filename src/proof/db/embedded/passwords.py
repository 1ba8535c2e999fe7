"""The database passwords: one 0600 file in the key folder, and what the server stores of them."""

import base64
import hashlib
import hmac
import json
import os
import secrets
import shlex
from dataclasses import dataclass, field
from pathlib import Path

from proof.db.embedded.errors import KeysExposedError, KeysMissingError

_SALT_BYTES = 16
_ITERATIONS = 4096  # RFC 7677 section 4; more adds nothing to 256 random bits


@dataclass(frozen=True, slots=True)
class Passwords:
    """The three roles' passwords, 256 random bits each as 64 hex digits; hidden from repr."""

    superuser: str = field(repr=False)
    owner: str = field(repr=False)
    app: str = field(repr=False)


def read_passwords(file: Path) -> Passwords:
    """Return the stored passwords.

    Raises KeysMissingError when the file is absent or malformed, KeysExposedError when it or its
    folder is open to group or others.
    """
    if not file.exists():
        raise KeysMissingError(f"there is no {file}: start Proof on this folder first")
    require_private(file.parent, "700")
    require_private(file, "600")
    try:
        stored = json.loads(file.read_text())
        return Passwords(**{name: _text(stored[name]) for name in ("superuser", "owner", "app")})
    except (ValueError, KeyError, TypeError):
        pass  # the chained error would quote the file
    raise KeysMissingError(f"{file} does not hold the database passwords: restore it from a backup")


def create_passwords(file: Path) -> Passwords:
    """Make new passwords and store them durably before anything uses them.

    The folder is created with 0700 when missing. Raises KeysExposedError when it is open to group
    or others.
    """
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    require_private(file.parent, "700")
    made = {name: secrets.token_hex(32) for name in ("superuser", "owner", "app")}
    scratch = file.with_name(f".{file.name}.new")
    scratch.unlink(missing_ok=True)
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        json.dump(made, stream)
        stream.flush()
        os.fsync(stream.fileno())
    scratch.rename(file)
    sync_folder(file.parent)
    return Passwords(**made)


def require_private(path: Path, mode: str) -> None:
    """Raise KeysExposedError, naming the remedy, if group or others have any right on ``path``."""
    if path.stat().st_mode & 0o077:
        raise KeysExposedError(
            f"{path} is open to other users; nothing was started. "
            f"Close it with: chmod {mode} {shlex.quote(str(path))}"
        )


def scram_verifier(password: str, salt: bytes | None = None) -> str:
    """Return what PostgreSQL stores for ``password``, so that the password itself never travels.

    ``SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey``, the last three in base64 (RFC 5802
    section 3, RFC 7677). ``password`` must be ASCII: SASLprep is not applied.
    """
    salt = secrets.token_bytes(_SALT_BYTES) if salt is None else salt
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, _ITERATIONS)
    stored_key = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    encoded = (base64.b64encode(part).decode("ascii") for part in (salt, stored_key, server_key))
    return "SCRAM-SHA-256${}:{}${}:{}".format(_ITERATIONS, *encoded)


def sync_folder(folder: Path) -> None:
    """Make a rename in ``folder`` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError("a password is not a text")
    return value
