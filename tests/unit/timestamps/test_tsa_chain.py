"""The suite of chains over a time-stamping authority, and what such an authority may answer."""

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from tests.support.chain_suite import OTHER_ROOTS, ROOTS, ChainLab, ChainSuite, opened, verified
from tests.support.tsa import POLICY, generated, issuer
from tests.support.tsa_lab import FakeAuthority, TsaLab, authority, granted, refused

from proof.timestamps.anchors.chain import (
    ChainError,
    NodeDownError,
    WrongNetworkError,
)
from proof.timestamps.anchors.soundness import require_sound
from proof.timestamps.anchors.tsa.belief import (
    ClocksDifferError,
    WrongTokenError,
)
from proof.timestamps.anchors.tsa.wire import MAX_ANSWER_BYTES, AnswerError, read_answer
from proof.timestamps.tsa import der
from proof.timestamps.tsa.request import parse_request
from proof.timestamps.types import SubmitStatus


@pytest.fixture
def fake() -> Iterator[FakeAuthority]:
    with authority() as found:
        yield found


@pytest.fixture
def lab(fake: FakeAuthority) -> TsaLab:
    return TsaLab(fake)


class TestTsa(ChainSuite):
    """What has no meaning without blocks and fees is replaced by what holds in its place."""

    carries_plain_root = False

    async def test_building_tells_nobody(self, lab: ChainLab) -> None:
        """Building asks the authority and nobody else; each token is one of its own."""

        async with opened(lab.chain()) as chain:
            first, second = await chain.build(ROOTS, []), await chain.build(ROOTS, [])
            assert ROOTS.root in first.raw
            assert ROOTS.plain not in first.raw
            assert first.fee == 0
            assert first.transaction.isdigit()
            assert first.transaction != second.transaction
            assert (await chain.poll([])).status is SubmitStatus.UNSUBMITTED

    async def test_from_the_network_into_a_block_and_deep_enough(self, lab: ChainLab) -> None:
        """There is no way to go: it is verified and settled at once."""

        async with opened(lab.chain()) as chain:
            candidate = await chain.build(ROOTS, [])
            await chain.broadcast(candidate)
            await chain.broadcast(candidate)
            sighting = await chain.poll([candidate])
            assert (sighting.status, sighting.candidate) == (SubmitStatus.VERIFIED, candidate)
            assert sighting.settled
            evidence = await chain.evidence(ROOTS, candidate)
            assert evidence.cost == 0
            assert evidence.members == {"type": "rfc3161", "token": candidate.raw.hex()}
            tree = verified(chain, ROOTS, candidate, evidence.timestamp_ms)
            require_sound(tree, evidence.members, sighting.block)

    async def test_a_reorganisation_takes_it_back_and_forward_again(self, lab: ChainLab) -> None:
        """Nothing takes it back, whatever is signed later."""

        async with opened(lab.chain()) as chain:
            candidate = await chain.build(ROOTS, [])
            before = await chain.poll([candidate])
            await chain.build(OTHER_ROOTS, [])
            assert await chain.poll([candidate]) == before

    async def test_of_two_candidates_one_is_paid(self, lab: ChainLab) -> None:
        """Of two tokens the older counts, which has the earlier time."""

        async with opened(lab.chain()) as chain:
            first = await chain.build(ROOTS, [])
            second = await chain.build(ROOTS, [first])
            assert (await chain.poll([first, second])).candidate == first
            times = [(await chain.evidence(ROOTS, each)).timestamp_ms for each in (first, second)]
            assert times == sorted(times)

    async def test_the_candidate_before_may_win(self, lab: ChainLab) -> None:
        """Broadcasting the newer one changes nothing."""

        async with opened(lab.chain()) as chain:
            first = await chain.build(ROOTS, [])
            second = await chain.build(ROOTS, [first])
            await chain.broadcast(second)
            assert (await chain.poll([first, second])).candidate == first

    async def test_what_the_network_forgot_is_broadcast_again(self, lab: ChainLab) -> None:
        """What is stored is whole: nobody has to remember it."""
        async with opened(lab.chain()) as chain:
            candidate = await chain.build(ROOTS, [])

        async with opened(lab.chain()) as chain:
            assert (await chain.poll([candidate])).status is SubmitStatus.VERIFIED

    async def test_a_node_that_is_down_says_so_and_comes_back(self, lab: ChainLab) -> None:
        """Only asking for a token needs the authority."""

        async with opened(lab.chain()) as chain:
            candidate = await chain.build(ROOTS, [])
            lab.stop()
            try:
                for call in (chain.standing(), chain.build(ROOTS, [])):
                    with pytest.raises(NodeDownError) as down:
                        await call
                    assert "127.0.0.1" not in str(down.value)
                await chain.broadcast(candidate)
                assert (await chain.poll([candidate])).settled
                assert (await chain.evidence(ROOTS, candidate)).members
            finally:
                lab.start()
            assert (await chain.build(ROOTS, [])).raw

    async def test_an_empty_wallet_builds_nothing(self, lab: ChainLab) -> None:
        """There is no wallet."""

        async with opened(lab.poor()) as chain:
            standing = await chain.standing()
            assert (standing.balance, standing.anchor_cost, standing.pays_for) == (0, 0, 0)
            assert chain.unit == ""
            assert (await chain.build(ROOTS, [])).fee == 0

    async def test_above_the_ceiling_nothing_is_built(self, lab: ChainLab) -> None:
        """An authority that refuses says why, and its words cannot move a terminal's cursor."""

        async with opened(lab.capped()) as chain:
            with pytest.raises(AnswerError, match="status 2: timeNotAvailable, 'the clock") as told:
                await chain.build(ROOTS, [])
            assert told.value.message.isprintable()

    async def test_on_another_network_nothing_is_done(self, lab: ChainLab) -> None:
        """Under another CA no token is believed."""

        async with opened(lab.elsewhere()) as chain:
            for call in (chain.standing(), chain.build(ROOTS, [])):
                with pytest.raises(WrongNetworkError, match="does not vouch"):
                    await call

    async def test_what_the_operator_reads(self, lab: ChainLab) -> None:
        """The certificate that verifiers must be told of."""

        async with opened(lab.chain()) as chain:
            signer = x509.load_pem_x509_certificates(generated().chain)[0]
            fingerprint = signer.fingerprint(hashes.SHA256()).hex()
            assert (await chain.standing()).network == f"certificate {fingerprint}"
            sighting = await chain.poll([await chain.build(ROOTS, [])])
            assert sighting.block == fingerprint


