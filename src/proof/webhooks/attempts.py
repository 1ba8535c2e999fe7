"""One attempt: sign, send, and say what its result means for the delivery and for its endpoint."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Protocol

import structlog
from msgspec import Struct

from proof.core.clock import Clock
from proof.outbound import InvalidTargetError, OutboundError, OutboundReply, on_behalf_of
from proof.webhooks.breaker import BreakerChange, BreakerPolicy, Finding, Window
from proof.webhooks.schedule import Schedule, retry_after_s
from proof.webhooks.signing import Ring, attempt_headers
from proof.webhooks.types import AttemptOutcome, Change, ClaimedDelivery, DeliveryState

# This is enough to read what a receiver complained of; the rest would only fill the table.
KEPT_BODY_BYTES = 2048
_GONE = 410
_log = structlog.get_logger(__name__)
_REASON_GONE = "it answered 410 Gone"

# A number of probes that the column cannot reach.
_NEVER = 32_767


class Client(Protocol):
    """What sends an attempt; `OutboundClient`, or a fake with faults."""

    timeout_s: float

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> OutboundReply:
        """See `OutboundClient.post`."""
        ...


class Result(Struct, frozen=True):
    """What an attempt came to. `text` is the status or a short reason.

    `ours`: the fault is not the receiver's. `body` is the beginning of the reply, capped. No part of
    the request is kept.
    """

    made_at: datetime
    text: str
    delivered: bool = False
    gone: bool = False
    ours: bool = False
    status: int | None = None
    body: bytes | None = None
    elapsed_ms: int | None = None
    retry_after_s: float = 0


async def attempt(client: Client, clock: Clock, delivery: ClaimedDelivery, ring: Ring) -> Result:
    """Send a delivery once. Raises nothing: a fault of ours is a result as well."""
    made_at = clock.now()
    if not ring.secrets:
        return Result(made_at, "no webhook secret", ours=True)
    if delivery.ed25519 and not ring.keys:
        return Result(made_at, "no webhook signing key", ours=True)
    try:
        headers = _headers(delivery, ring, int(made_at.timestamp()))
        with on_behalf_of(delivery.partner_environment_id):
            reply = await client.post(delivery.url, delivery.body, headers)
    except OutboundError as error:
        return Result(made_at, error.reason)
    except InvalidTargetError:
        return Result(made_at, "refused target")
    except Exception:  # noqa: BLE001 - a fault of ours in one attempt ends no other; it is logged
        _log.exception("webhook.attempt_broken", delivery_id=delivery.id)
        return Result(made_at, "internal error", ours=True)
    return _result(made_at, reply)


def _result(made_at: datetime, reply: OutboundReply) -> Result:
    return Result(
        made_at,
        str(reply.status),
        delivered=200 <= reply.status < 300,
        gone=reply.status == _GONE,
        status=reply.status,
        body=reply.body[:KEPT_BODY_BYTES] or None,
        elapsed_ms=round(reply.elapsed_s * 1000),
        retry_after_s=retry_after_s(reply.retry_after, made_at) if reply.retry_after else 0,
    )


def _headers(delivery: ClaimedDelivery, ring: Ring, now_s: int) -> dict[str, str]:
    keys = ring.keys if delivery.ed25519 else ()
    about = delivery.event_id, delivery.sequence
    return attempt_headers(*about, now_s, delivery.body, ring.secrets, keys)


class Judge:
    """Turns results into outcomes and verdicts."""

    def __init__(self, clock: Clock, schedule: Schedule, policy: BreakerPolicy) -> None:
        self._clock = clock
        self._schedule = schedule
        self._policy = policy

    def outcome(self, delivery: ClaimedDelivery, result: Result) -> AttemptOutcome:
        """What is recorded of an attempt that ends now.

        A probe that failed is none of its delivery's attempts: while a breaker is open nothing is
        used up, and the delivery waits for the breaker alone, behind the others. A receiver's
        Retry-After puts the next attempt off, and never brings it forward.
        """
        now = self._clock.now()
        state, at, uncounted = DeliveryState.FAILED, now, 0
        if result.delivered:
            state = DeliveryState.DELIVERED
        elif delivery.failed_probes is not None:
            state, uncounted = DeliveryState.PENDING, 1
        else:
            delay_s = self._schedule.delay_s(delivery.attempt - delivery.attempts_before)
            if delay_s is not None:
                state = DeliveryState.PENDING
                at = now + timedelta(seconds=max(delay_s, result.retry_after_s))
            else:
                _log.warning("webhook.failed", delivery_id=delivery.id, outcome=result.text)
        return AttemptOutcome(
            delivery.id,
            delivery.attempt,
            state,
            result.text,
            at,
            result.made_at,
            result.status,
            result.body,
            result.elapsed_ms,
            uncounted,
            delivery.endpoint_id,
            delivery.ordered_subject,
        )

    def verdict(
        self, window: Window, delivery: ClaimedDelivery, result: Result
    ) -> BreakerChange | None:
        """What the attempt says about its endpoint; None when it changes nothing."""
        to, now = (delivery.endpoint_id, delivery.url), self._clock.now()
        if delivery.failed_probes is not None:
            return self._of_probe(delivery, result)
        if result.ours:
            return None
        opens = window.add(now.timestamp(), failed=not result.delivered)
        if result.gone:
            return BreakerChange(*to, Change.DISABLED, _REASON_GONE, now)
        if result.delivered:
            ends = delivery.failing and window.tells_recovery(now.timestamp())
            return BreakerChange(*to, Finding.ANSWERED, result.text, now) if ends else None
        probe_at = now + self._spread(self._policy.probe_delay_s(0))
        if opens:
            window.clear()
            reason = f"too many failed, the last: {result.text}"
            return BreakerChange(*to, Change.OPENED, reason, now, probe_at)
        if not window.is_silent(now.timestamp()):
            return None
        reason = f"none has succeeded for long, the last: {result.text}"
        since = now - timedelta(seconds=self._policy.in_a_row_s)
        return BreakerChange(
            *to, Finding.FAILED, reason, now, probe_at, since, self._policy.in_a_row
        )

    def _of_probe(self, delivery: ClaimedDelivery, result: Result) -> BreakerChange:
        to, now = (delivery.endpoint_id, delivery.url), self._clock.now()
        if result.gone:
            return BreakerChange(*to, Change.DISABLED, _REASON_GONE, now)
        if result.delivered:
            return BreakerChange(*to, Change.RECOVERED, f"a probe was answered {result.text}", now)
        return BreakerChange(
            *to,
            Finding.PROBE_FAILED,
            f"{(delivery.failed_probes or 0) + 1} probes failed, the last one: {result.text}",
            now,
            now + self._probe_delay(delivery, result),
            now - self._policy.disable_after,
            # An attempt that failed by our fault disables no endpoint.
            _NEVER if result.ours else self._policy.probes,
        )

    def _probe_delay(self, delivery: ClaimedDelivery, result: Result) -> timedelta:
        delay_s = self._policy.probe_delay_s((delivery.failed_probes or 0) + 1)
        return max(self._spread(delay_s), timedelta(seconds=result.retry_after_s))

    def _spread(self, delay_s: float) -> timedelta:
        return timedelta(seconds=self._schedule.spread(delay_s))
