"""Upstream evidence: a proof inside a proof, under the same trust, and what a forger meets."""

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import anchored, signer
from tests.support.signer import some_leaves
from tests.support.upstreams import Payload, logged, mined, nested, upstream

from proof.verify import ChainTrust, Established, RefusedError, errors, verify_payload
from proof.verify.cli import main
from proof.verify.evidence.bitcoin.headers import load_headers
from proof.verify.evidence.upstream.evidence import MAX_PROOFS, proof_hash

HEADERS = anchored.bitcoin().headers
MINED = upstream(mined)
BLOCK = anchored.double_sha256(bytes.fromhex(MINED["evidence"]["proof"]["evidence"]["header"]))
BY_LOG: dict[str, Any] = {"log_keys": signer.KEYS}
BY_BLOCK: dict[str, Any] = {
    "chains": ChainTrust(bitcoin_blocks={BLOCK}, networks={"regtest"}),
}
VALID = upstream()


def verified(payload: Payload, **trust: Any) -> Established:
    trust.setdefault("ed25519_verify", signer.openssl_verify)
    return verify_payload(json.dumps(payload).encode(), **trust)


def test_the_upstreams_log_ties_it() -> None:
    established = verified(VALID, **BY_LOG)
    assert established.tied
    assert established.leaf.hex() == VALID["sha256"]
    assert established.timestamp_ms == signer.EXISTED_BY_MS
    assert established.signed_by == signer.ORIGIN
    assert (established.remaining, established.inclusion) == ((), None)
    found = established.upstream
    assert found is not None
    assert found.plain_root is None
    assert not found.named
    assert found.proof.leaf == established.root
    assert found.proof.inclusion is not None
    assert found.proof.inclusion.origin == signer.ORIGIN


def test_the_upstreams_block_ties_it() -> None:
    established = verified(MINED, **BY_BLOCK)
    assert established.tied
    assert established.timestamp_ms == MINED["tree"]["timestamp"]
    assert established.upstream is not None
    assert established.upstream.proof.bitcoin is not None
    assert established.upstream.proof.bitcoin.tied_by == "block"
    assert established.bitcoin is None


@pytest.mark.parametrize("make", [logged, mined])
@pytest.mark.parametrize("levels", range(1, MAX_PROOFS + 1))
def test_an_upstream_has_an_upstream(levels: int, make: Callable[[str], Payload]) -> None:
    established = verified(nested(levels, make), **BY_LOG | trusting_the_last(levels, make))
    assert established.tied
    for _ in range(levels):
        assert established.upstream is not None
        assert established.upstream.proof.timestamp_ms == established.timestamp_ms
        established = established.upstream.proof
    assert established.upstream is None


def trusting_the_last(levels: int, make: Callable[[str], Payload]) -> dict[str, Any]:
    payload = nested(levels, make)
    for _ in range(levels):
        payload = payload["evidence"]["proof"]
    if payload["evidence"]["type"] == "log":
        return {}
    block = anchored.double_sha256(bytes.fromhex(payload["evidence"]["header"]))
    return {"chains": ChainTrust(bitcoin_blocks={block}, networks={"regtest"})}


def test_too_many_upstreams_are_refused() -> None:
    with pytest.raises(errors.ProofDepthError):
        verified(nested(MAX_PROOFS + 1), **BY_LOG)


def test_a_proof_that_holds_itself_is_refused() -> None:
    """Only a caller that parsed it another way can have such a one."""
    cycle = copy.deepcopy(VALID)
    cycle["evidence"]["proof"] = cycle
    with pytest.raises(errors.ProofDepthError):
        verify_payload(cycle)


@pytest.mark.parametrize(
    ("trust", "said"),
    [
        ({}, "No key of the log"),
        ({"log_keys": [signer.WITNESS.key]}, "No key of the log"),
        ({"log_keys": [signer.LOG.key]}, "no cosigner that counts for you signed a time"),
        (BY_BLOCK, "No key of the log"),
    ],
    ids=["nothing", "a cosigner alone", "a log alone", "another chain"],
)
def test_without_trust_says_what_remains(trust: dict[str, Any], said: str) -> None:
    established = verified(VALID, **trust)
    assert (established.tied, established.timestamp_ms) == (False, None)
    (remaining,) = established.remaining
    assert remaining.startswith("Of the upstream's proof: ")
    assert said in remaining


