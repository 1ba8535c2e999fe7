"""Settings: what is read, what is refused, and what never shows."""

from pathlib import Path

import pytest

from proof.config import SettingsError, load_settings
from proof.config.settings import known_variables
from proof.partners.types import Environment

LIVE = {
    "PROOF_MODE": "live",
    "PROOF_PUBLIC_URL": "https://proof.example",
    "PROOF_KEY_ENCRYPTION_KEY_FILE": "/etc/proof/key",
}


def test_defaults_need_nothing() -> None:
    settings = load_settings({})
    assert settings.mode == "development"
    assert settings.data_dir == Path.cwd() / "data"
    assert settings.base_url(Environment.PRODUCTION) == "http://127.0.0.1:8420"
    assert settings.base_url(Environment.SANDBOX) == "http://127.0.0.1:8420/sandbox"
    assert settings.origin_of_log(Environment.PRODUCTION) == "127.0.0.1:8420/log"


def test_environment_then_options() -> None:
    environment = {"PROOF_PORT": "9000", "PROOF_TRUSTED_PROXIES": "10.0.0.1, 10.1.0.0/16"}
    assert load_settings(environment).port == 9000
    assert load_settings(environment, port=9001, host=None).port == 9001
    assert [str(network) for network in load_settings(environment).proxies()] == [
        "10.0.0.1/32",
        "10.1.0.0/16",
    ]


def test_a_log_on_a_database_of_ones_own_needs_a_policy_or_an_explicit_none_in_live_mode() -> None:
    own = LIVE | {"PROOF_DATABASE_URL": "postgresql://proof@db/proof"}
    with pytest.raises(SettingsError, match=r"log_policy_file must name .* or be none"):
        load_settings(own)
    assert load_settings(own | {"PROOF_LOG_POLICY_FILE": "none"}).mode == "live"
    assert load_settings(own | {"PROOF_LOG_POLICY_FILE": "/etc/proof/policy"}).mode == "live"
    assert load_settings(own | {"PROOF_MODE": "development"}).mode == "development"


def test_the_sandboxs_log_is_published_as_productions_unless_it_has_a_policy() -> None:
    both = load_settings({"PROOF_LOG_POLICY_FILE": "/policy"})
    assert {both.log_policy(each) for each in Environment} == {"/policy"}
    apart = {"PROOF_LOG_POLICY_FILE": "/policy", "PROOF_SANDBOX_LOG_POLICY_FILE": "none"}
    assert load_settings(apart).log_policy(Environment.SANDBOX) == "none"
    assert load_settings(apart).log_policy(Environment.PRODUCTION) == "/policy"


def test_every_setting_is_a_variable() -> None:
    assert {"PROOF_DATABASE_URL", "PROOF_DATA_DIR", "PROOF_PUBLIC_URL", "PROOF_MODE"} <= set(
        known_variables()
    )
    assert {
        "PROOF_SANDBOX_PUBLIC_URL",
        "PROOF_LOG_ORIGIN",
        "PROOF_UNSAFE_OUTBOUND_NETWORKS",
    } <= set(known_variables())


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PROOF_MODE", "production"),
        ("PROOF_PORT", "http"),
        ("PROOF_PORT", "65536"),
        ("PROOF_PORT", "-1"),
        ("PROOF_PUBLIC_URL", "proof.example"),
        ("PROOF_PUBLIC_URL", "ftp://proof.example"),
        ("PROOF_PUBLIC_URL", "https://user:secret@proof.example"),
        ("PROOF_SANDBOX_PUBLIC_URL", "https://proof.example/?x=1"),
        ("PROOF_LOG_ORIGIN", "x" * 201),
        ("PROOF_TRUSTED_PROXIES", "10.0.0.1/8"),
        ("PROOF_TRUSTED_PROXIES", "10.0.0.1, 0.0.0.0/0"),
        ("PROOF_TRUSTED_PROXIES", "::/0"),
        ("PROOF_UNSAFE_OUTBOUND_NETWORKS", "everything"),
        ("PROOF_PROCESSES", "two"),
    ],
)
def test_a_bad_value_is_named(variable: str, value: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings({variable: value})
    assert variable.removeprefix("PROOF_").lower() in refused.value.message


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"PROOF_PUBLIC_URL": "http://proof.example"}, "https"),
        ({"PROOF_PUBLIC_URL": ""}, "https"),
        ({"PROOF_SANDBOX_PUBLIC_URL": "http://sandbox.example"}, "https"),
        ({"PROOF_KEY_ENCRYPTION_KEY_FILE": ""}, "key"),
        ({"PROOF_UNSAFE_OUTBOUND_NETWORKS": "127.0.0.0/8"}, "unsafe_outbound_networks"),
    ],
)
def test_live_refuses_to_start(change: dict[str, str], said: str) -> None:
    assert load_settings(LIVE).mode == "live"
    with pytest.raises(SettingsError, match=said):
        load_settings(LIVE | change)


def test_repr_shows_no_secret() -> None:
    settings = load_settings({"PROOF_DATABASE_URL": "postgresql://proof:secret@db/proof"})
    assert "secret" not in repr(settings)


@pytest.mark.parametrize("value", ["banana", "70000"])
def test_a_wrong_variable_is_named_and_an_option_is_not(value: str) -> None:
    with pytest.raises(SettingsError, match=r"^setting port \(PROOF_PORT\): "):
        load_settings({"PROOF_PORT": value})
    with pytest.raises(SettingsError, match=r"^setting port: "):
        load_settings({"PROOF_PORT": "8420"}, port=70000)
