"""Anchoring in another Proof: a tree's root is submitted there, and its proof is our evidence.

The upstream knows the root as a hash like any other, so submitting it again changes nothing, and the root
is all that must be remembered. The proof in the upstream's log is there within seconds. Where another of
its chains is wanted, that proof takes its place once the upstream has it; the tree is watched until then.

What the upstream said of trees under way is kept in memory alone, so that it is not asked twice; a process
that knows nothing asks again. What stands where chains have the block's hash is the SHA-256 of the
upstream's proof that was believed.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from proof.core.canonical import canonical_json
from proof.core.clock import Clock
from proof.core.note_keys import ed25519_verify, mldsa44_verify
from proof.partners.types import CredentialKind, Environment
from proof.timestamps.anchors.chain import (
    Candidate,
    ChainError,
    Evidence,
    Sighting,
    Standing,
    WrongNetworkError,
)
from proof.timestamps.anchors.upstream.account import (
    Account,
    AccountError,
    AnswerError,
    Identity,
    Lookup,
)
from proof.timestamps.types import Currency, Roots, SubmitStatus
from proof.verify import Established, Policy, RefusedError, verify_payload
from proof.verify.errors import quoted
from proof.verify.evidence.upstream.evidence import TYPE, proof_hash
from proof.verify.trust import ChainTrust

# How long it is taken for granted whose account that is, and what its logs are believed by.
_IDENTIFIED_FOR: Final = timedelta(minutes=10)

_MAX_WATCHES: Final = 1_000
_AT_ONCE: Final = datetime.min.replace(tzinfo=UTC)
_REPORT_ONLY: Final = "report"
_NUL: Final = rb"\u0000"  # as JSON writes it


class UnbelievedProofError(ChainError):
    """The upstream's proof is wrong, or is none of what was asked for."""


@dataclass(frozen=True, slots=True)
class UpstreamSettings:
    """`environment`: of the account. `currency`: the upstream's chain whose proof is wanted in the end.
    `policy`: what the upstream's logs are believed by; None for what it serves. `networks`: Bitcoin's test
    networks that count. `own_origins`: of this installation's logs. `every`: what the upstream does not
    have yet is asked for so often at least."""

    environment: Environment
    currency: Currency
    policy: Policy | None
    networks: Collection[str]
    own_origins: Collection[str]
    every: timedelta


@dataclass(frozen=True, slots=True)
class _Watch:
    """What the upstream said of a root. `proof`: the newest that was believed, and the time that it
    claims. `ask_at`: when it is asked again; None once the proof is the one that is wanted. `trouble`: what
    is wrong with its last answer."""

    known: bool = False
    proof: dict[str, object] | None = None
    timestamp_ms: int = 0
    ask_at: datetime | None = _AT_ONCE
    trouble: ChainError | None = None


