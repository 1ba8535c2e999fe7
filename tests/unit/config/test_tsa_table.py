"""The chains file's table of a time-stamping authority."""

from pathlib import Path

import msgspec
import pytest
from tests.support.tsa import generated, of_no_version

from proof.config import SettingsError, load_settings
from proof.config.chains import load_chain_tables
from proof.main.parts.chains import enabled_chains, opened_chains
from proof.partners.types import Environment
from proof.timestamps.anchors.tsa.kind import TsaTable
from proof.timestamps.types import Currency
from proof.web.contents import source

URL = 'url = "http://tsa.example/tsr"\n'


def written(folder: Path, text: str) -> str:
    path = folder / "chains.toml"
    path.write_text(f"[production.tsa]\n{text}")
    return str(path)


def test_a_table_enables_the_authority(tmp_path: Path) -> None:
    name = written(tmp_path, 'url = "https://tsa.example"\npolicy = "1.2.3"\n')
    table = load_chain_tables(name)[Environment.PRODUCTION][Currency.TSA]
    assert isinstance(table, TsaTable)
    assert (table.every_s, table.policy, table.ca_certificate_file) == (600, "1.2.3", None)
    enabled = enabled_chains(load_settings({"PROOF_CHAINS_FILE": name}))
    assert enabled[Environment.PRODUCTION] == (Currency.TSA,)


def test_its_certificates_are_read_from_beside_the_file(tmp_path: Path, run: object) -> None:
    (tmp_path / "ca.pem").write_bytes(generated().chain)
    name = written(tmp_path, URL + "ca_certificate_file = 'ca.pem'\nevery_s = 60\n")
    assert callable(run)

    async def opened() -> list[tuple[str, Currency, float]]:
        async with opened_chains(load_settings({"PROOF_CHAINS_FILE": name})) as found:
            return [
                (each.environment, each.chain.currency, each.schedule.every.total_seconds())
                for each in found
            ]

    assert run(opened()) == [(Environment.PRODUCTION, Currency.TSA, 60.0)]


def test_every_field_is_explained() -> None:
    section = source("chains").partition("## A time-stamping authority\n")[2].partition("\n## ")[0]
    for field in msgspec.structs.fields(TsaTable):
        assert f"| `{field.name}` | " in section


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (URL, "ca_certificate_file: required where url is not https"),
        ('ca_certificate_file = "ca.pem"\n', "url"),
        (URL + 'ca_certificate_file = "x"\nreplace_after_s = 5\n', "replace_after_s"),
        (URL + 'ca_certificate_file = "x"\nevery_s = 0\n', "every_s"),
        ('url = "https://me:pass@tsa.example"\n', "credentials do not belong"),
    ],
)
def test_a_mistake_in_the_table_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said) as caught:
        load_chain_tables(written(tmp_path, text))
    assert "me:pass" not in caught.value.message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (URL + 'ca_certificate_file = "missing.pem"\n', r"missing\.pem: No such file"),
        (URL + 'ca_certificate_file = "chains.toml"\n', r"\[production.tsa\]"),
        (URL + 'ca_certificate_file = "odd.pem"\n', r"\[production.tsa\] 64 is not a valid"),
        ('url = "https://tsa.example"\npolicy = "mine"\n', r"\[production.tsa\]"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, run: object, text: str, said: str) -> None:
    name = written(tmp_path, text)
    (tmp_path / "odd.pem").write_bytes(of_no_version(generated().chain))
    assert callable(run)

    async def opened() -> None:
        async with opened_chains(load_settings({"PROOF_CHAINS_FILE": name})):
            pass

    with pytest.raises(SettingsError, match=said):
        run(opened())
