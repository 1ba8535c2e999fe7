"""The chains file's table of an upstream."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from tests.support import signer
from tests.support.middleman import middleman
from tests.support.upstream_lab import FakeUpstream, policy_of

from proof.config import SettingsError, load_settings
from proof.config.chains import load_chain_tables
from proof.main.parts.chains import opened_chains
from proof.partners.access.tokens import new_token
from proof.partners.types import Environment
from proof.timestamps.anchors.chain import WrongNetworkError
from proof.timestamps.anchors.kinds import Pace
from proof.timestamps.anchors.upstream.kind import KIND, UpstreamTable
from proof.timestamps.types import Currency

URL = 'url = "https://upper.example"\n'
GOOD = URL + 'credentials_file = "key"\n'


def written(folder: Path, text: str, key: str | None = None) -> str:
    (folder / "chains.toml").write_text(f"[production.upstream]\n{text}")
    (folder / "key").write_text(new_token(Environment.PRODUCTION).text if key is None else key)
    (folder / "key").chmod(0o600)
    return str(folder / "chains.toml")


def opened(name: str) -> list[tuple[str, Currency]]:
    async def names() -> list[tuple[str, Currency]]:
        async with opened_chains(load_settings({"PROOF_CHAINS_FILE": name})) as found:
            return [(each.environment, each.chain.currency) for each in found]

    return asyncio.run(names())


def test_a_table_enables_the_upstream(tmp_path: Path) -> None:
    name = written(tmp_path, GOOD)
    table = load_chain_tables(name)[Environment.PRODUCTION][Currency.UPSTREAM]
    assert isinstance(table, UpstreamTable)
    assert (table.every_s, table.chain, table.environment) == (60, "log", "production")
    assert KIND.pace(table) == Pace(timedelta(seconds=60), timedelta(seconds=2), 1)
    assert opened(name) == [(Environment.PRODUCTION, Currency.UPSTREAM)]


@pytest.mark.parametrize(
    ("url", "fits"),
    [
        ("https://upper.example", True),
        ("http://127.0.0.1:8420/sandbox", True),
        ("http://localhost", True),
        ("http://[::1]:8420", True),
        ("http://10.1.2.3", True),
        ("http://[fd00::1]", True),
        ("http://upper.example", False),
        ("http://9.9.9.9", False),
        ("http://127.0.0.1.example", False),
    ],
)
def test_the_key_goes_over_tls_or_stays_near(tmp_path: Path, url: str, fits: bool) -> None:
    name = written(tmp_path, f'url = "{url}"\ncredentials_file = "key"\n')
    if fits:
        load_chain_tables(name)
        return
    with pytest.raises(SettingsError, match="url: it is https, unless"):
        load_chain_tables(name)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (URL, "credentials_file"),
        (GOOD + 'chain = "doge"\n', "chain: one of btc, eth, log, tsa, upstream is required"),
        (GOOD + 'environment = "test"\n', "environment"),
        (GOOD + 'network = "mainnet"\n', "network"),
        (GOOD + "every_s = 0\n", "every_s"),
        (GOOD + "replace_after_s = 5\n", "replace_after_s"),
        (GOOD.replace("upper", "me:pass@upper"), "credentials do not belong"),
    ],
)
def test_a_mistake_in_the_table_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said) as caught:
        load_chain_tables(written(tmp_path, text))
    assert "me:pass" not in caught.value.message


SANDBOXS = new_token(Environment.SANDBOX).text


@pytest.mark.parametrize(
    ("more", "key", "said"),
    [
        ("", "", "holds no api_key"),
        ("", "proof_live_x", "holds no api_key"),
        ("", "\N{SNOWMAN}" * 9, "holds no api_key"),
        ("", SANDBOXS[:-1] + ("0" if SANDBOXS[-1] != "0" else "1"), "holds no api_key"),
        ("", SANDBOXS, 'say environment = "sandbox"'),
        ('environment = "sandbox"\n', None, 'say environment = "production"'),
        ('log_policy_file = "missing"\n', None, "missing: No such file"),
        ('log_policy_file = "key"\n', None, r"\[production.upstream\]"),
        ('log_policy_file = "empty"\n', None, "names no log"),
    ],
    ids=[
        "no key",
        "a key too short",
        "a key of other letters",
        "a key with another checksum",
        "a key of the sandbox",
        "a key of production",
        "no policy file",
        "a policy file of no policy",
        "a policy file of no log",
    ],
)
def test_what_cannot_be_used_is_named(
    tmp_path: Path, more: str, key: str | None, said: str
) -> None:
    (tmp_path / "empty").write_text("quorum none\n")
    name = written(tmp_path, GOOD + more, key)
    with pytest.raises(SettingsError, match=said) as caught:
        opened(name)
    secret = (tmp_path / "key").read_text().split("_")[3:4]
    assert not [each for each in secret if each in caught.value.message]


def test_a_sandbox_counts_where_it_is_named(tmp_path: Path) -> None:
    assert opened(written(tmp_path, GOOD + 'environment = "sandbox"\n', SANDBOXS))


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    name = written(tmp_path, GOOD)
    (tmp_path / "key").chmod(0o644)
    with pytest.raises(SettingsError, match="chmod"):
        opened(name)


def test_a_key_that_is_not_there_is_named(tmp_path: Path) -> None:
    name = written(tmp_path, GOOD)
    (tmp_path / "key").unlink()
    with pytest.raises(SettingsError, match="key: No such file"):
        opened(name)


@pytest.mark.parametrize(
    "of", ["log.example/test", "log.example/test/sandbox", "other.example/log"]
)
def test_an_installation_is_not_its_own_upstream(tmp_path: Path, of: str) -> None:
    """By the name of either environment's log."""
    own = signer.Signer.named(of, signer.LOG.key_type)
    upstream = FakeUpstream(policy=policy_of(own, signer.WITNESS))

    async def standing(url: str) -> str:
        name = written(tmp_path, GOOD.replace("https://upper.example", url), upstream.token)
        given = {"PROOF_CHAINS_FILE": name, "PROOF_LOG_ORIGIN": "log.example/test"}
        async with opened_chains(load_settings(given)) as found:
            return (await found[0].chain.standing()).network

    with middleman(upstream) as between:
        if of == "other.example/log":
            assert asyncio.run(standing(between.url)) == f"log '{of}', production"
            return
        with pytest.raises(WrongNetworkError, match="this installation itself"):
            asyncio.run(standing(between.url))
