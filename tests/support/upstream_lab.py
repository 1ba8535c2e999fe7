"""The chain suite's laboratory over another Proof: one in memory that can be told anything, or a real one.

Between it and the chain stands a machine that may lose and alter what is said.
"""

import json
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

import pytest
from tests.support import signer
from tests.support.chain_suite import (
    ROOTS,
    ChainLab,
    ChainSuite,
    opened,
    verified,
)
from tests.support.middleman import Answer, Asked, Middleman, instead, middleman
from tests.support.signer import Signer
from tests.support.upstreams import Payload, logged, mined

from proof.core.clock import Clock, SystemClock
from proof.partners.access.tokens import new_token
from proof.partners.types import Environment
from proof.timestamps.anchors.chain import ChainError
from proof.timestamps.anchors.kinds import Surroundings
from proof.timestamps.anchors.node_client import NodeClient
from proof.timestamps.anchors.soundness import require_sound
from proof.timestamps.anchors.upstream.account import MAX_ANSWER_BYTES, Account, LaterError
from proof.timestamps.anchors.upstream.kind import KIND, UpstreamTable
from proof.timestamps.anchors.upstream.service import UpstreamChain, UpstreamSettings
from proof.timestamps.types import Currency, SubmitStatus

_ROOT = ROOTS.root.hex()
_MAKERS: dict[int, Callable[[str], Payload]] = {900: logged, 0: mined}


class Upstream(Protocol):
    """A Proof at the other side of the middleman."""

    token: str
    origin: str

    def publish(self) -> None:
        """What was submitted gets into the log."""
        ...

    def forget(self) -> None:
        """What was submitted is lost."""
        ...


@dataclass
class FakeUpstream:
    """In memory. `proofs` maps a hash to the currencyIds it has a proof in; `enabled` are its chains.
    `identity` is what it says of us."""

    token: str = field(default_factory=lambda: new_token(Environment.PRODUCTION).text)
    origin: str = signer.ORIGIN
    policy: bytes = field(default_factory=lambda: policy_of(signer.LOG, signer.WITNESS))
    proofs: dict[str, set[int]] = field(default_factory=dict)
    enabled: tuple[int, ...] = (900, 0)
    identity: dict[str, Any] = field(default_factory=dict)
    makers: dict[int, Callable[[str], Payload]] = field(default_factory=lambda: dict(_MAKERS))

    def publish(self) -> None:
        for found in self.proofs.values():
            found.add(900)

    def confirm(self) -> None:
        """Its Bitcoin trees are deep enough."""
        for found in self.proofs.values():
            found.add(0)

    def forget(self) -> None:
        self.proofs.clear()

    def __call__(self, asked: Asked) -> Answer:
        path, _, query = asked.path.partition("?")
        if path == "/log/policy":
            return Answer(200, self.policy)
        if asked.headers.get("x-api-key") != self.token:
            return said(401, "the credential is unknown")
        if path == "/whoami":
            return Answer(200, json.dumps(self._identity()).encode())
        if path == "/v1/timestamp":
            return self._submitted(json.loads(asked.body)["sha256"])
        return self._proof(path.removeprefix("/v1/proof/"), int(query.removeprefix("currencyId=")))

    def _identity(self) -> dict[str, Any]:
        usual = {
            "partner_id": "ptr_1",
            "environment": "production",
            "kind": "api_key",
            "key_id": "k",
            "address": "127.0.0.1",
            "allowed": True,
            "allowlist_mode": "enforce",
            "suspended": False,
        }
        return usual | self.identity

    def _submitted(self, hashes: list[str]) -> Answer:
        new = [each for each in hashes if each not in self.proofs]
        self.proofs |= {each: set() for each in new}
        existing = [each for each in hashes if each not in new]
        body = {"sha256": new, "dateCreated": 1, "trees": []}
        return Answer(200 if new else 202, json.dumps(body | {"existing": existing}).encode())

    def _proof(self, digest: str, currency_id: int) -> Answer:
        if currency_id not in self.enabled:
            return said(400, f"currencyId: {currency_id} is not enabled here; enabled: 900 (LOG)")
        if digest not in self.proofs:
            return said(404, f"sha256: {digest} was not submitted here")
        if currency_id not in self.proofs[digest]:
            return said(425, "the tree is not verified yet", {"retry-after": "600"})
        return Answer(200, json.dumps(self.makers[currency_id](digest)).encode())


def said(status: int, message: str, headers: dict[str, str] | None = None) -> Answer:
    """An error as the timestamp API writes it."""
    return Answer(status, json.dumps({"message": message}).encode(), headers or {})


def policy_of(log: Signer, witness: Signer) -> bytes:
    """That log, as that witness cosigns it."""
    return f"log {log.text}\nwitness w {witness.text}\nquorum w\n".encode()