def test_the_policys_quorum_is_needed_inside_as_outside(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = f"log {signer.LOG.text}\nwitness w {signer.WITNESS.text}\n"
    other = signer.Signer.named("other.example", signer.WITNESS.key_type).text
    path, policy = tmp_path / "proof.json", tmp_path / "policy"
    path.write_text(json.dumps(VALID))
    policy.write_text(f"{lines}quorum w\n")
    assert main([str(path), "--policy", str(policy)]) == 0
    policy.write_text(f"{lines}witness v {other}\ngroup g all v w\nquorum g\n")
    assert main([str(path), "--policy", str(policy)]) == 3
    said = capsys.readouterr().out
    assert f"is in what the log '{signer.ORIGIN}' signed without your quorum" in said
    assert "Not established: Of the upstream's proof: The log" in said


def test_a_test_network_counts_inside_as_outside() -> None:
    with pytest.raises(errors.OtherNetworkError, match=r"in the upstream's proof: .*'regtest'"):
        verified(MINED)
    other = load_headers(anchored.header_file(anchored.chain(12, seed=1)))
    with pytest.raises(errors.OtherHeaderError):
        verified(MINED, chains=ChainTrust(headers=other, networks={"regtest"}))


@pytest.mark.parametrize("without", ["evidence", "known evidence"])
def test_a_proof_inside_that_shows_nothing_is_not_tied(without: str) -> None:
    payload = copy.deepcopy(VALID)
    if without == "evidence":
        del payload["evidence"]["proof"]["evidence"]
    else:
        payload["evidence"]["proof"]["evidence"]["type"] = "tea leaves"
    established = verified(payload, **BY_LOG)
    assert not established.tied
    assert "is only what the proof says" in established.remaining[0]


def test_a_caller_may_name_the_upstreams_proof_itself() -> None:
    proof = MINED["evidence"]["proof"]
    named = ChainTrust(blocks={"upstream": {proof_hash(proof)}}, networks={"regtest"})
    written_otherwise = copy.deepcopy(MINED)
    written_otherwise["evidence"]["proof"] = dict(reversed(proof.items()))
    for payload in (MINED, written_otherwise):
        established = verified(payload, chains=named)
        assert established.tied
        assert (established.timestamp_ms, established.remaining) == (proof["tree"]["timestamp"], ())
        assert established.upstream is not None
        assert established.upstream.named
    changed = copy.deepcopy(MINED)
    changed["evidence"]["proof"]["tree"]["treeId"] = "another name"
    assert not verified(changed, chains=named).tied
    with pytest.raises(RefusedError, match="test network"):
        verified(MINED, chains=replace(named, networks=frozenset()))


OTHER = some_leaves(9)[8]


def swapped_proof(payload: Payload) -> None:
    payload["evidence"]["proof"] = logged(OTHER)


def relabelled_proof(payload: Payload) -> None:
    """A proof of something else that says it is about the root."""
    swapped_proof(payload)
    payload["evidence"]["proof"]["sha256"] = payload["tree"]["rootSha256"]


def grafted_branch(payload: Payload) -> None:
    """The right leaf in a tree that the evidence is not of."""
    evidence = logged(OTHER)["evidence"]
    payload["evidence"]["proof"]["evidence"] = evidence


def swapped_trees(payload: Payload) -> None:
    proof = payload["evidence"]["proof"]
    payload["tree"], proof["tree"] = proof["tree"], payload["tree"]


def tree(**members: Any) -> Callable[[Payload], None]:
    return lambda payload: payload["tree"].update(members)


def inner(**members: Any) -> Callable[[Payload], None]:
    return lambda payload: payload["evidence"]["proof"]["tree"].update(members)


def proof(value: object) -> Callable[[Payload], None]:
    return lambda payload: payload["evidence"].update(proof=value)


FORGERIES: dict[str, tuple[type[RefusedError], Callable[[Payload], object]]] = {
    "a proof of another hash": (errors.UpstreamHashError, swapped_proof),
    "a proof of another hash, relabelled": (errors.LeafMismatchError, relabelled_proof),
    "the root's plain root": (
        errors.UpstreamHashError,
        lambda p: p["evidence"].update(
            proof=logged(p["evidence"]["proof"]["evidence"]["plainRoot"])
        ),
    ),
    "evidence of another tree": (errors.LogRootMismatchError, grafted_branch),
    "trees exchanged": (errors.RootMismatchError, swapped_trees),
    "no proof": (errors.MemberError, lambda p: p["evidence"].pop("proof")),
    "a proof as text": (errors.MemberError, proof("{}")),
    "a proof in a list": (errors.MemberError, proof([upstream()["evidence"]["proof"]])),
    "an empty proof": (errors.HexError, proof({})),
    "the proof itself inside": (errors.UpstreamHashError, lambda p: proof(copy.deepcopy(p))(p)),
    "a proof that is not verified": (errors.SubmitStatusError, inner(submitStatus=2)),
    "sold as the log's": (errors.CurrencyMismatchError, tree(currencyId=900, currency="LOG")),
    "labelled otherwise": (errors.CurrencyMismatchError, tree(currency="BTC")),
    "numbered otherwise": (errors.CurrencyMismatchError, tree(currencyId=901)),
    "the upstream's transaction": (errors.TransactionMismatchError, tree(transaction="6")),
    "an earlier time": (errors.TimestampMismatchError, tree(timestamp=signer.EXISTED_BY_MS - 1000)),
    "an earlier claim inside": (errors.TimestampMismatchError, inner(timestamp=1)),
    "the log's evidence outside": (
        errors.LogRootMismatchError,
        lambda p: p.update(evidence=p["evidence"]["proof"]["evidence"]),
    ),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forgery_is_refused(name: str) -> None:
    expected, forge = FORGERIES[name]
    payload = copy.deepcopy(VALID)
    forge(payload)
    with pytest.raises(expected) as refused:
        verified(payload, **BY_LOG)
    assert type(refused.value) is expected


def test_both_claims_earlier_establish_nothing_earlier() -> None:
    """The publishers' claims: what counts is what the upstream's cosigner signed."""
    payload = copy.deepcopy(VALID)
    tree(timestamp=1000)(payload)
    inner(timestamp=1000)(payload)
    established = verified(payload, **BY_LOG)
    assert established.timestamp_ms == signer.EXISTED_BY_MS
    assert established.claimed.timestamp_ms == 1000


def test_what_is_wrong_inside_is_said_to_be_there() -> None:
    payload = copy.deepcopy(VALID)
    payload["evidence"]["proof"]["evidence"]["index"] = 99
    with pytest.raises(errors.LogIndexError, match=r"^in the upstream's proof: "):
        verified(payload, **BY_LOG)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(max_size=70),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["proof", "evidence", "tree", "type", "x"]), inner)
    ),
    max_leaves=12,
)
PLACES = ["proof", "sha256", "tree", "branch", "evidence", "type"]


