"""Anchoring by tokens: a root is verified as soon as an authority has signed it.

`build` is the only step that asks anybody. A token that is lost before it is stored costs nothing and is
asked for anew; from then on it is in the database, complete, and the authority is not needed again. So
there is nothing to broadcast, nothing that competes, and no block that could be taken back. What stands
where chains have the block's hash is the SHA-256 of the certificate that the token was believed under.

`transaction` is the token's serial number in decimal: that is the token's name in the authority's own
records (RFC 3161, 2.4.2: unique for each token it issues) and is signed, where a hash of the token would
change with the certificates and unsigned attributes that go with it.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from proof.core.clock import Clock
from proof.timestamps.anchors.chain import (
    Candidate,
    ChainError,
    Evidence,
    Sighting,
    Standing,
)
from proof.timestamps.anchors.tsa.belief import Trust, believe, read_token
from proof.timestamps.anchors.tsa.wire import Exchange, Query, read_answer
from proof.timestamps.types import Currency, Roots, SubmitStatus
from proof.verify.errors import RefusedError
from proof.verify.evidence.rfc3161.token import Token, parse_token

_NONCE_BITS = 64  # what clients use; some authorities refuse longer ones


@dataclass(frozen=True, slots=True)
class TsaSettings:
    """`policy`: the dotted policy to ask for, or None. `pause`: how long an authority that gave no token
    is left alone."""

    trust: Trust
    policy: str | None = None
    pause: timedelta = timedelta(seconds=30)


class TsaChain:
    """The tokens of one authority."""

    def __init__(self, exchange: Exchange, settings: TsaSettings, clock: Clock) -> None:
        self._exchange = exchange
        self._settings = settings
        self._clock = clock
        self._failed: tuple[datetime, ChainError] | None = None

    @property
    def currency(self) -> Currency:
        return Currency.TSA

    @property
    def unit(self) -> str:
        """Tokens cost nothing that is known here."""
        return ""

    @property
    def wallet(self) -> str:
        """Any number of tokens may be asked for at once."""
        return ""

    async def standing(self) -> Standing:
        """A token over random bytes tells whether the authority answers and is believed."""
        _, token = await self._ask(secrets.token_bytes(32))
        return Standing(f"certificate {token.certificate.sha256.hex()}", 0, 0, 0, 0)

    async def build(self, roots: Roots, replaced: Sequence[Candidate]) -> Candidate:  # noqa: ARG002 - nothing competes
        """A token over the first root that was believed. Raises what `believe` and the exchange raise."""
        now = self._clock.now()
        if self._failed is not None and now < self._failed[0] + self._settings.pause:
            raise self._failed[1].with_traceback(None)
        try:
            raw, token = await self._ask(roots.root)
        except ChainError as error:
            self._failed = now, error
            raise
        self._failed = None
        return Candidate(str(token.info.serial), raw, 0)

    async def broadcast(self, candidate: Candidate) -> None:
        """Nothing: whoever has the token has all there is."""

    async def poll(self, candidates: Sequence[Candidate]) -> Sighting:
        """The oldest token, for good: no later one can take its time back."""
        if not candidates:
            return Sighting(SubmitStatus.UNSUBMITTED)
        oldest = candidates[0]
        certificate = _stored(oldest).certificate.sha256.hex()
        return Sighting(SubmitStatus.VERIFIED, oldest, certificate, settled=True)

    async def evidence(self, roots: Roots, candidate: Candidate) -> Evidence:
        """The token itself. Raises WrongTokenError for one that is over something else."""
        token = read_token(candidate.raw, roots.root)
        members: dict[str, object] = {"type": "rfc3161", "token": candidate.raw.hex()}
        return Evidence(members, token.info.time_ms, 0)

    async def close(self) -> None:
        """Close connections."""
        await self._exchange.close()

    async def _ask(self, root: bytes) -> tuple[bytes, Token]:
        query = Query(root, secrets.randbits(_NONCE_BITS), self._settings.policy)
        raw = read_answer(await self._exchange.ask(query.encode()))
        return raw, believe(raw, query, self._settings.trust, self._clock.now())


def _stored(candidate: Candidate) -> Token:
    try:
        return parse_token(candidate.raw)
    except RefusedError as error:
        raise ChainError(
            f"the stored token {candidate.transaction} is damaged ({error}); restore the database"
        ) from None
