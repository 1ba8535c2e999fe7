"""Proofs: not before their time, to nobody else, and never unsound."""

from hashlib import sha256
from uuid import UUID, uuid4

import pytest
from tests.support import signer
from tests.support.application import Platform
from tests.support.partners import issued, owner_of, tamper
from tests.support.pipeline import key_lines

from proof.partners.types import Environment, OnboardedPartner, PartnerEnvironment
from proof.timestamps.proofs.audit import fsck
from proof.timestamps.proofs.errors import (
    ProofNotYetError,
    UnknownCurrencyError,
    UnknownHashError,
    UnknownTreeError,
    UnsoundProofError,
)
from proof.timestamps.proofs.service import Proofs, enabled_currency
from proof.timestamps.trees.sealing import close_due, seal_next
from proof.timestamps.types import Currency, SubmitStatus
from proof.verify import parse_verifier_key, verify_payload


def digests(count: int, label: str = "") -> list[bytes]:
    return [sha256(f"{label} {n}".encode()).digest() for n in range(count)]


async def newcomer(platform: Platform) -> tuple[OnboardedPartner, PartnerEnvironment, Proofs]:
    partner = await platform.onboard()
    owner = await owner_of(platform.database, partner)
    return partner, owner, Proofs(platform.database, platform.clock)


async def submit(platform: Platform, partner: OnboardedPartner, hashes: list[bytes]) -> UUID:
    answer = await platform.call(
        "POST",
        "/v1/timestamp",
        {"sha256": [digest.hex() for digest in hashes]},
        token=issued(partner).api_key,
    )
    return UUID(answer.json["trees"][0]["treeId"])


