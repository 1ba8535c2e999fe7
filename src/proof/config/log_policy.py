"""The policy files: by whose cosignatures each environment's log is published."""

from pathlib import Path

from proof.config.settings import Settings, SettingsError, absolute
from proof.partners.types import Environment
from proof.timestamps.anchors.log.policy import NO_WITNESSES, LogPolicyError, read_policy
from proof.verify.evidence.log.policy import MAX_POLICY_BYTES, Policy

NONE = "none"


def load_log_policy(settings: Settings, environment: Environment) -> Policy | None:
    """The policy of an environment's log; None where no setting says anything. Raises SettingsError."""
    name = settings.log_policy(environment)
    if not name:
        return None
    if name == NONE:
        return NO_WITNESSES
    own = environment is Environment.SANDBOX and bool(settings.sandbox_log_policy_file)
    setting = "sandbox_log_policy_file" if own else "log_policy_file"
    path = absolute(setting, Path(name))
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_POLICY_BYTES + 1)
        return read_policy(raw)
    except OSError as error:
        raise SettingsError(f"setting {setting}: {path}: {error.strerror}") from None
    except LogPolicyError as error:
        raise SettingsError(f"setting {setting}: {path}: {error.message}") from None