class UpstreamLab:
    """A `ChainLab`. A tree is verified with the log's proof, which is there once the upstream publishes. No
    block could be taken back and nobody is too poor; where others have a ceiling, the account's quota is
    used up. The other network is the upstream's sandbox."""

    confirmations = 1

    def __init__(self, upstream: Upstream, between: Middleman) -> None:
        self.upstream = upstream
        self.between = between

    def chain(
        self,
        *,
        clock: Clock | None = None,
        pause: timedelta = timedelta(0),
        read_key: Callable[[], str] | None = None,
        timeout_s: float = 60.0,
        **changes: Any,
    ) -> UpstreamChain:
        usual: dict[str, Any] = {
            "environment": Environment.PRODUCTION,
            "currency": Currency.LOG,
            "policy": None,
            "networks": {"regtest"},
            "own_origins": {"ours.example/log"},
            "every": timedelta(0),
        }
        clock = clock or SystemClock()
        client = NodeClient("the upstream", self.between.url, MAX_ANSWER_BYTES, timeout_s)
        account = Account(client, read_key or (lambda: self.upstream.token), clock, pause)
        return UpstreamChain(account, UpstreamSettings(**usual | changes), clock)

    def opened(self, folder: Path, **changes: Any) -> UpstreamChain:
        """As the chains file opens it."""
        key = folder / "upstream.key"
        key.write_text(f"{self.upstream.token}\n")
        key.chmod(stat.S_IRUSR | stat.S_IWUSR)
        table = UpstreamTable(url=self.between.url, credentials_file=key, **changes)
        found = KIND.open(table, Surroundings(SystemClock(), Path.absolute, Path.absolute))
        assert isinstance(found, UpstreamChain)
        return found

    def poor(self) -> UpstreamChain:
        return self.chain()

    def capped(self) -> UpstreamChain:
        quota = said(429, "the limit of 5 hashes in a month is reached", {"retry-after": "7200"})
        self.between.faults["/v1/timestamp"] = [instead(quota)] * 2
        return self.chain()

    def elsewhere(self) -> UpstreamChain:
        return self.chain(environment=Environment.SANDBOX)

    def mine(self, blocks: int = 1) -> None:
        self.upstream.publish()

    def reorganise(self, depth: int) -> None:
        pass

    def forget(self) -> None:
        self.upstream.forget()

    def stop(self) -> None:
        self.between.down = True

    def start(self) -> None:
        self.between.down = False


@contextmanager
def fake_lab() -> Iterator[UpstreamLab]:
    """Over one in memory."""
    upstream = FakeUpstream()
    with middleman(upstream) as between:
        yield UpstreamLab(upstream, between)


class UpstreamChainSuite(ChainSuite):
    """What has no meaning without blocks and fees is replaced by what holds in its place."""

    carries_plain_root = False

    async def test_building_tells_nobody(self, lab: ChainLab) -> None:
        async with opened(lab.chain()) as chain:
            candidate = await chain.build(ROOTS, [])
            assert (candidate.raw, candidate.transaction) == (ROOTS.root, ROOTS.root.hex())
            assert candidate.fee == 0
            lab.mine()
            assert (await chain.poll([candidate])).status is SubmitStatus.UNSUBMITTED
            assert (await chain.poll([])).status is SubmitStatus.UNSUBMITTED

    async def test_from_the_network_into_a_block_and_deep_enough(self, lab: ChainLab) -> None:
        """From the submission to the proof in the upstream's log, whoever asks how often."""
        async with opened(lab.chain()) as chain:
            candidate = await chain.build(ROOTS, [])
            await chain.broadcast(candidate)
            await chain.broadcast(candidate)
            sighting = await chain.poll([candidate])
            assert (sighting.status, sighting.candidate) == (SubmitStatus.SUBMITTED, candidate)
            assert (sighting.block, sighting.settled) == (None, False)
            lab.mine()
            await chain.broadcast(candidate)
            sighting = await chain.poll([candidate])
            assert (sighting.status, sighting.settled) == (SubmitStatus.VERIFIED, True)
            evidence = await chain.evidence(ROOTS, candidate)
            assert evidence.cost == 0
            tree = verified(chain, ROOTS, candidate, evidence.timestamp_ms)
            require_sound(tree, evidence.members, sighting.block)
        async with opened(lab.chain()) as after_a_restart:
            assert await after_a_restart.poll([candidate]) == sighting
            assert await after_a_restart.evidence(ROOTS, candidate) == evidence

    async def test_a_reorganisation_takes_it_back_and_forward_again(self, lab: ChainLab) -> None:
        """Nothing takes it back, whatever is submitted later."""
        async with opened(lab.chain()) as chain:
            candidate = await chain.build(ROOTS, [])
            await chain.broadcast(candidate)
            lab.mine()
            before = await chain.poll([candidate])
            lab.mine()
            assert await chain.poll([candidate]) == before

    async def test_of_two_candidates_one_is_paid(self, lab: ChainLab) -> None:
        """There is one: the upstream knows the root, or does not."""
        async with opened(lab.chain()) as chain:
            candidate = await chain.build(ROOTS, [])
            await chain.broadcast(candidate)
            with pytest.raises(ChainError, match="gives no proof of it"):
                await chain.build(ROOTS, [candidate])

    async def test_the_candidate_before_may_win(self, lab: ChainLab) -> None:
        """Built anew before it is stored, it is the same."""
        async with opened(lab.chain()) as chain:
            assert await chain.build(ROOTS, []) == await chain.build(ROOTS, [])

    async def test_an_empty_wallet_builds_nothing(self, lab: ChainLab) -> None:
        """There is no wallet."""
        async with opened(lab.poor()) as chain:
            standing = await chain.standing()
            assert (standing.balance, standing.anchor_cost, standing.pays_for) == (0, 0, 0)
            assert (chain.unit, chain.wallet) == ("", "")

    async def test_above_the_ceiling_nothing_is_built(self, lab: ChainLab) -> None:
        """An account whose quota is used up is told so, and the upstream is left alone as long as it
        says."""
        async with opened(lab.capped()) as chain:
            candidate = await chain.build(ROOTS, [])
            for _ in range(3):
                with pytest.raises(LaterError, match="limit of 5 hashes") as told:
                    await chain.broadcast(candidate)
            assert told.value.pause == timedelta(hours=1)

    async def test_what_the_operator_reads(self, lab: ChainLab) -> None:
        """The log that verifiers must know the keys of."""
        assert isinstance(lab, UpstreamLab)
        async with opened(lab.chain()) as chain:
            assert (await chain.standing()).network == f"log '{lab.upstream.origin}', production"
