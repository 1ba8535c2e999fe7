"""One tree of each chain for several partners: their proofs, checked by the stand-alone verifier."""

import io
import itertools
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from tests.support.anvil import CHAIN_ID, Anvil
from tests.support.anvil import running as anvil_running
from tests.support.bitcoin import WALLET, Regtest, regtest
from tests.support.served import (
    Server,
    build_verifier,
    call,
    eventually,
    fetch,
    served,
    verify_alone,
)

from proof.verify.cli import main

_PARTNERS = 3
_HASHES = 5
_LOG, _BTC, _ETH = 900, 0, 1
_HOLDS, _REFUSED, _USAGE, _UNTIED = 0, 1, 2, 3
_CHAINS = """
[production.bitcoin]
url = "{bitcoin.url}"
wallet = "{wallet}"
network = "regtest"
credentials_file = "{bitcoin.cookie}"
every_s = 6
confirmations = 2

[production.ethereum]
url = "{ethereum.url}"
key_file = "{key}"
chain_id = {chain_id}
every_s = 6
confirmations = 2
"""


@dataclass(frozen=True, slots=True)
class Partner:
    """A partner's key, and what it submitted."""

    key: str
    digests: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Site:
    """A server whose hashes are all verified in both chains, and a folder with what a verifier trusts:
    `log.key`, `headers`, `verify.pyz`."""

    server: Server
    folder: Path
    partners: tuple[Partner, ...]
    block: str
    ethereum_block: str

    def proof(self, partner: Partner, digest: str, currency: int, form: str = "json") -> bytes:
        path = f"/v1/proof/{digest}?currencyId={currency}&format={form}"
        return fetch(self.server.url + path, partner.key)

    def verify(self, proof: bytes, *options: str) -> tuple[int, dict[str, Any]]:
        """Exit code and facts of the verifier in this process, which as a file of its own says the same
        (tests/unit/verify/test_cli.py); starting that takes longer than what it does."""
        (self.folder / "proof").write_bytes(proof)
        said = io.StringIO()
        with chdir(self.folder), redirect_stdout(said), redirect_stderr(io.StringIO()):
            code = main(["proof", "--json", *options])
        return code, json.loads(said.getvalue()) if said.getvalue() else {}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("together")
    build_verifier(folder)
    with regtest(folder / "bitcoin") as bitcoin, anvil_running(folder) as ethereum:
        chains = folder / "chains.toml"
        chains.write_text(
            _CHAINS.format(
                bitcoin=bitcoin,
                ethereum=ethereum,
                wallet=WALLET,
                key=ethereum.key_file(),
                chain_id=CHAIN_ID,
            )
        )
        with served({"PROOF_CHAINS_FILE": str(chains), "PROOF_PROCESSES": "1"}) as server:
            yield anchored(server, folder, bitcoin, ethereum)


def verified(server: Server, partner: Partner, digest: str) -> bool:
    status = call(f"{server.url}/v1/timestamp/{digest}", partner.key)
    return all(tree["submitStatus"] == 3 for tree in status["trees"])


def anchored(server: Server, folder: Path, bitcoin: Regtest, ethereum: Anvil) -> Site:
    keys = [
        server.add_partner(name=f"Partner {number}")["production"]["api_key"]
        for number in range(_PARTNERS)
    ]
    partners, block = submitted_together(server, keys), ""

    def buried() -> bool:
        nonlocal block
        if bitcoin.mempool():
            (block, _) = bitcoin.mine(2)
        if ethereum.ask("eth_getBlockByNumber", "pending", False)["transactions"]:
            ethereum.mine(2)
        return all(verified(server, partner, partner.digests[0]) for partner in partners)

    eventually(buried)
    for partner in partners:
        for digest in partner.digests:
            eventually(partial(verified, server, partner, digest))
    (folder / "log.key").write_bytes(fetch(f"{server.url}/log/key", partners[0].key))
    done = server.run(
        *("headers", "sync", str(folder / "headers"), "--network", "regtest"),
        *("--bitcoin-node", bitcoin.url, "--bitcoin-credentials", str(bitcoin.cookie)),
    )
    assert done.returncode == 0, done.stderr
    holders = [
        found["hash"]
        for number in range(1, int(ethereum.ask("eth_blockNumber"), 16) + 1)
        if (found := ethereum.ask("eth_getBlockByNumber", hex(number), False))["transactions"]
    ]
    return Site(server, folder, partners, block, holders[-1])


def submitted_together(server: Server, keys: list[str]) -> tuple[Partner, ...]:
    """Hashes of each partner, in one tree of each chain: where a tree was closed between two calls, other
    hashes are submitted."""
    for attempt in itertools.count():
        partners = tuple(
            Partner(key, tuple(digest_of(attempt, key, each) for each in range(_HASHES)))
            for key in keys
        )
        told = [
            call(f"{server.url}/v1/timestamp", partner.key, {"sha256": partner.digests})
            for partner in partners
        ]
        trees = {
            tuple(tree["treeId"] for tree in each["trees"] if tree["currencyId"] != _LOG)
            for each in told
        }
        if len(trees) == 1:
            return partners
    raise AssertionError("there is always another attempt")


def digest_of(*of: object) -> str:
    return sha256(repr(of).encode()).hexdigest()


def trusting(site: Site, currency: int) -> tuple[str, ...]:
    return {
        _LOG: ("--log-key", "log.key"),
        _BTC: ("--headers", "headers", "--network", "regtest"),
        _ETH: ("--ethereum-block", site.ethereum_block),
    }[currency]


