"""The time-stamping authority of this installation."""

from pathlib import Path

from proof.config import Settings, SettingsError
from proof.core.clock import SystemClock
from proof.main.parts.keys import keys_folder, require_private
from proof.timestamps.tsa.authority import Authority, AuthorityError, PolicyError, load_authority
from proof.timestamps.tsa.clock_watch import ClockWatch
from proof.timestamps.tsa.development import generate
from proof.timestamps.tsa.service import TimeStampingAuthority
from proof.timestamps.tsa.token import TokenIssuer


def prepare_tsa(settings: Settings) -> None:
    """Make development's certificates at the first start. Raises SettingsError for files that cannot be
    used, so that nothing starts which would refuse every token."""
    if not settings.tsa_enabled:
        return
    chain, key = _files(settings)
    if not settings.tsa_certificate_file and not chain.exists():
        keys_folder(settings)
        made = generate(SystemClock().now())
        key.touch(0o600)
        key.write_bytes(made.key)
        # The chain is what says that both are there, so it appears whole; all in this folder is private.
        partial = chain.with_suffix(".new")
        partial.touch(0o600)
        partial.write_bytes(made.chain)
        partial.replace(chain)
    _authority(settings)


def require_tsa(settings: Settings) -> None:
    """Raises SettingsError for files that cannot be used. Makes none."""
    chain, _ = _files(settings)
    if settings.tsa_certificate_file or chain.exists():
        _authority(settings)


def time_stamping_authority(settings: Settings) -> TimeStampingAuthority | None:
    """The authority, if the settings turn it on. Raises SettingsError."""
    if not settings.tsa_enabled:
        return None
    watch = ClockWatch(settings.tsa_accuracy_ms, synchronised=settings.mode == "live")
    return TimeStampingAuthority(TokenIssuer(_authority(settings)), SystemClock(), watch)


def _files(settings: Settings) -> tuple[Path, Path]:
    if settings.tsa_certificate_file:
        return Path(settings.tsa_certificate_file), Path(settings.tsa_key_file)
    folder = settings.data_dir / "keys"
    return folder / "tsa-chain.pem", folder / "tsa-key.pem"


def _authority(settings: Settings) -> Authority:
    chain, key = _files(settings)
    try:
        require_private(key)
        return load_authority(
            chain.read_bytes(), key.read_bytes(), settings.tsa_policy, settings.tsa_accuracy_ms
        )
    except OSError as error:
        raise SettingsError(
            f"the time-stamping files: {error.filename}: {error.strerror}"
        ) from None
    except PolicyError as error:
        raise SettingsError(f"setting tsa_policy: {error.message}") from None
    except AuthorityError as error:
        raise SettingsError(f"setting tsa_certificate_file: {error.message}") from None
