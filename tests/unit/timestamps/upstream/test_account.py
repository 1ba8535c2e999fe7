"""The account at an upstream: what it may be refused, when it is asked again, whom it has to belong to."""

import threading
from datetime import timedelta
from typing import Any

import pytest
from tests.support import signer
from tests.support.anchors import HandClock
from tests.support.chain_suite import ROOTS, opened
from tests.support.middleman import Answer, Fault, after, instead, lost, unanswered
from tests.support.upstream_lab import (
    FakeUpstream,
    UpstreamLab,
    said,
)

from proof.partners.access.tokens import new_token
from proof.partners.types import Environment
from proof.timestamps.anchors.chain import (
    Candidate,
    ChainError,
    NodeDownError,
    WrongNetworkError,
)
from proof.timestamps.anchors.upstream.account import AccountError, AnswerError, LaterError
from proof.timestamps.types import SubmitStatus

CANDIDATE = Candidate(ROOTS.root.hex(), ROOTS.root, 0)
HOUR = timedelta(hours=1)

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


@pytest.mark.parametrize("policy", [b"", b"<html>", b"quorum none\n", b"log x\nquorum none\n"])
async def test_an_upstream_without_a_log_is_none(
    lab: UpstreamLab, upstream: FakeUpstream, policy: bytes
) -> None:
    upstream.policy = policy
    async with opened(lab.chain()) as chain:
        with pytest.raises(ChainError, match="see that"):
            await chain.standing()
