"""The policy files: found, read, or refused with the setting that names them."""

from pathlib import Path

import pytest

from proof.config import SettingsError, load_settings
from proof.config.log_policy import load_log_policy
from proof.core.note_keys import SigningKey
from proof.partners.types import Environment
from proof.timestamps.anchors.log.policy import NO_WITNESSES
from proof.verify.evidence.log.note import COSIGNER_KEY

PRODUCTION, SANDBOX = Environment.PRODUCTION, Environment.SANDBOX
KEY = SigningKey.generate("w.example", COSIGNER_KEY).text


def test_nothing_said_is_not_none() -> None:
    assert load_log_policy(load_settings({}), PRODUCTION) is None
    said = load_settings({"PROOF_LOG_POLICY_FILE": "none"})
    assert load_log_policy(said, PRODUCTION) == NO_WITNESSES
    assert load_log_policy(said, SANDBOX) == NO_WITNESSES


def test_each_environment_has_its_own_file(tmp_path: Path) -> None:
    file = tmp_path / "policy"
    file.write_text(f"witness w {KEY} http://w.example:7/\nquorum w\n")
    settings = load_settings(
        {"PROOF_LOG_POLICY_FILE": "none", "PROOF_SANDBOX_LOG_POLICY_FILE": str(file)}
    )
    assert load_log_policy(settings, PRODUCTION) == NO_WITNESSES
    found = load_log_policy(settings, SANDBOX)
    assert found is not None
    assert [witness.url for witness in found.witnesses] == ["http://w.example:7"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "No such file"),
        ("quorum w\n", "line 1"),
        (f"witness w {KEY}\nquorum w\n", "has no URL"),
        ("x" * 2_000_000, "longer than"),
    ],
    ids=["no file", "no group", "no URL", "too long"],
)
def test_a_file_that_cannot_be_used_is_named_with_its_setting(
    tmp_path: Path, text: str | None, said: str
) -> None:
    file = tmp_path / "policy"
    if text is not None:
        file.write_text(text)
    for setting, environment in (
        ("log_policy_file", PRODUCTION),
        ("sandbox_log_policy_file", SANDBOX),
    ):
        settings = load_settings({f"PROOF_{setting.upper()}": str(file)})
        with pytest.raises(SettingsError, match=said) as caught:
            load_log_policy(settings, environment)
        assert caught.value.message.startswith(f"setting {setting}: {file}: ")
