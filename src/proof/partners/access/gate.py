"""The partner gate, in its order: token, environment, scope, origin, address, rate. The body is read
after it.

Origin is checked where browsers must stay out.
"""

import asyncio
import hmac
from contextlib import suppress

from prometheus_client import Counter

from proof.core.clock import Clock
from proof.core.errors import UnavailableError
from proof.core.loop import SAFETY_S, Again, Loop
from proof.db import Database
from proof.partners.access.buckets import Rate
from proof.partners.access.credentials import Credential
from proof.partners.access.directory import Directory
from proof.partners.access.networks import Address, AllowlistMode
from proof.partners.access.rates import CallClass, Limiter, RateExceededError, Standing
from proof.partners.access.refusals import Reason, Refusals
from proof.partners.access.tokens import parse_token, presented
from proof.partners.access.uses import Uses
from proof.partners.errors import (
    AddressNotAllowedError,
    BrowserError,
    InvalidTokenError,
    MissingTokenError,
    ScopeError,
    SuspendedError,
)
from proof.partners.types import CredentialKind, Environment

_NO_HASH = bytes(32)

_WITH_ARTICLE = {
    CredentialKind.API_KEY: "an api_key",
    CredentialKind.CLIENT_TOKEN: "a client_token",
}

_FLUSH_S = 1.0

_GIVE_BACK_S = 0.25


_unauthenticated = Counter(
    "proof_unauthenticated_requests", "Requests without a valid token", ["reason"]
)

_missing, _invalid = (_unauthenticated.labels(reason) for reason in ("missing", "invalid"))