def changed(**other: Any) -> Callable[[bytes], tuple[int, bytes]]:
    """An authority that answers another question than the one it was asked."""

    def answer(query: bytes) -> tuple[int, bytes]:
        request = replace(parse_request(query), **other)
        return 200, issuer().issue(request, datetime.now(UTC))

    return answer


def at(moved: timedelta) -> Callable[[bytes], tuple[int, bytes]]:
    return lambda query: (200, issuer().issue(parse_request(query), datetime.now(UTC) + moved))


def damaged(query: bytes) -> tuple[int, bytes]:
    answer = bytearray(granted(query)[1])
    answer[-1] ^= 1
    return 200, bytes(answer)


ANSWERS: dict[str, tuple[type[ChainError], Callable[[bytes], tuple[int, bytes]]]] = {
    "another nonce": (WrongTokenError, changed(nonce=5)),
    "no nonce": (WrongTokenError, changed(nonce=None)),
    "another imprint": (WrongTokenError, changed(digest=OTHER_ROOTS.root)),
    "another digest": (
        WrongTokenError,
        changed(algorithm="2.16.840.1.101.3.4.2.3", digest=ROOTS.root + ROOTS.root),
    ),
    "no certificates": (WrongTokenError, changed(certificates=False)),
    "a damaged signature": (WrongTokenError, damaged),
    "an hour ago": (ClocksDifferError, at(timedelta(hours=-1))),
    "in an hour": (ClocksDifferError, at(timedelta(hours=1))),
    "a refusal": (AnswerError, refused),
    "a web page": (AnswerError, lambda _: (200, b"<html>")),
    "nothing": (AnswerError, lambda _: (200, b"")),
    "granted without a token": (
        AnswerError,
        lambda _: (200, der.sequence(der.sequence(der.integer(0)))),
    ),
    "a token alone": (AnswerError, lambda query: (200, read_answer(granted(query)[1]))),
    "a server error": (NodeDownError, lambda query: (500, granted(query)[1])),
    "a redirect": (NodeDownError, lambda query: (307, granted(query)[1])),
    "too much": (NodeDownError, lambda query: (200, granted(query)[1] + bytes(MAX_ANSWER_BYTES))),
}


