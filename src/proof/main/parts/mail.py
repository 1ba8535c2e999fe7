"""The operator's mail relay, as the settings name it."""

from pathlib import Path

from proof.config import Settings, SettingsError
from proof.mail import Mailer, Security
from proof.main.parts.keys import require_private


def open_mailer(settings: Settings) -> Mailer | None:
    """The relay; None when none is set. Raises SettingsError when its password cannot be trusted."""
    if not settings.smtp_host:
        return None
    return Mailer(
        settings.smtp_host,
        settings.smtp_port,
        Security(settings.smtp_security),
        settings.smtp_sender,
        settings.smtp_user,
        _password(settings.smtp_password_file),
    )


def _password(name: str) -> str:
    if not name:
        return ""
    path = Path(name)
    try:
        require_private(path)
        return path.read_text().strip()
    except (OSError, ValueError) as error:
        raise SettingsError(f"setting smtp_password_file: {path}: {error}") from None
