"""The suite of chains over an upstream in memory, and what an upstream may answer."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support import signer
from tests.support.anchors import HandClock
from tests.support.chain_suite import OTHER_ROOTS, ROOTS, opened, verified
from tests.support.middleman import Answer, Fault, after, instead, lost, unanswered, with_body
from tests.support.upstream_lab import (
    FakeUpstream,
    UpstreamChainSuite,
    UpstreamLab,
    fake_lab,
    policy_of,
    said,
)
from tests.support.upstreams import logged, mined, nested

from proof.partners.access.tokens import new_token
from proof.partners.types import Environment
from proof.timestamps.anchors.chain import (
    Candidate,
    ChainError,
    NodeDownError,
    WrongNetworkError,
)
from proof.timestamps.anchors.soundness import UnsoundEvidenceError, require_sound
from proof.timestamps.anchors.upstream.account import AccountError, AnswerError, LaterError
from proof.timestamps.anchors.upstream.service import UnbelievedProofError
from proof.timestamps.types import Currency, SubmitStatus
from proof.verify import parse_policy

ROOT = ROOTS.root.hex()
PROOF = f"/v1/proof/{ROOT}?currencyId=900"
BITCOIN = f"/v1/proof/{ROOT}?currencyId=0"
CANDIDATE = Candidate(ROOT, ROOTS.root, 0)
HOUR = timedelta(hours=1)


@pytest.fixture
def lab() -> Iterator[UpstreamLab]:
    with fake_lab() as found:
        yield found


@pytest.fixture
def upstream(lab: UpstreamLab) -> FakeUpstream:
    assert isinstance(lab.upstream, FakeUpstream)
    return lab.upstream


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


REFUSED: dict[str, tuple[type[ChainError], str, Fault]] = {
    "too often": (LaterError, "429, 'slower'", instead(said(429, "slower"))),
    "away": (LaterError, "503", instead(Answer(503, b"<html>"))),
    "broken": (NodeDownError, "500", instead(Answer(500, b""))),
    "a redirect": (AnswerError, "307", instead(Answer(307, b"", {"location": "/elsewhere"}))),
    "another program": (AnswerError, "404", instead(Answer(404, b"<html>"))),
    "a web page": (AnswerError, "is no Proof", instead(Answer(200, b"<html>"))),
    "nothing": (AnswerError, "is no Proof", instead(Answer(200, b""))),
    "another's JSON": (AnswerError, "is no Proof", instead(Answer(200, b'{"sha256": 5}'))),
    "deep JSON": (AnswerError, "is no Proof", instead(Answer(200, b"[" * 100_000))),
    "about something else": (
        AnswerError,
        "does not say that it took the root",
        instead(Answer(200, b'{"sha256": []}')),
    ),
    "too much": (NodeDownError, "is over", instead(Answer(200, bytes(600_000)))),
    "no answer": (NodeDownError, "does not answer", lost),
    "an answer that is lost": (NodeDownError, "does not answer", unanswered),
    "denied": (AccountError, "'203.0.113.7 is not", instead(said(403, "203.0.113.7 is not on it"))),
    "escapes": (AccountError, r"x1b\[2J", instead(said(403, "\x1b[2J"))),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_a_submission_that_is_refused_is_told_and_made_again(
    lab: UpstreamLab, case: str
) -> None:
    expected, message, fault = REFUSED[case]
    lab.between.faults["/v1/timestamp"] = [fault]
    async with opened(lab.chain()) as chain:
        with pytest.raises(expected, match=message) as told:
            await chain.broadcast(CANDIDATE)
        assert told.value.message.isprintable()
        assert "127.0.0.1" not in told.value.message
        await chain.broadcast(CANDIDATE)
        assert (await chain.poll([CANDIDATE])).status is SubmitStatus.SUBMITTED


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


async def test_an_upstream_that_fails_is_left_alone_for_a_while(lab: UpstreamLab) -> None:
    clock = HandClock()
    async with opened(lab.chain(clock=clock, pause=timedelta(seconds=10))) as chain:
        await chain.standing()
        lab.between.asked.clear()
        lab.between.faults["/v1/timestamp"] = [
            instead(said(503, "in a minute", {"retry-after": "60"})),
            lost,
        ]
        for wait_s, asked in ((59, 1), (1, 1), (9, 2), (1, 2)):
            for _ in range(2):
                with pytest.raises(ChainError):
                    await chain.broadcast(CANDIDATE)
            clock.pass_(timedelta(seconds=wait_s))
            assert len(lab.between.asked) == asked
        await chain.broadcast(CANDIDATE)
        assert lab.between.paths() == ["/v1/timestamp"] * 3


async def test_an_upstream_that_is_slow_is_given_up(lab: UpstreamLab) -> None:
    ended = threading.Event()
    lab.between.faults["/v1/timestamp"] = [after(ended.wait)]
    try:
        async with opened(lab.chain(timeout_s=0.2)) as chain:
            with pytest.raises(NodeDownError, match=r"does not answer within 0\.2 s"):
                await chain.broadcast(CANDIDATE)
    finally:
        ended.set()


@pytest.mark.parametrize("text", ["", "soon", "-1", "Wed, 21 Oct 2026 07:28:00 GMT", "9" * 400])
async def test_however_long_it_says_an_upstream_is_asked_within_the_hour(
    lab: UpstreamLab, text: str
) -> None:
    clock = HandClock()
    lab.between.faults["/v1/timestamp"] = [instead(said(429, "later", {"retry-after": text}))]
    async with opened(lab.chain(clock=clock)) as chain:
        with pytest.raises(LaterError):
            await chain.broadcast(CANDIDATE)
        clock.pass_(HOUR)
        await chain.broadcast(CANDIDATE)


async def test_a_key_that_was_revoked_is_told_and_its_successor_is_read_from_the_file(
    lab: UpstreamLab, upstream: FakeUpstream
) -> None:
    in_file, reads = upstream.token, 0

    def read_key() -> str:
        nonlocal reads
        reads += 1
        return in_file

    async with opened(lab.chain(read_key=read_key)) as chain:
        await chain.broadcast(CANDIDATE)
        assert reads == 1
        upstream.token = new_token(Environment.PRODUCTION).text
        with pytest.raises(AccountError, match="revoked"):
            await chain.poll([CANDIDATE])
        in_file = upstream.token
        assert (await chain.poll([CANDIDATE])).status is SubmitStatus.SUBMITTED


async def test_a_key_whose_file_is_gone_is_told(lab: UpstreamLab, upstream: FakeUpstream) -> None:
    keys = iter([upstream.token])

    def read_key() -> str:
        for key in keys:
            return key
        raise FileNotFoundError(2, "No such file or directory")

    async with opened(lab.chain(read_key=read_key)) as chain:
        upstream.token = new_token(Environment.PRODUCTION).text
        with pytest.raises(AccountError, match="credentials_file gives none: No such file"):
            await chain.standing()


async def test_the_key_is_in_no_error_and_no_address(
    lab: UpstreamLab, upstream: FakeUpstream, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not even where whoever answers sends it back."""
    key = upstream.token
    told: list[str] = []
    async with opened(lab.chain(read_key=lambda: key)) as chain:
        assert key not in repr(vars(chain))
        await chain.standing()
        for status in (400, 403, 429, 500, 503):
            lab.between.faults["/v1/timestamp"] = [instead(said(status, f"who is {key}?"))]
            lab.between.faults["/whoami"] = [instead(said(status, key))]
            for call in (chain.broadcast(CANDIDATE), chain.standing()):
                with pytest.raises(ChainError) as error:
                    await call
                told.append(repr(error.value) + str(error.value.__cause__))
        upstream.token = new_token(Environment.PRODUCTION).text
        with pytest.raises(AccountError) as error:
            await chain.broadcast(CANDIDATE)
        told.append(str(error.value))
    secret = key.split("_")[3]
    assert not [text for text in (*told, *lab.between.paths()) if secret in text]
    assert secret not in "".join(capsys.readouterr())