@pytest.mark.parametrize("case", ANSWERS)
async def test_an_answer_that_is_not_believed(case: str, lab: TsaLab) -> None:
    expected, lab.authority.answer = ANSWERS[case]

    async with opened(lab.chain()) as chain:
        with pytest.raises(expected) as told:
            await chain.build(ROOTS, [])
        assert "127.0.0.1" not in str(told.value)
    assert (lab.authority.asked, lab.authority.redirected) == (1, 0)


async def test_an_answer_that_never_ends_is_given_up(lab: TsaLab) -> None:
    lab.authority.dribble_s = 0.1

    async with opened(lab.chain(timeout_s=0.3)) as chain:
        with pytest.raises(NodeDownError, match=r"does not answer within 0\.3 s"):
            await chain.build(ROOTS, [])


async def test_a_policy_is_asked_for_and_required(lab: TsaLab) -> None:
    async with opened(lab.chain(policy="2.25.7")) as chain:
        with pytest.raises(AnswerError, match="unacceptedPolicy"):
            await chain.build(ROOTS, [])
        lab.authority.answer = changed(policy=None)
        with pytest.raises(WrongTokenError, match=f"under policy {POLICY}"):
            await chain.build(ROOTS, [])
    lab.authority.answer = granted
    async with opened(lab.chain(policy=POLICY)) as chain:
        await chain.build(ROOTS, [])


async def test_an_authority_that_failed_is_left_alone_for_a_while(lab: TsaLab) -> None:
    lab.authority.answer = refused

    async with opened(lab.chain(pause=timedelta(minutes=1))) as chain:
        for _ in range(3):
            with pytest.raises(AnswerError):
                await chain.build(ROOTS, [])
    assert lab.authority.asked == 1


async def test_damaged_storage_is_told(lab: TsaLab) -> None:
    async with opened(lab.chain()) as chain:
        candidate = await chain.build(ROOTS, [])
        cut = replace(candidate, raw=candidate.raw[:-1])
        with pytest.raises(ChainError, match="is damaged"):
            await chain.poll([cut])
        with pytest.raises(WrongTokenError):
            await chain.evidence(OTHER_ROOTS, candidate)


CONFIGURATION = """
[tsa]
default_tsa = here
[here]
dir = .
serial = ./serial
crypto_device = builtin
signer_cert = ./signer.pem
certs = ./ca.pem
signer_key = ./key.pem
signer_digest = {digest}
default_policy = 1.2.3.4
digests = sha256
accuracy = secs:2, millisecs:7, microsecs:9
ordering = yes
tsa_name = yes
ess_cert_id_chain = {chain}
ess_cert_id_alg = {ess}
"""


@pytest.mark.parametrize(
    ("digest", "ess", "with_chain"),
    [("sha256", "sha1", "no"), ("sha512", "sha256", "yes"), ("sha384", "sha512", "no")],
)
async def test_an_authority_written_elsewhere(
    tmp_path: Path, lab: TsaLab, digest: str, ess: str, with_chain: str
) -> None:
    """OpenSSL's, with what ours leaves out: ordering, its name, a chain of hashes."""
    signer, ca = x509.load_pem_x509_certificates(generated().chain)
    (tmp_path / "ca.pem").write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    (tmp_path / "signer.pem").write_bytes(signer.public_bytes(serialization.Encoding.PEM))
    (tmp_path / "key.pem").write_bytes(generated().key)
    (tmp_path / "serial").write_text("01\n")
    configuration = CONFIGURATION.format(digest=digest, ess=ess, chain=with_chain)
    (tmp_path / "conf").write_text(configuration)

    def answer(query: bytes) -> tuple[int, bytes]:
        (tmp_path / "query").write_bytes(query)
        command = ["openssl", "ts", "-reply", "-config", "conf", "-queryfile", "query"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=120)
        return 200, done.stdout

    lab.authority.answer = answer
    async with opened(lab.chain(policy="1.2.3.4")) as chain:
        candidate = await chain.build(ROOTS, [])
        assert candidate.transaction == "2"
        sighting = await chain.poll([candidate])
        evidence = await chain.evidence(ROOTS, candidate)
        tree = verified(chain, ROOTS, candidate, evidence.timestamp_ms)
        require_sound(tree, evidence.members, sighting.block)
