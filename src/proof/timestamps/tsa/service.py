"""From a request's bytes to an answer's: the whole of what `POST /tsa` does."""

import structlog
from prometheus_client import Counter

from proof.core.clock import Clock
from proof.timestamps.tsa.clock_watch import ClockWatch
from proof.timestamps.tsa.request import Failure, RejectedError, parse_request
from proof.timestamps.tsa.token import TokenIssuer, rejection

_issued = Counter("proof_tsa_tokens", "RFC 3161 requests answered", ["outcome"])
_log = structlog.get_logger()


class TimeStampingAuthority:
    """Issues tokens while its clock can be trusted and its certificate is valid."""

    def __init__(self, issuer: TokenIssuer, clock: Clock, watch: ClockWatch) -> None:
        self._issuer = issuer
        self._clock = clock
        self._watch = watch
        self._objection: str | None = None

    @property
    def chain_pem(self) -> bytes:
        """The certificates as PEM, the signer's first."""
        return self._issuer.chain_pem

    def answer(self, raw: bytes) -> bytes:
        """A DER-encoded TimeStampResp: a token, or the status that says why there is none."""
        try:
            request = parse_request(raw)
            self._require_clock()
            token = self._issuer.issue(request, self._clock.now())
        except RejectedError as rejected:
            _issued.labels(rejected.failure.name.lower()).inc()
            return rejection(rejected)
        _issued.labels("granted").inc()
        return token

    def _require_clock(self) -> None:
        objection = self._watch.objection()
        if objection != self._objection:
            self._objection = objection
            _log.error("tsa.clock", objection=objection or "none")
        if objection is not None:
            raise RejectedError(Failure.TIME_NOT_AVAILABLE, f"no time is given: {objection}")