def knowing(currency: int) -> tuple[str, ...]:
    """What must be said even when nothing is trusted."""
    return ("--network", "regtest") if currency == _BTC else ()


@pytest.mark.timeout(600)
def test_every_partner_has_its_proofs_in_one_tree_of_each_chain(site: Site) -> None:
    roots: dict[int, set[str]] = {_LOG: set(), _BTC: set(), _ETH: set()}
    for partner in site.partners:
        for currency, seen in roots.items():
            payload = site.proof(partner, partner.digests[0], currency)
            code, facts = verify_alone(
                site.folder, payload, "--sha256", partner.digests[0], *trusting(site, currency)
            )
            assert (code, facts["result"], facts["remaining"]) == (_HOLDS, "tied", [])
            assert facts["timestamp"] == json.loads(payload)["tree"]["timestamp"]
            seen.add(facts["rootSha256"])
    assert [len(roots[currency]) for currency in (_LOG, _BTC, _ETH)] == [_PARTNERS, 1, 1]


def test_a_proof_shows_no_other_partners_hashes(site: Site) -> None:
    everybodys = {digest for partner in site.partners for digest in partner.digests}
    for partner in site.partners:
        others = everybodys - set(partner.digests)
        for digest in partner.digests:
            for currency in (_LOG, _BTC, _ETH):
                shown = site.proof(partner, digest, currency).decode()
                assert not any(other in shown for other in others)
            as_ots = site.proof(partner, digest, _BTC, "ots")
            for other in others:
                assert bytes.fromhex(other) not in as_ots
                assert other.encode() not in as_ots


def test_another_partners_hash_is_unknown(site: Site) -> None:
    mine, theirs = site.partners[:2]
    for currency in (_LOG, _BTC, _ETH):
        with pytest.raises(urllib.error.HTTPError) as refused:
            site.proof(mine, theirs.digests[0], currency)
        with refused.value as answer:
            assert answer.code == 404


@pytest.mark.parametrize("currency", [_LOG, _BTC, _ETH])
def test_exit_codes_of_a_payload(site: Site, currency: int) -> None:
    partner = site.partners[1]
    payload = site.proof(partner, partner.digests[1], currency)
    code, facts = site.verify(payload, *knowing(currency))
    assert (code, facts["timestamp"], len(facts["remaining"])) == (_UNTIED, None, 1)
    wrong = ("--sha256", partner.digests[0])
    assert site.verify(payload, *wrong, *trusting(site, currency))[0] == _REFUSED
    assert site.verify(payload, "--sha256", "short", *trusting(site, currency))[0] == _USAGE
    changed = json.loads(payload)
    changed["tree"]["timestamp"] -= 1000
    forged = json.dumps(changed).encode()
    code, facts = site.verify(forged, *trusting(site, currency))
    if currency == _LOG:
        # The publisher's claim: what counts is what was signed.
        told = json.loads(payload)["tree"]["timestamp"]
        assert (code, facts["timestamp"]) == (_HOLDS, told)
        assert facts["claimed"]["timestamp"] == told - 1000
    else:
        assert code == _REFUSED
    changed = json.loads(payload)
    changed["sha256"] = changed["branch"]["leftSha256"]
    assert site.verify(json.dumps(changed).encode(), *trusting(site, currency))[0] == _REFUSED


def test_exit_codes_of_a_bitcoin_proof(site: Site) -> None:
    partner = site.partners[0]
    payload = site.proof(partner, partner.digests[2], _BTC)
    assert site.verify(payload)[0] == _REFUSED, "a test network counts only when it is named"
    code, facts = site.verify(payload, "--network", "regtest", "--bitcoin-block", site.block)
    assert (code, facts["bitcoin"]["tiedBy"]) == (_HOLDS, "block")
    other = ("--network", "regtest", "--bitcoin-block", site.ethereum_block)
    assert site.verify(payload, *other)[0] == _UNTIED
    assert site.verify(payload, "--headers", "headers")[0] == _USAGE
    headers = (site.folder / "headers").read_bytes()
    (site.folder / "bad").write_bytes(headers[:-81] + bytes([headers[-81] ^ 1]) + headers[-80:])
    assert site.verify(payload, "--headers", "bad", "--network", "regtest")[0] == _USAGE
    (site.folder / "early").write_bytes(headers[: -80 * 2])
    assert site.verify(payload, "--headers", "early", "--network", "regtest")[0] == _UNTIED


def test_exit_codes_of_an_ots_file(site: Site) -> None:
    partner = site.partners[2]
    raw = site.proof(partner, partner.digests[3], _BTC, "ots")
    payload = json.loads(site.proof(partner, partner.digests[3], _BTC))
    code, facts = site.verify(raw, *trusting(site, _BTC))
    assert (code, facts["timestamp"]) == (_HOLDS, payload["tree"]["timestamp"])
    assert facts["sha256"] == partner.digests[3]
    code, facts = site.verify(raw)
    assert (code, facts["timestamp"], len(facts["remaining"])) == (_UNTIED, None, 1)
    forged = raw.replace(bytes.fromhex(partner.digests[3]), bytes.fromhex(partner.digests[2]))
    assert site.verify(forged, *trusting(site, _BTC))[0] == _REFUSED
    assert site.verify(raw[:-1], *trusting(site, _BTC))[0] == _REFUSED
    assert site.verify(raw, "--headers", "missing")[0] == _USAGE
