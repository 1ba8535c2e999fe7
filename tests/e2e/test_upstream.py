"""Two installations, one anchored in the other: proofs of the lower one, by the stand-alone verifier."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
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

_UPPER = """
[production.bitcoin]
url = "{bitcoin.url}"
wallet = "{wallet}"
network = "regtest"
credentials_file = "{bitcoin.cookie}"
every_s = 1
confirmations = 1
"""
_LOWER = """
[production.upstream]
url = "{upper.url}"
credentials_file = "upstream.key"
log_policy_file = "upstream.policy"
chain = "btc"
network = "regtest"
every_s = 1
"""


@dataclass(frozen=True, slots=True)
class Pair:
    """`lower` is anchored in `upper`, which is anchored in `bitcoin`. `key`: of a partner of the lower one.
    `folder` has what a verifier trusts: `upstream.policy`, and the verifier."""

    upper: Server
    lower: Server
    bitcoin: Regtest
    key: str
    folder: Path

    def submit(self, label: str) -> str:
        """A hash, which the lower one took."""
        digest = sha256(label.encode()).hexdigest()
        fetch(f"{self.lower.url}/v1/timestamp", self.key, {"sha256": [digest]})
        return digest

    def proof(self, digest: str, evidence: str) -> bytes:
        """The one in the upper one, once its own evidence is of that type."""

        def found() -> bytes | None:
            status = call(f"{self.lower.url}/v1/timestamp/{digest}", self.key)
            (tree,) = (each for each in status["trees"] if each["currency"] == "UPSTREAM")
            if tree["submitStatus"] != 3:
                return None
            url = f"{self.lower.url}/v1/proof/{digest}?currencyId=902"
            raw = fetch(url, self.key)
            inside = json.loads(raw)["evidence"]["proof"]
            return raw if inside["evidence"]["type"] == evidence else None

        raw: bytes = eventually(found)
        return raw

    def verify(self, proof: bytes, *options: str) -> tuple[int, dict[str, Any]]:
        return verify_alone(self.folder, proof, *options)

    def chain(self) -> Any:
        """What the lower one's operator is shown."""
        (found,) = json.loads(self.lower.run("chains", "--json").stdout)
        return found


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    build_verifier(tmp_path)
    with regtest(tmp_path / "bitcoin") as bitcoin:
        (tmp_path / "upper.toml").write_text(_UPPER.format(bitcoin=bitcoin, wallet=WALLET))
        with served(settings(tmp_path / "upper.toml")) as upper:
            account = upper.add_partner(name="A small installation")["production"]["api_key"]
            (tmp_path / "upstream.key").write_text(account)
            (tmp_path / "upstream.key").chmod(0o600)
            (tmp_path / "upstream.policy").write_bytes(fetch(f"{upper.url}/log/policy", ""))
            (tmp_path / "lower.toml").write_text(_LOWER.format(upper=upper))
            with served(settings(tmp_path / "lower.toml")) as lower:
                key = lower.add_partner()["production"]["api_key"]
                yield Pair(upper, lower, bitcoin, key, tmp_path)


def settings(chains: Path) -> dict[str, str]:
    return {"PROOF_CHAINS_FILE": str(chains), "PROOF_PROCESSES": "1"}


@pytest.mark.timeout(600)
def test_a_hash_below_is_proved_by_the_log_and_the_block_above(pair: Pair) -> None:
    digest = pair.submit("below")
    logged = pair.proof(digest, "log")
    code, facts = pair.verify(logged, "--sha256", digest, "--policy", "upstream.policy")
    assert (code, facts["result"], facts["remaining"]) == (0, "tied", [])
    origin = pair.upper.url.removeprefix("http://") + "/log"
    assert facts["signedBy"] == facts["upstream"]["log"]["origin"] == origin
    own_key = pair.folder / "own.key"
    own_key.write_bytes(fetch(f"{pair.lower.url}/log/key", ""))
    assert pair.verify(logged, "--log-key", "own.key")[0] == 3

    def mined() -> str | None:
        return pair.bitcoin.mine(1)[0] if pair.bitcoin.mempool() else None

    block = eventually(mined)
    proof = pair.proof(digest, "bitcoin")
    code, facts = pair.verify(proof, "--network", "regtest", "--bitcoin-block", block)
    assert (code, facts["upstream"]["bitcoin"]["block"]) == (0, block)
    assert facts["timestamp"] == json.loads(proof)["tree"]["timestamp"]
    assert pair.verify(proof, "--network", "regtest", "--policy", "upstream.policy")[0] == 3

    shown = pair.chain()
    assert shown["node"] == {"network": f"log '{origin}', production", "height": None}
    assert (shown["wallet"], shown["trouble"], shown["spent"]["cost"]) == (None, None, 0)

    pair.upper.stop()
    meanwhile = pair.submit("while it is away")
    eventually(lambda: "chain.waits" in pair.lower.log())
    assert "the upstream does not answer" in pair.chain()["trouble"]
    pair.upper.start()
    code, _ = pair.verify(pair.proof(meanwhile, "log"), "--policy", "upstream.policy")
    assert code == 0
    log = pair.lower.log() + pair.upper.log()
    assert (pair.folder / "upstream.key").read_text().split("_")[3] not in log
