"""What is in force, for `proof config check`."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any
from urllib.parse import urlsplit

import msgspec

from proof.config import Settings
from proof.config.settings import known_variables
from proof.db.embedded import current_settings

_URLS_WITH_PASSWORDS = ("database_url", "database_owner_url")
# Variables that are no settings: those of the client's commands, of `proof serve`'s own processes, and of
# operators' scripts.
_OTHER_VARIABLES = (
    "PROOF_URL",
    "PROOF_API_KEY",
    "PROOF_OPERATOR_TOKEN",
    "PROOF_SUPERVISOR_PID",
    "PROOF_WITNESS_FOLDER",
)
_SECRETS = ("key_encryption_key",)


def settings_report(settings: Settings, environment: Mapping[str, str]) -> list[dict[str, Any]]:
    """Each setting with its value and where it is from; then the embedded server's tuning."""
    rows = [
        {
            "name": name,
            "value": _shown(name, value),
            "variable": f"PROOF_{name.upper()}",
            "source": "environment" if _given(name, value, environment) else "default",
        }
        for name, value in msgspec.structs.asdict(settings).items()
    ]
    if not settings.database_url:
        rows += [
            {
                "name": f"postgresql.{setting.name}",
                "value": setting.value,
                "variable": "",
                "source": setting.reason,
            }
            for setting in current_settings()
        ]
    return rows


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """A warning for each PROOF_* variable that nothing reads, naming the nearest that something does."""
    known = {*known_variables(), *_OTHER_VARIABLES}
    warnings = []
    for name in sorted(environment):
        if name.startswith("PROOF_") and name not in known:
            near = get_close_matches(name, sorted(known), 1)
            meant = f"; is {near[0]} meant?" if near else ""
            warnings.append(f"{name} is no setting and has no effect{meant}")
    return warnings


def _given(name: str, value: Any, environment: Mapping[str, str]) -> bool:
    # Secrets are removed from the environment once they are read.
    return bool(value) if name in _SECRETS else f"PROOF_{name.upper()}" in environment


def _shown(name: str, value: Any) -> Any:
    if name in _URLS_WITH_PASSWORDS and value:
        parts = urlsplit(value)
        return f"{parts.scheme}://{parts.hostname or ''}{parts.path}"
    if name in _SECRETS:
        return "(set)" if value else ""
    if name == "key_encryption_key_command" and value:
        # The command's arguments may hold the key store's password.
        return f"{value.strip().partition(' ')[0]} …"
    if isinstance(value, tuple):
        return list(value)
    return value if isinstance(value, int) else str(value)