class UpstreamChain:
    """The proofs of one upstream."""

    def __init__(self, account: Account, settings: UpstreamSettings, clock: Clock) -> None:
        self._account = account
        self._settings = settings
        self._clock = clock
        self._policy: Policy | None = None
        self._identified_until: datetime | None = None
        self._watches: dict[bytes, _Watch] = {}

    @property
    def currency(self) -> Currency:
        return Currency.UPSTREAM

    @property
    def unit(self) -> str:
        """What the account costs is known to its contract alone."""
        return ""

    @property
    def wallet(self) -> str:
        """Any number of roots may be submitted at once."""
        return ""

    async def standing(self) -> Standing:
        """Whose account that is, asked anew. Raises what every call of an account does, AccountError and
        WrongNetworkError."""
        policy = await self._identify()
        log = quoted(policy.logs[0].key.name)
        return Standing(f"log {log}, {self._settings.environment}", 0, 0, 0, 0)

    async def build(self, roots: Roots, replaced: Sequence[Candidate]) -> Candidate:
        """The root itself, which the upstream knows it by. Raises as `standing` does, and ChainError for a
        successor: nothing competes with what the upstream has."""
        await self._identify()
        if replaced:
            raise ChainError(
                "the upstream has had the root for a while and gives no proof of it; see its /statusz"
            )
        return Candidate(roots.root.hex(), roots.root, 0)

    async def broadcast(self, candidate: Candidate) -> None:
        """Submit the root."""
        await self._require_identified()
        await self._account.submit(candidate.raw)

    async def poll(self, candidates: Sequence[Candidate]) -> Sighting:
        """SUBMITTED while the upstream has no proof in its log, VERIFIED from there on, settled with the
        proof that is wanted."""
        if not candidates:
            return Sighting(SubmitStatus.UNSUBMITTED)
        await self._require_identified()
        candidate = candidates[0]
        watch = await self._watch(candidate.raw)
        if not watch.known:
            return Sighting(SubmitStatus.UNSUBMITTED)
        if watch.proof is None:
            return Sighting(SubmitStatus.SUBMITTED, candidate)
        block, settled = proof_hash(watch.proof).hex(), watch.ask_at is None
        return Sighting(SubmitStatus.VERIFIED, candidate, block, settled)

    async def evidence(self, roots: Roots, candidate: Candidate) -> Evidence:
        """The upstream's proof, whole."""
        await self._require_identified()
        watch = self._watches.get(roots.root)
        if watch is None or watch.proof is None:
            watch = await self._watch(roots.root)
        if watch.proof is None:
            raise ChainError(f"the upstream has no proof of {candidate.transaction} any more; wait")
        return Evidence({"type": TYPE, "proof": watch.proof}, watch.timestamp_ms, 0)

    async def close(self) -> None:
        """Close connections."""
        await self._account.close()

    async def _watch(self, root: bytes) -> _Watch:
        """What is known of a root, asked for when it is time. Raises what an account does, and what was
        wrong with the last answer."""
        watch = self._watches.pop(root, _Watch())
        try:
            if watch.ask_at is not None and watch.ask_at <= self._clock.now():
                watch = await self._asked(root, watch)
        finally:
            if watch.known:
                self._watches[root] = watch
        while len(self._watches) > _MAX_WATCHES:
            del self._watches[next(iter(self._watches))]
        if watch.trouble is not None:
            raise watch.trouble.with_traceback(None)
        return watch

    async def _asked(self, root: bytes, watch: _Watch) -> _Watch:
        """After the log's proof, the one that is wanted in its place is asked for."""
        currency = Currency.LOG if watch.proof is None else self._settings.currency
        try:
            return self._answered(root, watch, currency, await self._account.lookup(root, currency))
        except (AnswerError, UnbelievedProofError) as error:
            ask_at = self._clock.now() + self._settings.every
            return replace(watch, known=True, ask_at=ask_at, trouble=error)

    def _answered(self, root: bytes, watch: _Watch, currency: Currency, found: Lookup) -> _Watch:
        """Raises UnbelievedProofError."""
        now = self._clock.now()
        if found.proof is not None:
            established = self._believed(root, found.proof, currency)
            ask_at = None if currency is self._settings.currency else now
            return _Watch(True, found.proof, established.claimed.timestamp_ms, ask_at)
        if watch.proof is not None and not found.known:
            raise UnbelievedProofError(
                f"the upstream did not put the root into {currency.name}; enable that chain there, or"
                " name another in the setting chain"
            )
        ask_at = now + min(found.retry_after, self._settings.every)
        return replace(watch, known=found.known, ask_at=ask_at, trouble=None)

    def _believed(self, root: bytes, proof: dict[str, object], currency: Currency) -> Established:
        """What the upstream's proof establishes. Its log's is signed by a key of it; which blocks a chain
        has is the upstream's word, for whoever verifies it to check.

        Raises UnbelievedProofError.
        """
        _require_storable(proof)
        chains = ChainTrust(networks=frozenset(self._settings.networks))
        try:
            established = verify_payload(
                proof,
                policy=self._policy,
                ed25519_verify=ed25519_verify,
                mldsa44_verify=mldsa44_verify,
                chains=chains,
            )
        except RefusedError as error:
            self._identified_until = None  # the log may have another policy by now
            raise UnbelievedProofError(f"the upstream's proof is refused: {error}") from None
        if established.leaf != root:
            raise UnbelievedProofError("the upstream's proof is of another hash than the root")
        if established.claimed.currency_id != currency:
            raise UnbelievedProofError(f"the upstream's proof is not of its {currency.name}")
        if established.inclusion is None and established.found is None:
            raise UnbelievedProofError("the upstream's proof has no evidence that is known here")
        if currency is Currency.LOG and not established.tied:
            self._identified_until = None
            raise UnbelievedProofError(
                f"the upstream's proof does not satisfy its log's policy: {established.remaining[0]}"
            )
        return established

    async def _require_identified(self) -> None:
        if self._identified_until is None or self._identified_until <= self._clock.now():
            await self._identify()

    async def _identify(self) -> Policy:
        identity, served = await self._account.identity(), await self._account.log_policy()
        try:
            self._require_ours(identity)
            self._policy = policy = self._believable(served)
        except ChainError as error:
            self._account.leave_alone(error)
            raise
        self._identified_until = self._clock.now() + _IDENTIFIED_FOR
        return policy

    def _believable(self, served: Policy) -> Policy:
        """What its logs are believed by. Raises AccountError, WrongNetworkError."""
        if not served.logs:
            raise AccountError("the upstream's policy names no log; see that it is a Proof")
        origins = {log.key.name for log in served.logs}
        if not origins.isdisjoint(self._settings.own_origins):
            raise WrongNetworkError(
                f"the upstream is this installation itself, by its log {quoted(min(origins))}; name"
                " another Proof in url"
            )
        kept = self._settings.policy
        if kept and {log.key for log in kept.logs}.isdisjoint(log.key for log in served.logs):
            raise WrongNetworkError(
                f"log_policy_file has no key of the upstream's log {quoted(served.logs[0].key.name)};"
                " see whether url or the file is wrong"
            )
        return kept or served

    def _require_ours(self, identity: Identity) -> None:
        if identity.kind != CredentialKind.API_KEY:
            raise AccountError("credentials_file holds no api_key but another kind of token")
        if identity.environment != self._settings.environment:
            raise WrongNetworkError(
                f"the api_key is of the upstream's {quoted(identity.environment)}, not of its"
                f" {self._settings.environment}; correct the setting environment, or the key"
            )
        if identity.suspended:
            raise AccountError("the upstream has suspended the account; ask its operator")
        if not identity.allowed and identity.allowlist_mode != _REPORT_ONLY:
            raise AccountError(
                f"the upstream sees us at {quoted(identity.address)}, which the account's allowlist does"
                " not hold; have it added there"
            )


def _require_storable(proof: dict[str, object]) -> None:
    """Members that nobody reads are kept, too, and not all that JSON can say has a form in the database and
    in RFC 8785. Raises UnbelievedProofError."""
    try:
        raw = canonical_json(proof)
    except TypeError as error:
        raise UnbelievedProofError(
            f"the upstream's proof cannot be kept: {quoted(str(error))}"
        ) from None
    if _NUL in raw:
        raise UnbelievedProofError("the upstream's proof cannot be kept: it holds a NUL character")
