"""What starts, and what refuses to, of the calendar and the time-stamping authority."""

from pathlib import Path
from typing import Any

import pytest
from tests.support.tsa import generated

from proof.config import Settings, SettingsError, load_settings
from proof.main.parts.chains import require_calendar_chain
from proof.main.parts.tsa import prepare_tsa, time_stamping_authority


def settings(folder: Path, **values: Any) -> Settings:
    return load_settings({}, data_dir=folder / "data", **values)


def test_without_settings_there_is_neither(tmp_path: Path) -> None:
    found = settings(tmp_path)
    prepare_tsa(found)
    require_calendar_chain(found)
    assert time_stamping_authority(found) is None
    assert not (tmp_path / "data").exists()


def test_development_makes_certificates_once(tmp_path: Path) -> None:
    found = settings(tmp_path, tsa_enabled=True)
    prepare_tsa(found)
    key = tmp_path / "data" / "keys" / "tsa-key.pem"
    first = key.read_bytes()
    assert key.stat().st_mode & 0o777 == 0o600
    prepare_tsa(found)
    assert key.read_bytes() == first
    authority = time_stamping_authority(found)
    assert authority is not None
    assert authority.chain_pem.count(b"BEGIN CERTIFICATE") == 2


def given(folder: Path, mode: int = 0o600) -> dict[str, Any]:
    (folder / "chain.pem").write_bytes(generated().chain)
    key = folder / "key.pem"
    key.touch(mode)
    key.write_bytes(generated().key)
    names = {"tsa_certificate_file": str(folder / "chain.pem"), "tsa_key_file": str(key)}
    return {"tsa_enabled": True, **names}


def test_the_operators_own_certificate_is_used(tmp_path: Path) -> None:
    found = settings(tmp_path, **given(tmp_path))
    prepare_tsa(found)
    authority = time_stamping_authority(found)
    assert authority is not None
    assert authority.chain_pem == generated().chain
    assert not (tmp_path / "data").exists()


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="can be read by others; run: chmod 600"):
        prepare_tsa(settings(tmp_path, **given(tmp_path, 0o644)))


def test_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    values = given(tmp_path)
    (tmp_path / "chain.pem").unlink()
    with pytest.raises(SettingsError, match=r"chain\.pem: No such file"):
        prepare_tsa(settings(tmp_path, **values))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"tsa_certificate_file": "a.pem"}, "goes together with tsa_key_file"),
        ({"tsa_accuracy_ms": 0}, "setting tsa_accuracy_ms"),
        ({"anonymous_calls_per_minute": 0}, "setting anonymous_calls_per_minute"),
        ({"calendar_url": "ftp://calendar.example"}, "setting calendar_url"),
        ({"calendar_url": "https://calendar.example/~me"}, "clients do not take"),
    ],
)
def test_settings_that_make_no_sense(tmp_path: Path, values: Any, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        settings(tmp_path, **values)


def test_live_needs_a_certificate(tmp_path: Path) -> None:
    live = {"mode": "live", "public_url": "https://proof.example", "tsa_enabled": True}
    with pytest.raises(SettingsError, match="tsa_certificate_file and tsa_key_file must be given"):
        settings(tmp_path, **live)


def test_a_calendar_needs_bitcoin(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"needs \[production.bitcoin\] in chains_file"):
        require_calendar_chain(settings(tmp_path, calendar_url="https://calendar.example"))
    chains = tmp_path / "chains.toml"
    chains.write_text(
        '[production.bitcoin]\nurl = "http://127.0.0.1:8332"\ncredentials_file = "cookie"\n'
    )
    calendar = {"calendar_url": "https://calendar.example", "chains_file": str(chains)}
    require_calendar_chain(settings(tmp_path, **calendar))