UNFIT: dict[str, tuple[type[ChainError], str, dict[str, Any]]] = {
    "of a sandbox": (
        WrongNetworkError,
        "'sandbox', not of its production",
        {"environment": "sandbox"},
    ),
    "of the ramp": (AccountError, "holds no api_key", {"kind": "client_token"}),
    "suspended": (AccountError, "suspended", {"suspended": True}),
    "at another address": (
        AccountError,
        "at '203.0.113.7'",
        {"allowed": False, "address": "203.0.113.7"},
    ),
}


@pytest.mark.parametrize("case", UNFIT)
async def test_an_account_that_does_not_fit_gets_nothing(
    lab: UpstreamLab, upstream: FakeUpstream, case: str
) -> None:
    expected, message, upstream.identity = UNFIT[case]
    async with opened(lab.chain()) as chain:
        for call in (chain.standing(), chain.build(ROOTS, []), chain.broadcast(CANDIDATE)):
            with pytest.raises(expected, match=message):
                await call
    assert upstream.proofs == {}


async def test_whose_account_it_is_is_taken_for_granted_for_ten_minutes(
    lab: UpstreamLab, upstream: FakeUpstream
) -> None:
    clock = HandClock()
    async with opened(lab.chain(clock=clock)) as chain:
        for pause_s, asked in ((0, 1), (599, 1), (1, 2)):
            clock.pass_(timedelta(seconds=pause_s))
            await chain.broadcast(CANDIDATE)
            assert lab.between.paths().count("/whoami") == asked


async def test_an_allowlist_that_only_reports_holds_nobody_up(
    lab: UpstreamLab, upstream: FakeUpstream
) -> None:
    upstream.identity = {"allowed": False, "allowlist_mode": "report"}
    async with opened(lab.chain()) as chain:
        await chain.broadcast(CANDIDATE)


async def test_an_account_that_does_not_fit_is_asked_about_again_after_the_pause(
    lab: UpstreamLab, upstream: FakeUpstream
) -> None:
    clock = HandClock()
    upstream.identity = {"suspended": True}
    async with opened(lab.chain(clock=clock, pause=timedelta(seconds=10))) as chain:
        for _ in range(3):
            with pytest.raises(AccountError, match="suspended"):
                await chain.broadcast(CANDIDATE)
            clock.pass_(timedelta(seconds=4))
        assert lab.between.paths().count("/whoami") == 1
        upstream.identity = {}
        await chain.broadcast(CANDIDATE)


async def test_an_installation_is_not_its_own_upstream(
    lab: UpstreamLab, upstream: FakeUpstream
) -> None:
    async with opened(lab.chain(own_origins={signer.ORIGIN})) as chain:
        for call in (chain.standing(), chain.broadcast(CANDIDATE), chain.poll([CANDIDATE])):
            with pytest.raises(WrongNetworkError, match="this installation itself"):
                await call
    assert upstream.proofs == {}


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


@pytest.mark.parametrize("policy", [b"", b"<html>", b"quorum none\n", b"log x\nquorum none\n"])
async def test_an_upstream_without_a_log_is_none(
    lab: UpstreamLab, upstream: FakeUpstream, policy: bytes
) -> None:
    upstream.policy = policy
    async with opened(lab.chain()) as chain:
        with pytest.raises(ChainError, match="see that"):
            await chain.standing()


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