@pytest.mark.parametrize("count", [1, 2, 300])
async def test_every_proof_verifies_with_the_logs_keys(platform: Platform, count: int) -> None:
    partner, owner, proofs = await newcomer(platform)
    hashes = digests(count, "each")
    await submit(platform, partner, hashes)
    await platform.seal()
    async with platform.database.connection() as connection:
        texts = await key_lines(connection)
    keys = list(map(parse_verifier_key, texts))
    for digest in hashes[:: count // 25 + 1]:
        raw = await proofs.proof(owner, digest, Currency.LOG)
        established = verify_payload(raw, log_keys=keys, ed25519_verify=signer.openssl_verify)
        assert established.tied
        assert established.leaf == digest


async def test_before_sealing_before_logging_and_before_signing_there_is_none(
    platform: Platform,
) -> None:
    partner, owner, proofs = await newcomer(platform)
    (digest,) = digests(1, "early")
    tree_id = await submit(platform, partner, [digest])
    writer = platform.writers[Environment.PRODUCTION]

    async def require_none() -> None:
        with pytest.raises(ProofNotYetError, match=str(tree_id)):
            await proofs.proof(owner, digest, Currency.LOG)
        with pytest.raises(ProofNotYetError):
            await proofs.send_proof(owner, digest, Currency.LOG)
        tree = await proofs.tree(owner, tree_id)
        assert (tree.status, tree.root) == (SubmitStatus.UNSUBMITTED, None)

    await require_none()
    await close_due(platform.database, 0)
    while await seal_next(platform.database):
        pass
    await require_none()
    assert await writer.append() > 0
    await require_none()
    assert await writer.publish()
    assert await proofs.proof(owner, digest, Currency.LOG)
    assert not await platform.fetch("SELECT FROM outbox WHERE subject = $1", digest.hex())


async def test_a_proof_stays_the_same_as_the_log_grows(platform: Platform) -> None:
    partner, owner, proofs = await newcomer(platform)
    (digest,) = digests(1, "stable")
    await submit(platform, partner, [digest])
    await platform.seal()
    first = await proofs.proof(owner, digest, Currency.LOG)
    for n in range(5):
        await submit(platform, partner, digests(1, f"later {n}"))
        await platform.seal()
    assert await proofs.proof(owner, digest, Currency.LOG) == first


async def test_another_partner_finds_neither_hash_nor_proof_nor_tree(platform: Platform) -> None:
    partner, owner, proofs = await newcomer(platform)
    _, stranger, _ = await newcomer(platform)
    (digest,) = digests(1, "mine")
    tree_id = await submit(platform, partner, [digest])
    await platform.seal()
    assert (await proofs.status(owner, digest)).trees[0].tree_id == tree_id
    assert (await proofs.tree(owner, tree_id)).status is SubmitStatus.VERIFIED
    with pytest.raises(UnknownHashError):
        await proofs.status(stranger, digest)
    for ask in (proofs.proof, proofs.send_proof):
        with pytest.raises(UnknownHashError):
            await ask(stranger, digest, Currency.LOG)
    for asked in (tree_id, uuid4()):
        with pytest.raises(UnknownTreeError, match=str(asked)):
            await proofs.tree(stranger, asked)


async def test_the_tree_of_a_round_nothing_came_into_is_nobodys(platform: Platform) -> None:
    partner, owner, proofs = await newcomer(platform)
    await submit(platform, partner, digests(1, "known"))
    await platform.seal()
    await submit(platform, partner, digests(1, "known"))
    (row,) = await platform.fetch(
        "SELECT tree_id FROM round_trees JOIN rounds ON rounds.id = round_id"
        " WHERE partner_environment_id = $1 AND sealed_at IS NULL",
        owner.id,
    )
    with pytest.raises(UnknownTreeError):
        await proofs.tree(owner, row["tree_id"])
    await platform.seal()


async def test_a_proof_request_is_an_event_and_a_use_or_neither(platform: Platform) -> None:
    partner, owner, proofs = await newcomer(platform)
    (digest,) = digests(1, "sent")
    await submit(platform, partner, [digest])
    await platform.seal()
    await proofs.send_proof(owner, digest, Currency.LOG)
    await proofs.send_proof(owner, digest, Currency.LOG)
    events = await platform.fetch("SELECT body FROM outbox WHERE subject = $1", digest.hex())
    body = await proofs.proof(owner, digest, Currency.LOG)
    assert [event["body"] for event in events] == [body, body]
    (used,) = await platform.fetch(
        "SELECT sum(used) FROM timestamp_usage WHERE partner_environment_id = $1"
        " AND kind = 'proofs'",
        owner.id,
    )
    assert used[0] == 2


SPOILING = {
    "another leaf in the round's tile": (
        "UPDATE round_tiles SET hashes = set_byte(hashes, 31, get_byte(hashes, 31) # 1)"
        " WHERE round_id = $1 AND length(hashes) > 32"
    ),
    "another root in the tree": (
        "UPDATE trees SET root = sha256('other') WHERE id ="
        " (SELECT tree_id FROM round_trees WHERE round_id = $1)"
    ),
    "another plain root in the tree": (
        "UPDATE trees SET plain_root = sha256('other') WHERE id ="
        " (SELECT tree_id FROM round_trees WHERE round_id = $1)"
    ),
    "another time in the tree": (
        "UPDATE trees SET timestamp_ms = timestamp_ms - 60000 WHERE id ="
        " (SELECT tree_id FROM round_trees WHERE round_id = $1)"
    ),
    "another place in the log": (
        "UPDATE trees SET transaction = (transaction::int - 1)::text WHERE id ="
        " (SELECT tree_id FROM round_trees WHERE round_id = $1)"
    ),
}


@pytest.mark.parametrize("damage", SPOILING)
async def test_an_unsound_proof_is_never_given_out_and_fsck_names_it(
    platform: Platform, damage: str
) -> None:
    partner, owner, proofs = await newcomer(platform)
    await submit(platform, partner, digests(1, "one before"))
    await platform.seal()
    hashes = sorted(digests(9, f"damaged {damage}"))
    tree_id = await submit(platform, partner, hashes)
    await platform.seal()
    (row,) = await platform.fetch(
        "SELECT round_id FROM submissions WHERE partner_environment_id = $1 AND digest = $2",
        owner.id,
        hashes[4],
    )
    await proofs.proof(owner, hashes[4], Currency.LOG)
    places = {f"tree {tree_id}", f"round {row['round_id']}"}
    assert places.isdisjoint(await found_by_fsck(platform))
    await tamper(platform.database, SPOILING[damage].replace("$1", str(row["round_id"])))
    with pytest.raises(UnsoundProofError):
        await proofs.proof(owner, hashes[4], Currency.LOG)
    with pytest.raises(UnsoundProofError):
        await proofs.send_proof(owner, hashes[4], Currency.LOG)
    assert not await platform.fetch("SELECT FROM outbox WHERE subject = $1", hashes[4].hex())
    assert len(places & await found_by_fsck(platform)) == 1


async def found_by_fsck(platform: Platform) -> set[str]:
    return {finding.where for finding in (await fsck(platform.database, lambda *_: None)).findings}


async def test_a_chain_that_is_not_enabled_names_those_that_are(platform: Platform) -> None:
    _, owner, proofs = await newcomer(platform)
    assert await proofs.currency(owner, 900) is Currency.LOG
    with pytest.raises(UnknownCurrencyError, match=r"currencyId: 0 .* enabled: 900 \(LOG\)"):
        await proofs.currency(owner, 0)


def test_a_chain_to_be_notified_of_must_be_enabled() -> None:
    assert enabled_currency(0, (Currency.BTC, Currency.LOG)) is Currency.BTC
    with pytest.raises(UnknownCurrencyError, match=r"tree: 1 .* enabled: 0 \(BTC\), 900 \(LOG\)"):
        enabled_currency(1, (Currency.BTC, Currency.LOG), "tree")
