"""What is known of a hash, and its proof.

A proof of a round in the log joins three things: the path from leaf to round root (from the round's
tiles), the path from there to the log's root (from the log's tiles), and the checkpoint that gave the
entry its time. A proof in another chain joins the same first path, the path from the round's root to the
tree's (from the tree's tiles), and the evidence that was kept when the tree was verified; in Bitcoin also
the plain paths of both, from the same tiles, by which an `.ots` file goes. A tlog-proof is a proof in the
log that goes by the round's plain path. Each is run
through the verifier, with our own public keys or the block our node saw, before anybody gets it.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from proof.core.canonical import canonical_json
from proof.core.clock import Clock
from proof.core.note_keys import ed25519_verify, mldsa44_verify
from proof.db import Connection, Database
from proof.events import Event
from proof.events import publish as publish_events
from proof.partners.types import Environment, PartnerEnvironment
from proof.timestamps.anchors.kinds import kind_of
from proof.timestamps.anchors.log import queries as log_queries
from proof.timestamps.anchors.log.keys import verifier_keys
from proof.timestamps.anchors.log.service import inclusions
from proof.timestamps.anchors.log.verifiers import policy_of_checkpoint
from proof.timestamps.anchors.soundness import joined, trust_in
from proof.timestamps.proofs import queries
from proof.timestamps.proofs.errors import (
    NotInChainError,
    ProofNotYetError,
    UnknownCurrencyError,
    UnknownHashError,
    UnknownTreeError,
    UnsoundProofError,
)
from proof.timestamps.proofs.pace import NO_PACES, Paces, retry_after_s
from proof.timestamps.submissions import usage
from proof.timestamps.submissions.usage import UsageKind
from proof.timestamps.trees import sealing
from proof.timestamps.trees.merkle import PathStep, PlainStep
from proof.timestamps.types import NO_CHAINS, Chains, Currency, SubmitStatus, Tree
from proof.verify import (
    Policy,
    RefusedError,
    parse_verifier_key,
    verify_checkpoint,
    verify_payload,
    verify_tlog_proof,
)
from proof.verify.evidence.log.note import VerifierKey
from proof.verify.evidence.log.tlog_proof import TlogProof, write_tlog_proof
from proof.verify.merkle import parent
from proof.verify.trust import ChainTrust

Node = dict[str, object]
PROOF_EVENT = "timestamp.proof"

# Checkpoints whose cosignatures were verified; they never change, and many proofs share one.
_REMEMBERED = 10_000


def payload(
    leaf: bytes, tree: Tree, steps: Sequence[PathStep], evidence: dict[str, object]
) -> dict[str, Any]:
    """`steps` lead from the leaf to the root of `tree`, from below."""
    return {
        "sha256": leaf.hex(),
        "tree": tree.wire(),
        "branch": branch(leaf, steps),
        "evidence": evidence,
    }


def branch(leaf: bytes, steps: Sequence[PathStep]) -> Node:
    """The nested nodes of a path: each names both its children and expands the one on the path."""
    node: Node = {"sha256": leaf.hex(), "depth": len(steps)}
    for depth, (step, above) in zip(
        range(len(steps) - 1, -1, -1), _with_parent(steps), strict=True
    ):
        # The last node of an odd level is its own sibling; the left copy is the one to expand.
        side = "right" if step.from_right and step.left != step.right else "left"
        node = {
            "sha256": above.hex(),
            "depth": depth,
            "leftSha256": step.left.hex(),
            "rightSha256": step.right.hex(),
            side: node,
        }
    return node


def plain_path(steps: Sequence[PlainStep]) -> list[dict[str, str]]:
    """The siblings of a plain path, each by the side it stands on."""
    return [{"left" if step.from_right else "right": step.sibling.hex()} for step in steps]


def _with_parent(steps: Sequence[PathStep]) -> list[tuple[PathStep, bytes]]:
    return [(step, parent(step.left, step.right)) for step in steps]


class _Proof(NamedTuple):
    """A payload, the plain path of its round, and what we trust it by: the log's keys, or the block that
    our node saw."""

    payload: dict[str, Any]
    plain: Sequence[PlainStep]
    keys: Sequence[VerifierKey]
    chains: ChainTrust


class ProofBundle(NamedTuple):
    """Payloads by hash, and what we trust all of them by."""

    payloads: dict[bytes, list[dict[str, Any]]]
    log_keys: Sequence[VerifierKey]
    chains: ChainTrust


def _tlog_proof(digest: bytes, found: _Proof) -> bytes:
    evidence = found.payload["evidence"]
    raw = write_tlog_proof(
        TlogProof(
            leaf=digest,
            root=bytes.fromhex(found.payload["tree"]["rootSha256"]),
            path=tuple((step.from_right, step.sibling) for step in found.plain),
            index=evidence["index"],
            inclusion=tuple(map(bytes.fromhex, evidence["inclusion"])),
            checkpoint=evidence["checkpoint"].encode(),
        )
    )
    try:
        established = verify_tlog_proof(
            raw, Policy.of_keys(found.keys), ed25519_verify, mldsa44_verify
        )
    except RefusedError as error:
        raise UnsoundProofError(f"the tlog-proof of {digest.hex()} is refused: {error}") from error
    if established.timestamp_ms != found.payload["tree"]["timestamp"]:
        raise UnsoundProofError(f"the tlog-proof of {digest.hex()} establishes another time")
    return raw


class HashStatus(NamedTuple):
    """When a hash came, and the trees it is in."""

    created_at: datetime
    trees: tuple[Tree, ...]


class Proofs:
    """Answers for one process."""

    def __init__(
        self, database: Database, clock: Clock, chains: Chains = NO_CHAINS, paces: Paces = NO_PACES
    ) -> None:
        self._database = database
        self._clock = clock
        self._chains = chains
        self._paces = paces
        self._keys: dict[int, Sequence[VerifierKey]] = {}
        self._quorate: set[tuple[int, int]] = set()

    def chains(self, environment: Environment) -> tuple[Currency, ...]:
        """The chains of an environment, the log's included, by currencyId."""
        return tuple(sorted({*self._chains.get(environment, ()), Currency.LOG}))

    async def currency(self, owner: PartnerEnvironment, currency_id: int) -> Currency:
        """The chain of a currencyId: enabled, or with trees from when it was. Raises
        UnknownCurrencyError naming those enabled."""
        enabled = self.chains(owner.environment)
        if currency_id not in enabled and currency_id in set(Currency):
            async with self._database.connection() as connection:
                if await queries.has_trees(connection, owner.environment, currency_id):
                    return Currency(currency_id)
        return enabled_currency(currency_id, enabled)

    async def status(self, owner: PartnerEnvironment, digest: bytes) -> HashStatus:
        """Raises UnknownHashError."""
        async with self._database.connection() as connection:
            rows = await queries.trees_of_hashes(connection, owner.id, [digest])
        if not rows:
            raise _unknown(digest)
        return HashStatus(rows[0]["created_at"], tuple(map(queries.tree_from, rows)))

    async def tree(self, owner: PartnerEnvironment, tree_id: UUID) -> Tree:
        """Raises UnknownTreeError, also for a tree that holds nothing of this owner."""
        async with self._database.connection() as connection:
            found = await queries.tree(connection, owner.id, tree_id)
        if found is None:
            raise UnknownTreeError(f"treeId: there is no tree {tree_id} with hashes of yours")
        return found

    async def proof(self, owner: PartnerEnvironment, digest: bytes, currency: Currency) -> bytes:
        """The payload as RFC 8785 bytes, verified.

        Raises UnknownHashError, ProofNotYetError, and NotInChainError when the hash came before that
        chain was enabled.
        """
        async with self._database.connection() as connection:
            return canonical_json((await self._proof(connection, owner, digest, currency)).payload)

    async def proofs(
        self, owner: PartnerEnvironment, digests: Sequence[bytes]
    ) -> dict[bytes, list[dict[str, Any]]]:
        """Every payload there is of each of these hashes, verified: the log's first, the others by
        currencyId. Trees that are not verified yet are left out, and so are hashes that never came."""
        found = await self._all_proofs(owner, digests)
        for each in found:
            _require_sound(each)
        return _by_hash(found)

    async def bundle(self, owner: PartnerEnvironment, digests: Sequence[bytes]) -> ProofBundle:
        """The same, not verified: for whoever verifies the whole that they become part of."""
        found = await self._all_proofs(owner, digests)
        keys = dict.fromkeys(key for each in found for key in each.keys)
        return ProofBundle(_by_hash(found), tuple(keys), joined(each.chains for each in found))

    async def tlog_proof(self, owner: PartnerEnvironment, digest: bytes) -> bytes:
        """The proof in the log as a c2sp.org/tlog-proof, verified. Raises as `proof` does."""
        async with self._database.connection() as connection:
            found = await self._proof(connection, owner, digest, Currency.LOG)
        return _tlog_proof(digest, found)

    async def send_proof(
        self, owner: PartnerEnvironment, digest: bytes, currency: Currency
    ) -> None:
        """Have the proof delivered to the owner's proof webhook.

        The event and the count of its use are durable on return. Raises as `proof` does.
        """
        async with self._database.transaction() as tx:
            await usage.require_exactly(tx, owner, UsageKind.PROOFS)
            body = canonical_json((await self._proof(tx, owner, digest, currency)).payload)
            await publish_events(tx, [Event(owner.id, PROOF_EVENT, digest.hex(), body)])
            await usage.add(tx, usage.proof_request(owner, self._clock.now()))

    async def _proof(
        self, connection: Connection, owner: PartnerEnvironment, digest: bytes, currency: Currency
    ) -> _Proof:
        rows = await queries.trees_of_hashes(connection, owner.id, [digest], [currency])
        row = next((row for row in rows if row["currency_id"] == currency), None)
        if row is None:
            raise _not_in_chain(digest, currency) if rows else _unknown(digest)
        tree = queries.tree_from(row)
        if tree.status is not SubmitStatus.VERIFIED:
            raise ProofNotYetError(
                f"the {currency.name} tree {tree.tree_id} is not verified yet"
                f" (submitStatus {int(tree.status)}); ask again later",
                retry_after_s(
                    self._paces.get((owner.environment, currency)),
                    tree.status,
                    row["opened_at"],
                    self._clock.now(),
                ),
            )
        (found,) = await self._proofs(connection, [row])
        _require_sound(found)
        return found

    async def _all_proofs(
        self, owner: PartnerEnvironment, digests: Sequence[bytes]
    ) -> list[_Proof]:
        async with self._database.connection() as connection:
            rows = await queries.trees_of_hashes(connection, owner.id, digests, list(Currency))
            verified = [row for row in rows if row["status"] == SubmitStatus.VERIFIED]
            verified.sort(key=lambda row: row["currency_id"] != Currency.LOG)
            return await self._proofs(connection, verified)

    async def _proofs(self, connection: Connection, rows: Sequence[Any]) -> list[_Proof]:
        """The proofs of verified trees of hashes, in as many statements for many of them as for one. Not
        verified here."""
        within = await sealing.paths(
            connection, "round", [(row["round_id"], row["digest"]) for row in rows]
        )
        logged = [row for row in rows if row["currency_id"] == Currency.LOG]
        chained = [row for row in rows if row["currency_id"] != Currency.LOG]
        by_log = await self._log_evidence(connection, logged)
        above = await sealing.paths(
            connection, "tree", [(row["id"], row["round_root"]) for row in chained]
        )
        found = []
        for row in rows:
            paths = within[row["round_id"], row["digest"]]
            if row["currency_id"] == Currency.LOG:
                evidence, keys = by_log[row["round_id"]]
                found.append(_proof_of(row, paths.steps, evidence, keys, paths.plain))
                continue
            higher = above[row["id"], row["round_root"]]
            evidence = json.loads(row["evidence"])
            if kind_of(row["currency_id"]).brings_plain_path:
                evidence["plainPath"] = [plain_path(paths.plain), plain_path(higher.plain)]
            steps = paths.steps + higher.steps
            found.append(_proof_of(row, steps, evidence, (), paths.plain))
        return found

    async def _log_evidence(
        self, connection: Connection, rows: Sequence[Any]
    ) -> dict[int, tuple[dict[str, object], Sequence[VerifierKey]]]:
        """By the id of each published round, its evidence and the keys of its log."""
        entries = {(row["round_id"], int(row["transaction"] or "")): row for row in rows}
        checkpoints = await log_queries.checkpoints_of(connection, list(entries))
        wanted: dict[int, list[tuple[int, int]]] = {}
        for (round_id, position), row in entries.items():
            checkpoint = checkpoints.get((round_id, position))
            if checkpoint is None:
                raise UnsoundProofError(
                    f"the tree {row['id']} says {position}, where no checkpoint has its round"
                )
            await self._require_quorum(connection, checkpoint)
            wanted.setdefault(checkpoint["log_id"], []).append((position, checkpoint["size"]))
        paths = {
            log_id: await inclusions(connection, log_id, places)
            for log_id, places in wanted.items()
        }
        found = {}
        for (round_id, position), row in entries.items():
            checkpoint = checkpoints[round_id, position]
            log_id = checkpoint["log_id"]
            path = paths[log_id][position, checkpoint["size"]]
            evidence = _log_evidence(checkpoint, position, path, row["plain_root"])
            found[round_id] = evidence, await self._log_keys(connection, log_id)
        return found

    async def _require_quorum(self, connection: Connection, checkpoint: Any) -> None:
        """Raises UnsoundProofError for a checkpoint without the quorum that it was published by."""
        log_id, size = checkpoint["log_id"], checkpoint["size"]
        if (log_id, size) in self._quorate:
            return
        policy = await policy_of_checkpoint(connection, log_id, size)
        note = checkpoint["note"].encode()
        try:
            found = verify_checkpoint(note, policy, ed25519_verify, mldsa44_verify)
        except RefusedError as error:
            raise UnsoundProofError(
                f"the checkpoint of {size} entries is refused: {error}"
            ) from error
        if not found.quorum_reached:
            raise UnsoundProofError(
                f"the checkpoint of {size} entries lacks the quorum of its policy"
            )
        if len(self._quorate) >= _REMEMBERED:
            self._quorate.clear()
        self._quorate.add((log_id, size))

    async def _log_keys(self, connection: Connection, log_id: int) -> Sequence[VerifierKey]:
        if log_id not in self._keys:
            texts = await verifier_keys(connection, log_id)
            self._keys[log_id] = tuple(map(parse_verifier_key, texts))
        return self._keys[log_id]


