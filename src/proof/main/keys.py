"""The key-encryption key: the operator's, or in development one of our own making."""

import os
import secrets
import stat
from pathlib import Path

from proof.config import Settings, SettingsError
from proof.core.secrets import KEY_BYTES, Vault

_MODE_PRIVATE = 0o600
_FOLDER_PRIVATE = 0o700
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def open_vault(settings: Settings) -> Vault:
    """The vault of this installation. Raises SettingsError when its key cannot be trusted."""
    if settings.key_encryption_key_file:
        return Vault([_read(Path(settings.key_encryption_key_file))])
    folder = keys_folder(settings)
    path = folder / "key-encryption-key"
    if not path.exists():
        _create(path)
    return Vault([_read(path)])


def keys_folder(settings: Settings) -> Path:
    """`<data>/keys`, private. Raises SettingsError when others can read it."""
    folder = settings.data_dir / "keys"
    folder.mkdir(parents=True, exist_ok=True, mode=_FOLDER_PRIVATE)
    require_private(folder)
    return folder


def require_private(path: Path) -> None:
    """Raises SettingsError with the remedy when anybody but the owner has rights to `path`."""
    if path.stat().st_mode & _OTHERS:
        private = _FOLDER_PRIVATE if path.is_dir() else _MODE_PRIVATE
        raise SettingsError(f"{path} can be read by others; run: chmod {private:o} {path}")


def _read(path: Path) -> bytes:
    try:
        require_private(path)
        key = bytes.fromhex(path.read_text().strip())
    except OSError as error:
        raise SettingsError(f"the key-encryption key {path}: {error.strerror}") from None
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise SettingsError(
            f"{path} must hold {KEY_BYTES} bytes as {2 * KEY_BYTES} hexadecimal digits"
        )
    return key


def _create(path: Path) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE_PRIVATE)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_bytes(KEY_BYTES).hex() + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        # A link never replaces: of two first starts at once, one key wins and both use it.
        path.hardlink_to(partial)
    except FileExistsError:
        pass
    finally:
        partial.unlink()