@settings(max_examples=150)
@given(where=st.lists(st.sampled_from(PLACES), min_size=1, max_size=4), value=JSON)
def test_whatever_stands_inside_is_verified_or_refused(where: list[str], value: object) -> None:
    payload = copy.deepcopy(VALID)
    place = payload["evidence"]
    for name in where[:-1]:
        place = place.setdefault(name, {}) if isinstance(place.get(name, {}), dict) else place
        place = place.get(name, place) if isinstance(place.get(name), dict) else place
    place[where[-1]] = value
    try:
        established = verify_payload(payload, **BY_LOG)
    except RefusedError:
        return
    assert not established.tied or established.timestamp_ms == signer.EXISTED_BY_MS


def test_the_account_names_each_step(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "proof.json"
    path.write_text(json.dumps(nested(2)))
    keys = tmp_path / "log.key"
    keys.write_text(f"{signer.LOG.text}\n{signer.WITNESS.text}\n")
    assert main([str(path), "--log-key", str(keys)]) == 0
    said = capsys.readouterr().out
    assert said.count("is what an upstream's proof, which the evidence holds, is about.") == 2
    assert f"signed by the key you gave for '{signer.ORIGIN}'" in said
    assert f"existed by 2026-02-02T02:40:01Z, as the log '{signer.ORIGIN}' recorded." in said
    assert main([str(path)]) == 3
    assert "Not established: Of the upstream's proof: Of the upstream" in capsys.readouterr().out
    assert main([str(path), "--json", "--log-key", str(keys)]) == 0
    facts = json.loads(capsys.readouterr().out)
    deepest = facts["upstream"]["upstream"]
    assert (facts["log"], facts["signedBy"]) == (None, signer.ORIGIN)
    assert deepest["log"]["origin"] == signer.ORIGIN
    assert deepest["claimed"]["currency"] == "LOG"
    assert deepest["timestamp"] == facts["timestamp"] == signer.EXISTED_BY_MS
