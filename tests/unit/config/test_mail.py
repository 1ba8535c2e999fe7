"""The settings of the mail relay."""

from pathlib import Path

import pytest

from proof.config import SettingsError, load_settings
from proof.mail import Security
from proof.main.parts.mail import open_mailer

RELAY = {"PROOF_SMTP_HOST": "mail.example", "PROOF_SMTP_SENDER": "Proof <p@proof.example>"}
LIVE = {
    "PROOF_MODE": "live",
    "PROOF_PUBLIC_URL": "https://proof.example",
    "PROOF_KEY_ENCRYPTION_KEY_FILE": "/etc/proof/key",
}


def password_file(folder: Path, text: str = "correct horse\n", mode: int = 0o600) -> str:
    path = folder / "password"
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def test_without_a_host_there_is_no_relay() -> None:
    assert open_mailer(load_settings({})) is None


def test_a_relay_as_it_is_named(tmp_path: Path) -> None:
    login = {"PROOF_SMTP_USER": "proof", "PROOF_SMTP_PASSWORD_FILE": password_file(tmp_path)}
    found = open_mailer(load_settings(RELAY | login | {"PROOF_SMTP_PORT": "465"}))
    assert found is not None
    assert (found.host, found.port, found.security) == ("mail.example", 465, Security.STARTTLS)
    assert (found.sender, found.user, found.password) == (
        "Proof <p@proof.example>", "proof", "correct horse",
    )  # fmt: skip


WRONG = {
    "no sender": ({"PROOF_SMTP_SENDER": ""}, "smtp_sender"),
    "two senders": ({"PROOF_SMTP_SENDER": "a@b.example, c@d.example"}, "smtp_sender"),
    "sender with a second line": (
        {"PROOF_SMTP_SENDER": "a@b.example\nBcc: x@y.example"},
        "smtp_sender",
    ),
    "an operator that is no address": ({"PROOF_OPERATOR_EMAIL": "ops"}, "operator_email"),
    "two operators": ({"PROOF_OPERATOR_EMAIL": "a@b.example,c@d.example"}, "operator_email"),
    "port": ({"PROOF_SMTP_PORT": "0"}, "smtp_port"),
    "port as a word": ({"PROOF_SMTP_PORT": "smtp"}, "smtp_port"),
    "security": ({"PROOF_SMTP_SECURITY": "ssl"}, "smtp_security"),
    "user without a password": ({"PROOF_SMTP_USER": "proof"}, "smtp_password_file"),
    "password without a user": ({"PROOF_SMTP_PASSWORD_FILE": "/x"}, "smtp_password_file"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_setting_is_named(case: str) -> None:
    environment, said = WRONG[case]
    with pytest.raises(SettingsError, match=said):
        load_settings(RELAY | environment)


@pytest.mark.parametrize(("host", "allowed"), [("mail.example", False), ("127.0.0.1", True)])
def test_live_sends_nothing_in_the_open_to_elsewhere(host: str, allowed: bool) -> None:
    environment = LIVE | RELAY | {"PROOF_SMTP_HOST": host, "PROOF_SMTP_SECURITY": "none"}
    if allowed:
        assert load_settings(environment).smtp_security == "none"
        return
    with pytest.raises(SettingsError, match="smtp_security must be starttls or tls"):
        load_settings(environment)


@pytest.mark.parametrize(("mode", "there"), [(0o644, True), (0o600, False)])
def test_a_password_that_others_can_read_or_that_is_not_there(
    tmp_path: Path, mode: int, there: bool
) -> None:
    path = password_file(tmp_path, mode=mode)
    if not there:
        Path(path).unlink()
    settings = load_settings(RELAY | {"PROOF_SMTP_USER": "proof", "PROOF_SMTP_PASSWORD_FILE": path})
    with pytest.raises(SettingsError, match="password"):
        open_mailer(settings)