class Gate:
    """What stands before every route that needs a partner's credential; one a process."""

    def __init__(self, database: Database, directory: Directory, clock: Clock) -> None:
        self._directory = directory
        self._clock = clock
        self._limiter = Limiter(database)
        self._refusals = Refusals(database)
        self._writing = Loop("gate records", self._write, SAFETY_S)
        self._uses = Uses(database, clock, self._writing.wake)
        self._giving_back = Loop("rate leases", self._give_back, SAFETY_S)

    async def authenticate(
        self, token: str | None, environment: Environment, address: Address
    ) -> Credential:
        """Whose token this is. Not checked: whether it may do anything.

        Raises MissingTokenError or InvalidTokenError, which tell nothing; DirectoryStaleError when
        credentials cannot be checked.
        """
        if not token:
            _missing.inc()
            raise MissingTokenError("send your credential as Authorization: Bearer or x-api-key")
        found = self._directory.recent(token) or await self._genuine(token)
        if found is None or self._is_over(found):
            _invalid.inc()
            self._note_ended(token, found, address)
            raise InvalidTokenError
        if found.owner.environment is not environment:
            self._refused(found, Reason.ENVIRONMENT, address)
            raise InvalidTokenError
        return found

    async def admit(
        self,
        credential: Credential,
        kind: CredentialKind,
        address: Address,
        call_class: CallClass | None,
        *,
        origin: str | None = None,
    ) -> Standing | None:
        """Let the holder of an authenticated credential make one call; what its rate leaves, if it has one.

        `origin` is the request's Origin header where browsers must stay out, None elsewhere. Raises
        SuspendedError, ScopeError, BrowserError, AddressNotAllowedError or RateExceededError, in that
        order.
        """
        if credential.owner.suspended:
            self._refused(credential, Reason.SUSPENDED, address)
            raise SuspendedError
        if credential.kind is not kind:
            self._refused(credential, Reason.KIND, address)
            raise ScopeError(
                f"this call needs {_WITH_ARTICLE[kind]};"
                f" the credential sent is {_WITH_ARTICLE[credential.kind]}"
            )
        if origin is not None:
            self._refused(credential, Reason.ORIGIN, address)
            raise BrowserError(
                "the request has an Origin header, so a browser sent it; only your backend calls this,"
                " because the client_token must never reach a browser"
            )
        if not is_allowed(credential, address):
            self._off_the_list(credential, address)
        standing = None
        if call_class is not None:
            standing = await self._within_rate(credential, address, call_class)
        self._uses.note(credential, address)
        self._writing.wake_within(_FLUSH_S)
        return standing

    async def still_admits(self, credential: Credential, address: Address) -> bool:
        """Whether who was let in with this credential from this address would be let in now, its rate
        aside.

        Raises DirectoryStaleError when that cannot be checked.
        """
        known = await self._directory.find(credential.key_id)
        if known is None or self._is_over(known) or known.owner.suspended:
            return False
        return known.allowlist.mode is AllowlistMode.REPORT or is_allowed(known, address)

    async def run(self) -> None:
        """Write uses and refusals, give back unused leases, until cancelled."""
        await asyncio.gather(self._writing.run(), self._giving_back.run())

    async def close(self) -> None:
        """Write what is not written yet, if the database is there."""
        with suppress(UnavailableError):
            await self._write()
            await self._limiter.give_back(older_than_s=0)

    async def _genuine(self, token: str) -> Credential | None:
        named = presented(token)
        if named is None:
            return None
        key_id, sha256 = named
        found = _matching(await self._directory.find(key_id), sha256)
        if found is None and parse_token(token) is not None:
            # A wrong secret for a known key id takes the same steps as an unknown key id, the poll
            # included, so that time tells neither from the other.
            await self._directory.poll_after_miss()
            found = _matching(await self._directory.find(key_id), sha256)
        if found is not None:
            self._directory.remember(token, found)
        return found

    async def _within_rate(
        self, credential: Credential, address: Address, call_class: CallClass
    ) -> Standing | None:
        owner_id, rate = credential.owner.id, credential.rates.get(call_class)
        try:
            if rate is None:
                self._limiter.count(owner_id, call_class)
                return None
            return self._limiter.spend(owner_id, call_class, rate) or await self._leased(
                owner_id, call_class, rate
            )
        except RateExceededError:
            self._refused(credential, Reason.RATE, address)
            raise

    async def _leased(self, owner_id: int, call_class: CallClass, rate: Rate) -> Standing:
        standing = await self._limiter.take(owner_id, call_class, rate)
        self._giving_back.wake()
        return standing

    def _off_the_list(self, credential: Credential, address: Address) -> None:
        if credential.allowlist.mode is AllowlistMode.REPORT:
            self._refused(credential, Reason.REPORTED, address)
            return
        self._refused(credential, Reason.ADDRESS, address)
        raise AddressNotAllowedError(
            f"{address} is not on the allowlist of {credential.kind} in"
            f" {credential.owner.environment}; ask the operator to add it"
        )

    def _note_ended(self, token: str, over: Credential | None, address: Address) -> None:
        """Tell the operator, and nobody else, who still presents a token that is over."""
        named = presented(token)
        if named is None:
            return
        self._writing.wake_within(_FLUSH_S)
        key_id, sha256 = named
        now, ended = self._clock.now(), self._directory.ended(key_id)
        if over is not None:
            owner_id, kind = over.owner.id, over.kind
            self._refusals.note(owner_id, kind, Reason.EXPIRED, address, now, key_id)
        elif hmac.compare_digest(ended.token_sha256 if ended else _NO_HASH, sha256) and ended:
            reason = Reason.REVOKED if ended.revoked else Reason.EXPIRED
            self._refusals.note(ended.owner_id, ended.kind, reason, address, now, key_id)

    def _refused(self, credential: Credential, reason: Reason, address: Address) -> None:
        self._refusals.note(
            credential.owner.id, credential.kind, reason, address, self._clock.now()
        )
        self._writing.wake_within(_FLUSH_S)

    def _is_over(self, credential: Credential) -> bool:
        return credential.expires_at is not None and credential.expires_at <= self._clock.now()

    async def _write(self) -> bool:
        await self._uses.flush()
        await self._refusals.flush()
        return False

    async def _give_back(self) -> Again:
        await self._limiter.give_back()
        return _GIVE_BACK_S if self._limiter.holds_leases() else False


def is_allowed(credential: Credential, address: Address) -> bool:
    """Whether the credential's allowlist holds the address; an empty one of an `api_key` holds any."""
    allowlist = credential.allowlist
    if allowlist.is_empty:
        return credential.kind is CredentialKind.API_KEY
    return allowlist.holds(address)


def _matching(found: Credential | None, sha256: bytes) -> Credential | None:
    expected = found.token_sha256 if found is not None else _NO_HASH
    return found if hmac.compare_digest(expected, sha256) else None
