"""The key-encryption keys: the operator's, or in development one of our own making."""

import os
import secrets
import shlex
import signal
import stat
import subprocess
from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from proof.config import Settings, SettingsError
from proof.core.clock import SystemClock
from proof.core.secrets import KEY_BYTES, SealError, Vault, parse_key
from proof.db import Connection
from proof.partners.keys.session_signing import NoSigningKeyError, open_ring
from proof.partners.keys.webhook_secrets import webhook_secrets
from proof.partners.types import Environment

KEY_VARIABLE = "PROOF_KEY_ENCRYPTION_KEY"

# The development key's file, in the data folder.
GENERATED_KEY = Path("keys") / "key-encryption-key"
_MODE_PRIVATE = 0o600
_FOLDER_PRIVATE = 0o700
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_COMMAND_S = 30.0


@contextmanager
def usable_folder(folder: Path) -> Iterator[None]:
    """Turn an OSError within the block into a SettingsError that names the folder and the remedy."""
    try:
        yield
    except OSError as error:
        reason = error.strerror
        if isinstance(error, FileExistsError | NotADirectoryError):
            reason = "it is, or lies in, a file"
        raise SettingsError(
            f"the data folder {folder} cannot be used: {reason};"
            " name another with --data or PROOF_DATA_DIR"
        ) from None


def forget_key_variable(environment: MutableMapping[str, str]) -> None:
    """Take the key out of the environment, once the settings hold it: other programs that are started
    from here (PostgreSQL, the operator's key command) inherit nothing of it."""
    environment.pop(KEY_VARIABLE, None)


def key_variable(settings: Settings) -> dict[str, str]:
    """What a process of ours must find in its environment to have the same key."""
    return {KEY_VARIABLE: settings.key_encryption_key} if settings.key_encryption_key else {}


def open_vault(settings: Settings) -> Vault:
    """The vault of this installation: the present key seals, the previous ones open too.

    Raises SettingsError, which never holds a key, when one cannot be had or trusted.
    """
    previous = [_read(Path(name)) for name in settings.key_encryption_key_previous_files]
    return Vault([_present_key(settings), *previous])


async def require_ring(connection: Connection, vault: Vault) -> bool:
    """Whether there are signing keys yet. Raises SettingsError when the vault does not open them."""
    now = SystemClock().now()
    try:
        for environment in Environment:
            await open_ring(connection, vault, environment, now)
    except NoSigningKeyError:
        return False
    except SealError as error:
        raise SettingsError(
            f"{error.message}; give the key that sealed it, in PROOF_KEY_ENCRYPTION_KEY_FILE or among"
            " PROOF_KEY_ENCRYPTION_KEY_PREVIOUS_FILES"
        ) from None
    return True


def _present_key(settings: Settings) -> bytes:
    generated = settings.data_dir / GENERATED_KEY
    if settings.key_encryption_key_file:
        key = _read(Path(settings.key_encryption_key_file))
    elif settings.key_encryption_key:
        key = _parse(settings.key_encryption_key, f"the variable {KEY_VARIABLE}")
    elif settings.key_encryption_key_command:
        key = _output_of(settings.key_encryption_key_command)
    else:
        return _generated(settings)
    if settings.mode == "live" and generated.exists() and _read(generated) == key:
        raise SettingsError(
            "mode live refuses to start: the key-encryption key is the one development made;"
            f" make your own, name {generated} in key_encryption_key_previous_files,"
            " and run `proof secrets rewrap`"
        )
    return key


def _generated(settings: Settings) -> bytes:
    path = keys_folder(settings) / "key-encryption-key"
    if not path.exists():
        _create(path)
    return _read(path)


def keys_folder(settings: Settings) -> Path:
    """`<data>/keys`, private. Raises SettingsError when others can read it or it cannot be made."""
    folder = settings.data_dir / "keys"
    with usable_folder(settings.data_dir):
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
        text = path.read_text()
    except OSError as error:
        raise SettingsError(f"the key-encryption key {path}: {error.strerror}") from None
    except ValueError:
        text = ""
    return _parse(text, str(path))


def _parse(text: str, source: str) -> bytes:
    try:
        return parse_key(text)
    except ValueError:
        raise SettingsError(
            f"{source} must hold {KEY_BYTES} bytes as {2 * KEY_BYTES} hexadecimal digits or base64"
        ) from None


@cache
def _output_of(command: str) -> bytes:
    """The key that a command prints, which is run once a process: somebody may have to touch a device."""
    try:
        arguments = shlex.split(command)
        # A session of its own, so that whatever it starts ends with it.
        process = subprocess.Popen(
            arguments,
            env={
                name: value for name, value in os.environ.items() if not name.startswith("PROOF_")
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except (OSError, ValueError, IndexError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it names no program"
        raise SettingsError(f"key_encryption_key_command cannot be run: {reason}") from None
    try:
        output, _ = process.communicate(timeout=_COMMAND_S)
    except subprocess.TimeoutExpired:
        raise SettingsError(
            f"key_encryption_key_command did not end within {_COMMAND_S:g} s"
        ) from None
    finally:
        _end(process)
    if process.returncode != 0:
        raise SettingsError(f"key_encryption_key_command ended with {process.returncode}")
    text = output.decode("ascii", "replace")
    return _parse(text, "the output of key_encryption_key_command")


def _end(process: "subprocess.Popen[bytes]") -> None:
    with process:
        if process.returncode is None:
            # Nobody has waited for it, so the number of its group is still its own.
            os.killpg(process.pid, signal.SIGKILL)


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


class _SecretRing:
    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    async def __call__(
        self, connection: Connection, partner_environment_id: int
    ) -> Sequence[bytes]:
        return await webhook_secrets(connection, self._vault, partner_environment_id)


def secret_ring(vault: Vault) -> _SecretRing:
    """The secrets that an environment's webhooks are signed with, opened."""
    return _SecretRing(vault)