def _proof_of(
    row: Any,
    steps: Sequence[PathStep],
    evidence: dict[str, object],
    keys: Sequence[VerifierKey],
    plain: Sequence[PlainStep],
) -> _Proof:
    tree = queries.tree_from(row)
    found = payload(row["digest"], tree, steps, evidence)
    return _Proof(found, plain, keys, trust_in(tree.currency, row["block"]))


def _by_hash(proofs: Sequence[_Proof]) -> dict[bytes, list[dict[str, Any]]]:
    found: dict[bytes, list[dict[str, Any]]] = {}
    for each in proofs:
        found.setdefault(bytes.fromhex(each.payload["sha256"]), []).append(each.payload)
    return found


def _require_sound(proof: _Proof) -> None:
    found = proof.payload
    try:
        established = verify_payload(
            found,
            log_keys=proof.keys,
            ed25519_verify=ed25519_verify,
            mldsa44_verify=mldsa44_verify,
            chains=proof.chains,
        )
    except RefusedError as error:
        raise UnsoundProofError(f"the proof of {found['sha256']} is refused: {error}") from error
    if not established.tied:
        raise UnsoundProofError(f"the proof of {found['sha256']} is tied to nothing of ours")
    if established.timestamp_ms != established.claimed.timestamp_ms:
        raise UnsoundProofError(
            f"the proof of {found['sha256']} claims the time {established.claimed.timestamp_ms},"
            f" but establishes {established.timestamp_ms}"
        )


