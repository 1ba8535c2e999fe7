"""What a witness may answer: each answer counts for what it proves, and for nothing else."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from tests.support.fake_witness import FakeWitness, Reply, fake_witness
from tests.support.hostile import endless, hostile

from proof.core.note_keys import SigningKey
from proof.timestamps.anchors.log.cosigning import (
    MAX_CLOCK_DIFFERENCE_S,
    ContradictionError,
    WitnessClient,
    WitnessError,
    cosignatures,
    request,
)
from proof.timestamps.anchors.log.keys import Proposal
from proof.verify.evidence.log.note import (
    COSIGNER_KEY,
    LOG_KEY,
    MLDSA_COSIGNER_KEY,
    checkpoint_body,
    signature_line,
    signed_note,
)

LOG = SigningKey.generate("log.example", LOG_KEY)
ED25519 = SigningKey.generate("w.example", COSIGNER_KEY)
MLDSA = SigningKey.generate("w.example", MLDSA_COSIGNER_KEY)
OTHER = SigningKey.generate("x.example", COSIGNER_KEY)
KEYS = {"ed": ED25519.public, "pq": MLDSA.public}
NOW_S = 1_800_000_000


def proposed(size: int = 5, root: bytes = bytes(range(32))) -> Proposal:
    body = checkpoint_body(LOG.name, size, root)
    return Proposal(LOG.name, size, root, body, signed_note(body, [LOG.sign(body)]))


PROPOSAL = proposed()
BODY = PROPOSAL.body


def test_a_request_is_as_tlog_witness_lays_it_out() -> None:
    sent = request(3, [bytes(32), b"\xff" * 32], b"the\nnote\n")
    assert sent == b"old 3\n" + b"A" * 43 + b"=\n" + b"/" * 42 + b"8=\n" + b"\nthe\nnote\n"
    assert request(0, [], b"note\n") == b"old 0\n\nnote\n"
    with pytest.raises(ValueError, match="63"):
        request(3, [bytes(32)] * 64, b"")


def test_both_keys_of_a_witness_count_under_their_own_names() -> None:
    lines = [ED25519.cosign(BODY, NOW_S), OTHER.cosign(BODY, NOW_S), MLDSA.cosign(BODY, NOW_S - 2)]
    found = cosignatures(b"".join(lines), PROPOSAL, KEYS, NOW_S)
    assert found == {"ed": lines[0], "pq": lines[2]}


def test_one_good_line_counts_beside_a_bad_one() -> None:
    bad = ED25519.cosign(proposed(6).body, NOW_S)
    good = MLDSA.cosign(BODY, NOW_S)
    assert cosignatures(bad + good, PROPOSAL, KEYS, NOW_S) == {"pq": good}


FAR = MAX_CLOCK_DIFFERENCE_S + 1


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"", "no list of signature lines"),
        (b"<html>\n", "no list of signature lines"),
        (b"\xff\n", "no list of signature lines"),
        (b"origin\n\n" + ED25519.cosign(BODY, NOW_S), "an empty line"),
        (ED25519.cosign(BODY, NOW_S).removesuffix(b"\n"), "no list of signature lines"),
        (OTHER.cosign(BODY, NOW_S) * 65, "no list of signature lines"),
        (OTHER.cosign(BODY, NOW_S), "none of the keys"),
        (ED25519.cosign(proposed(6).body, NOW_S), "does not verify"),
        (MLDSA.cosign(proposed(6).body, NOW_S), "does not verify"),
        (ED25519.cosign(BODY, NOW_S + FAR), r"dated \+61 s"),
        (MLDSA.cosign(BODY, NOW_S - FAR), "dated -61 s"),
        (ED25519.cosign(BODY, 0), "dated -1800000000 s"),
        (ED25519.cosign(BODY, 2**63 - 1), "dated"),
        (
            signature_line(ED25519.name, ED25519.public.key_hash, b"\xff" * 72)
            + signature_line(MLDSA.name, MLDSA.public.key_hash, b"\xff" * 2428),
            "impossible time; .*impossible time",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_does_not_count_says_why(answer: bytes, said: str) -> None:
    with pytest.raises(WitnessError, match=said):
        cosignatures(answer, PROPOSAL, KEYS, NOW_S)


def test_a_cosignature_of_the_wrong_length_does_not_count() -> None:
    line = signature_line(ED25519.name, ED25519.public.key_hash, bytes(71))
    with pytest.raises(WitnessError, match="wrong length"):
        cosignatures(line, PROPOSAL, KEYS, NOW_S)


def ask(url: str, old: int = 0, proposal: Proposal = PROPOSAL, timeout_s: float = 120.0) -> object:
    async def run() -> object:
        client = WitnessClient(url, timeout_s)
        try:
            return await client.add_checkpoint(old, [], proposal)
        finally:
            await client.close()

    return asyncio.run(run())


@contextmanager
def witness(reply: Reply) -> Iterator[FakeWitness]:
    with fake_witness("w.example", LOG.public, (COSIGNER_KEY,)) as found:
        found.fault = lambda _body, _reply: reply
        yield found


def test_a_witness_that_keeps_the_rules_answers_with_its_lines() -> None:
    with fake_witness("w.example", LOG.public) as found:
        answer = ask(found.url)
        assert isinstance(answer, bytes)
        keys = {str(n): key.public for n, key in enumerate(found.keys)}
        assert cosignatures(answer, PROPOSAL, keys, int(time.time())).keys() == {"0", "1"}
        assert ask(found.url, 0) == 5, "it names the size that it holds"


@pytest.mark.parametrize("body", [b"7\n", b"7"])
def test_a_conflict_names_the_size_to_go_on_from(body: bytes) -> None:
    with witness(Reply(409, body)) as found:
        assert ask(found.url) == 7


@pytest.mark.parametrize(
    ("reply", "old"),
    [(Reply(422), 0), (Reply(422, b"5\n"), 3), (Reply(409, b"5\n"), 5)],
    ids=["another history", "another history after three", "another root of that size"],
)
def test_another_history_is_a_contradiction(reply: Reply, old: int) -> None:
    with witness(reply) as found, pytest.raises(ContradictionError):
        ask(found.url, old)


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply(409, b"3\n"), "HTTP status 409: '3'"),
        (Reply(409, b""), "HTTP status 409"),
        (Reply(409, b"07\n"), "HTTP status 409"),
        (Reply(409, b"-7\n"), "HTTP status 409"),
        (Reply(409, b"9" * 20), "HTTP status 409"),
        (Reply(409, "٧\n".encode()), "HTTP status 409"),
        (Reply(302, b"", {"location": "http://127.0.0.1:1/"}), "HTTP status 302"),
        (Reply(404, b"unknown log\n"), "HTTP status 404: 'unknown log'"),
        (Reply(403), "HTTP status 403"),
        (Reply(500, b"\x1b[2J" + b"x" * 5000), r"500: '\\x1b"),
        (Reply(raw=b"HTTP/1.1 200 OK\r\n"), "does not answer"),
        (Reply(raw=b"gibberish\r\n\r\n"), "does not answer"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_any_other_answer_is_a_witness_that_fails(reply: Reply, said: str) -> None:
    with witness(reply) as found, pytest.raises(WitnessError, match=said) as caught:
        ask(found.url, 3)
    assert not isinstance(caught.value, ContradictionError)
    assert len(caught.value.message) < 300


def test_too_much_is_not_read() -> None:
    with hostile(endless(b"HTTP/1.1 200 OK\r\n\r\n", b"x")) as found:
        with pytest.raises(WitnessError, match="is over 65536 bytes"):
            ask(found.url)
        found.hung_up.wait()


def test_one_that_never_answers_is_left_at_its_deadline() -> None:
    with fake_witness("w.example", LOG.public) as found:
        found.gate.clear()
        with pytest.raises(WitnessError, match=r"within 0\.1 s"):
            ask(found.url, timeout_s=0.1)


def test_a_kept_connection_that_was_closed_meanwhile_is_opened_again() -> None:
    async def run(url: str, closes: Callable[[], None]) -> None:
        client = WitnessClient(url, 120.0)
        try:
            await client.add_checkpoint(0, [], PROPOSAL)
            closes()
            assert isinstance(await client.add_checkpoint(5, [], PROPOSAL), bytes)
        finally:
            await client.close()

    with fake_witness("w.example", LOG.public, (COSIGNER_KEY,)) as found:
        calls = iter([True, False])

        def drop_once(_body: bytes, reply: Reply) -> Reply:
            return Reply(raw=b"") if next(calls) else reply

        def closes() -> None:
            found.fault = drop_once

        asyncio.run(run(found.url, closes))


@pytest.mark.parametrize("shows", [True, False])
def test_what_a_witness_holds_is_believed_by_our_own_signature(shows: bool) -> None:
    async def run(url: str) -> object:
        client = WitnessClient(url, 120.0)
        try:
            await client.add_checkpoint(0, [], PROPOSAL)
            mine = await client.newest(LOG.name, LOG.public)
            stranger = SigningKey.generate(LOG.name, LOG_KEY).public
            assert await client.newest(LOG.name, stranger) is None
            return mine
        finally:
            await client.close()

    with fake_witness("w.example", LOG.public, (COSIGNER_KEY,)) as found:
        found.shows = shows
        held = asyncio.run(run(found.url))
    assert (held is not None) is shows
    if held is not None:
        assert (held.size, held.root) == (5, PROPOSAL.root)  # type: ignore[attr-defined]
