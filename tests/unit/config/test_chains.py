"""The chains file: what it enables, and how each mistake in it is named."""

from pathlib import Path

import msgspec
import pytest

from proof.config import SettingsError, load_settings
from proof.config.chains import beside, load_chain_tables
from proof.main.parts.chains import enabled_chains
from proof.partners.types import Environment
from proof.timestamps.anchors.bitcoin.kind import BitcoinTable
from proof.timestamps.anchors.kinds import kind_of, kinds
from proof.timestamps.types import Currency
from proof.web.contents import source

GOOD = 'url = "http://127.0.0.1:8332"\ncredentials_file = "cookie"\n'


def written(folder: Path, text: str) -> str:
    path = folder / "chains.toml"
    path.write_text(text)
    return str(path)


def test_without_a_file_there_is_the_log_alone() -> None:
    assert load_chain_tables("") == {environment: {} for environment in Environment}
    assert set(enabled_chains(load_settings({})).values()) == {()}


def test_a_table_enables_a_chain_in_its_environment(tmp_path: Path) -> None:
    name = written(tmp_path, f"[sandbox.bitcoin]\n{GOOD}network = 'signet'\nevery_s = 60\n")
    bitcoin = load_chain_tables(name)[Environment.SANDBOX][Currency.BTC]
    assert isinstance(bitcoin, BitcoinTable)
    assert (bitcoin.network, bitcoin.every_s, bitcoin.confirmations) == ("signet", 60, 6)
    assert beside(name, bitcoin.credentials_file) == tmp_path / "cookie"
    assert beside(name, Path("/etc/cookie")) == Path("/etc/cookie")
    enabled = enabled_chains(load_settings({"PROOF_CHAINS_FILE": name}))
    assert enabled == {Environment.PRODUCTION: (), Environment.SANDBOX: (Currency.BTC,)}


WRONG = {
    "no TOML": ("[production", "chains.toml"),
    "unknown environment": (f"[staging.bitcoin]\n{GOOD}", "staging"),
    "unknown chain": (f"[production.dogecoin]\n{GOOD}", "dogecoin"),
    "unknown field": (f"[production.bitcoin]\n{GOOD}every_h = 1\n", "every_h"),
    "no url": ("[production.bitcoin]\ncredentials_file = 'x'\n", "url"),
    "no credentials": ("[production.bitcoin]\nurl = 'http://x'\n", "credentials_file"),
    "unknown network": (f"[production.bitcoin]\n{GOOD}network = 'mainnet'\n", "mainnet"),
    "credentials in the url": (
        "[production.bitcoin]\nurl = 'http://me:pass@x'\ncredentials_file = 'x'\n",
        "credentials do not belong",
    ),
    "another scheme": (
        "[sandbox.bitcoin]\nurl = 'ftp://x'\ncredentials_file = 'x'\n",
        r"\[sandbox.bitcoin\] url",
    ),
    "no port": (
        "[production.bitcoin]\nurl = 'http://x:99999'\ncredentials_file = 'x'\n",
        "its port",
    ),
    "no interval": (f"[production.bitcoin]\n{GOOD}every_s = 0\n", "every_s"),
    "negative ceiling": (f"[production.bitcoin]\n{GOOD}max_sat_per_vbyte = -1\n", "max_sat"),
    "no confirmation": (f"[production.bitcoin]\n{GOOD}confirmations = 0\n", "confirmations"),
    "too large": ("#" * 70_000, "over 65536 bytes"),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_a_mistake_is_named_and_no_password_is_shown(tmp_path: Path, mistake: str) -> None:
    text, said = WRONG[mistake]
    with pytest.raises(SettingsError, match=said) as caught:
        load_chain_tables(written(tmp_path, text))
    assert caught.value.message.startswith("setting chains_file")
    assert "me:pass" not in caught.value.message


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No such file"):
        load_chain_tables(str(tmp_path / "missing.toml"))


@pytest.mark.parametrize("currency", kinds())
def test_every_field_is_explained(currency: Currency) -> None:
    page = source("chains")
    for field in msgspec.structs.fields(kind_of(currency).table):
        assert f"| `{field.name}` | " in page


def test_every_currency_but_the_log_has_a_kind_and_its_own_table() -> None:
    assert set(kinds()) == set(Currency) - {Currency.LOG}
    assert len({kind.name for kind in kinds().values()}) == len(kinds())
    with pytest.raises(LookupError):
        kind_of(Currency.LOG)