def enabled_currency(
    currency_id: int, enabled: Sequence[Currency], name: str = "currencyId"
) -> Currency:
    """The chain of a currencyId. Raises UnknownCurrencyError naming the field and those enabled."""
    if currency_id in enabled:
        return Currency(currency_id)
    texts = ", ".join(f"{int(currency)} ({currency.name})" for currency in enabled)
    raise UnknownCurrencyError(f"{name}: {currency_id} is not enabled here; enabled: {texts}")


def _log_evidence(
    checkpoint: Any, position: int, path: Sequence[bytes], plain_root: bytes
) -> dict[str, object]:
    return {
        "type": "log",
        "origin": checkpoint["origin"],
        "index": position,
        "inclusion": [node.hex() for node in path],
        "checkpoint": checkpoint["note"],
        "plainRoot": plain_root.hex(),
    }


def _unknown(digest: bytes) -> UnknownHashError:
    return UnknownHashError(
        f"sha256: {digest.hex()} was not submitted here; POST /v1/timestamp first"
    )


def _not_in_chain(digest: bytes, currency: Currency) -> NotInChainError:
    return NotInChainError(
        f"sha256: {digest.hex()} came before {currency.name} was enabled; its proof in the log is"
        f" there: currencyId {int(Currency.LOG)}"
    )
