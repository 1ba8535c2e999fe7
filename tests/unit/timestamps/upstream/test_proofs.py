"""The suite of chains over an upstream in memory, and which of its proofs are believed."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support import signer
from tests.support.anchors import HandClock
from tests.support.chain_suite import OTHER_ROOTS, ROOTS, opened, verified
from tests.support.middleman import Answer, Fault, instead, with_body
from tests.support.upstream_lab import (
    FakeUpstream,
    UpstreamChainSuite,
    UpstreamLab,
    policy_of,
    said,
)
from tests.support.upstreams import logged, mined, nested

from proof.timestamps.anchors.chain import (
    Candidate,
    ChainError,
    WrongNetworkError,
)
from proof.timestamps.anchors.soundness import UnsoundEvidenceError, require_sound
from proof.timestamps.anchors.upstream.account import AnswerError
from proof.timestamps.anchors.upstream.service import UnbelievedProofError
from proof.timestamps.types import Currency, SubmitStatus
from proof.verify import parse_policy

ROOT = ROOTS.root.hex()
PROOF = f"/v1/proof/{ROOT}?currencyId=900"
BITCOIN = f"/v1/proof/{ROOT}?currencyId=0"
CANDIDATE = Candidate(ROOT, ROOTS.root, 0)
HOUR = timedelta(hours=1)


class TestUpstream(UpstreamChainSuite):
    """Every promise of a chain."""


async def test_the_upstreams_bitcoin_proof_takes_the_place_of_its_logs(
    lab: UpstreamLab, upstream: FakeUpstream
) -> None:
    async with opened(lab.chain(currency=Currency.BTC)) as chain:
        await chain.broadcast(CANDIDATE)
        upstream.publish()
        first = await chain.poll([CANDIDATE])
        assert (first.status, first.settled) == (SubmitStatus.VERIFIED, False)
        assert await chain.poll([CANDIDATE]) == first
        evidence = await chain.evidence(ROOTS, CANDIDATE)
        assert evidence.members["proof"] == logged(ROOT)
        upstream.confirm()
        second = await chain.poll([CANDIDATE])
        assert (second.status, second.settled) == (SubmitStatus.VERIFIED, True)
        assert second.block != first.block
        evidence = await chain.evidence(ROOTS, CANDIDATE)
        assert evidence.members["proof"] == mined(ROOT)
        tree = verified(chain, ROOTS, CANDIDATE, evidence.timestamp_ms)
        require_sound(tree, evidence.members, second.block)
        with pytest.raises(UnsoundEvidenceError):
            require_sound(tree, evidence.members, first.block)


async def test_a_proof_is_fetched_once_and_the_one_to_come_is_not_asked_for_without_end(
    lab: UpstreamLab, upstream: FakeUpstream
) -> None:
    clock = HandClock()
    async with opened(lab.chain(currency=Currency.BTC, clock=clock, every=HOUR)) as chain:
        await chain.broadcast(CANDIDATE)
        upstream.publish()
        for _ in range(5):
            await chain.poll([CANDIDATE])
            await chain.evidence(ROOTS, CANDIDATE)
        assert (lab.between.paths().count(PROOF), lab.between.paths().count(BITCOIN)) == (1, 1)
        clock.pass_(timedelta(minutes=10))
        upstream.confirm()
        for _ in range(5):
            assert (await chain.poll([CANDIDATE])).settled
            await chain.evidence(ROOTS, CANDIDATE)
        assert (lab.between.paths().count(PROOF), lab.between.paths().count(BITCOIN)) == (1, 2)


@pytest.mark.parametrize("known", [True, False])
async def test_a_chain_that_the_upstream_does_not_write_to_is_told_and_the_logs_proof_stays(
    lab: UpstreamLab, upstream: FakeUpstream, known: bool
) -> None:
    clock = HandClock()
    async with opened(lab.chain(currency=Currency.BTC, clock=clock, every=HOUR)) as chain:
        await chain.broadcast(CANDIDATE)
        upstream.publish()
        assert (await chain.poll([CANDIDATE])).status is SubmitStatus.VERIFIED
        upstream.enabled = (900,)
        if known:
            lab.between.faults[BITCOIN] = [instead(said(404, "came before BTC was enabled"))]
        message = "did not put the root into BTC" if known else "0 is not enabled here"
        for _ in range(3):
            with pytest.raises(ChainError, match=message):
                await chain.poll([CANDIDATE])
        assert lab.between.paths().count(BITCOIN) == 1
        assert (await chain.evidence(ROOTS, CANDIDATE)).members["proof"] == logged(ROOT)
        other = Candidate(OTHER_ROOTS.root.hex(), OTHER_ROOTS.root, 0)
        await chain.broadcast(other)
        assert (await chain.poll([other])).status is SubmitStatus.SUBMITTED
        upstream.enabled = (900, 0)
        upstream.confirm()
        clock.pass_(HOUR)
        assert (await chain.poll([CANDIDATE])).settled


def unsigned(about: str) -> Any:
    return logged(about) | {"evidence": logged(about)["evidence"] | {"checkpoint": "\n"}}


def bare(about: str) -> Any:
    payload = logged(about)
    del payload["evidence"]
    return payload


def with_more(value: Any) -> Callable[[str], Any]:
    """With a member that no verifier reads."""
    return lambda about: logged(about) | {"more": value}


UNBELIEVED: dict[str, tuple[str, Callable[[str], Any]]] = {
    "of another hash": ("another hash", lambda _: logged(OTHER_ROOTS.root.hex())),
    "of another chain": ("not of its LOG", mined),
    "signed by another": (
        "trusted key did not sign it",
        lambda about: signer.payload(
            about=about, signers=(replace(signer.LOG, name="other.example"), signer.WITNESS)
        ),
    ),
    "half a character": ("cannot be kept: 'half of a surrogate", with_more("\ud800")),
    "a NUL": ("cannot be kept: it holds a NUL", with_more(["a\x00b"])),
    "a key that is not ASCII": ("cannot be kept", with_more({"\xe9": 1})),
    "a number beyond all": ("cannot be kept", with_more(2**70)),
    "unsigned": ("is refused", unsigned),
    "without evidence": ("no evidence that is known", bare),
    "not verified": (
        "submitStatus is 2",
        lambda about: logged(about) | {"tree": logged(about)["tree"] | {"submitStatus": 2}},
    ),
}


@pytest.mark.parametrize("case", UNBELIEVED)
async def test_a_proof_that_is_not_believed(
    lab: UpstreamLab, upstream: FakeUpstream, case: str
) -> None:
    message, upstream.makers[900] = UNBELIEVED[case]
    clock = HandClock()
    async with opened(lab.chain(clock=clock, every=HOUR)) as chain:
        await chain.broadcast(CANDIDATE)
        upstream.publish()
        for _ in range(3):
            with pytest.raises(UnbelievedProofError, match=message):
                await chain.poll([CANDIDATE])
        assert lab.between.paths().count(PROOF) == 1
        upstream.makers[900] = logged
        clock.pass_(HOUR)
        assert (await chain.poll([CANDIDATE])).settled


async def test_a_proof_of_another_log_is_not_believed(
    lab: UpstreamLab, upstream: FakeUpstream
) -> None:
    other = signer.Signer.named("other.example/log", signer.LOG.key_type)
    upstream.policy = policy_of(other, signer.WITNESS)
    async with opened(lab.chain()) as chain:
        await chain.broadcast(CANDIDATE)
        upstream.publish()
        with pytest.raises(
            UnbelievedProofError, match="does not satisfy its log's policy: No key of"
        ):
            await chain.poll([CANDIDATE])


async def test_a_log_with_new_keys_is_believed_under_them(
    lab: UpstreamLab, upstream: FakeUpstream
) -> None:
    later = signer.Signer.named(signer.ORIGIN, signer.LOG.key_type, "later")
    clock = HandClock()
    async with opened(lab.chain(clock=clock, every=HOUR)) as chain:
        await chain.broadcast(CANDIDATE)
        upstream.publish()
        upstream.policy = policy_of(later, signer.WITNESS)
        upstream.makers[900] = lambda about: signer.payload(
            about=about, signers=(later, signer.WITNESS)
        )
        with pytest.raises(UnbelievedProofError):
            await chain.poll([CANDIDATE])
        clock.pass_(HOUR)
        assert (await chain.poll([CANDIDATE])).settled


async def test_bitcoins_test_networks_count_where_they_are_named(
    lab: UpstreamLab, upstream: FakeUpstream
) -> None:
    async with opened(lab.chain(currency=Currency.BTC, networks=())) as chain:
        await chain.broadcast(CANDIDATE)
        upstream.publish()
        await chain.poll([CANDIDATE])
        upstream.confirm()
        with pytest.raises(UnbelievedProofError, match="test network 'regtest'"):
            await chain.poll([CANDIDATE])


async def test_upstreams_of_an_upstream_are_as_many_as_a_verifier_reads(
    lab: UpstreamLab, upstream: FakeUpstream
) -> None:
    upstream.enabled = (900, 902)
    for levels, sound in ((3, True), (4, False)):
        upstream.makers[902] = lambda about, levels=levels: nested(levels, logged, about)  # type: ignore[misc]
        async with opened(lab.chain(currency=Currency.UPSTREAM)) as chain:
            await chain.broadcast(CANDIDATE)
            upstream.proofs[ROOT] |= {900, 902}
            await chain.poll([CANDIDATE])
            sighting = await chain.poll([CANDIDATE])
            evidence = await chain.evidence(ROOTS, CANDIDATE)
            tree = verified(chain, ROOTS, CANDIDATE, evidence.timestamp_ms)
            if sound:
                require_sound(tree, evidence.members, sighting.block)
            else:
                with pytest.raises(UnsoundEvidenceError, match="more than 4"):
                    require_sound(tree, evidence.members, sighting.block)


@pytest.mark.parametrize(
    "fault",
    [
        instead(Answer(200, b"<html>")),
        instead(Answer(200, b"{}")),
        instead(Answer(200, b"[]")),
        with_body(lambda body: body[:-9]),
        with_body(lambda body: body.replace(b'"depth": 0', b'"depth": 0.0')),
        with_body(lambda body: body.replace(b'"sha256"', b'"sha256": "", "sha256"')),
    ],
)
async def test_what_stands_for_a_proof_is_read_strictly(lab: UpstreamLab, fault: Fault) -> None:
    async with opened(lab.chain()) as chain:
        await chain.broadcast(CANDIDATE)
        lab.mine()
        lab.between.faults[PROOF] = [fault]
        with pytest.raises((AnswerError, UnbelievedProofError)):
            await chain.poll([CANDIDATE])
        assert (await chain.poll([CANDIDATE])).settled


async def test_a_policy_that_is_kept_decides(lab: UpstreamLab, upstream: FakeUpstream) -> None:
    other = signer.Signer.named(signer.ORIGIN, signer.LOG.key_type, "another")
    kept = parse_policy(policy_of(other, signer.WITNESS))
    async with opened(lab.chain(policy=kept)) as chain:
        with pytest.raises(WrongNetworkError, match="log_policy_file has no key of the upstream's"):
            await chain.standing()
    elsewhere = signer.Signer.named("other.example", signer.WITNESS.key_type)
    for witness, believed in ((elsewhere, False), (signer.WITNESS, True)):
        kept = parse_policy(policy_of(signer.LOG, witness))
        async with opened(lab.chain(policy=kept)) as chain:
            await chain.broadcast(CANDIDATE)
            upstream.publish()
            if believed:
                assert (await chain.poll([CANDIDATE])).settled
            else:
                with pytest.raises(UnbelievedProofError, match="not the quorum of cosigners"):
                    await chain.poll([CANDIDATE])


async def test_what_is_remembered_is_bounded(
    lab: UpstreamLab, upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proof.timestamps.anchors.upstream.service._MAX_WATCHES", 2)
    candidates = [Candidate(bytes([n] * 32).hex(), bytes([n] * 32), 0) for n in range(4)]
    async with opened(lab.chain()) as chain:
        for candidate in candidates:
            await chain.broadcast(candidate)
        upstream.publish()
        for _ in range(2):
            for candidate in candidates:
                assert (await chain.poll([candidate])).settled
        assert len(vars(chain)["_watches"]) == 2


async def test_the_chains_file_opens_it(
    lab: UpstreamLab, upstream: FakeUpstream, tmp_path: Path
) -> None:
    policy = tmp_path / "upstream.policy"
    policy.write_bytes(policy_of(signer.LOG, signer.WITNESS))
    chain = lab.opened(tmp_path, chain="btc", network="regtest", log_policy_file=policy)
    async with opened(chain):
        await chain.broadcast(CANDIDATE)
        lab.mine()
        sighting = await chain.poll([CANDIDATE])
        assert (sighting.status, sighting.settled) == (SubmitStatus.VERIFIED, False)
        upstream.confirm()
        assert (await chain.poll([CANDIDATE])).settled
