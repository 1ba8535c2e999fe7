"""What a result means: for the delivery, and for its endpoint."""

from datetime import timedelta

import structlog

from proof.core.clock import Clock
from proof.webhooks.attempts import Result
from proof.webhooks.breaker import BreakerPolicy, Finding, Verdict, Window
from proof.webhooks.notices import Change
from proof.webhooks.schedule import Schedule
from proof.webhooks.types import ClaimedDelivery, Outcome, State

_GONE = "it answered 410 Gone"
# More probes than the column can count.
_NEVER = 32_767

_log = structlog.get_logger(__name__)


class Judge:
    """Turns results into outcomes and verdicts."""

    def __init__(self, clock: Clock, schedule: Schedule, policy: BreakerPolicy) -> None:
        self._clock = clock
        self._schedule = schedule
        self._policy = policy

    def outcome(self, delivery: ClaimedDelivery, result: Result) -> Outcome:
        """What is recorded of an attempt that ends now.

        A probe that failed is none of its delivery's attempts: while a breaker is open nothing is
        used up, and the delivery waits for the breaker alone, behind the others. A receiver's
        Retry-After puts the next attempt off, and never brings it forward.
        """
        now = self._clock.now()
        state, at, uncounted = State.FAILED, now, 0
        if result.delivered:
            state = State.DELIVERED
        elif delivery.failed_probes is not None:
            state, uncounted = State.PENDING, 1
        else:
            delay_s = self._schedule.delay_s(delivery.attempt - delivery.attempts_before)
            if delay_s is not None:
                state = State.PENDING
                at = now + timedelta(seconds=max(delay_s, result.retry_after_s))
            else:
                _log.warning("webhook failed", delivery_id=delivery.id, outcome=result.text)
        return Outcome(
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

    def verdict(self, window: Window, delivery: ClaimedDelivery, result: Result) -> Verdict | None:
        """What the attempt says about its endpoint; None when it changes nothing."""
        to, now = (delivery.endpoint_id, delivery.url), self._clock.now()
        if delivery.failed_probes is not None:
            return self._of_probe(delivery, result)
        if result.ours:
            return None
        opens = window.add(now.timestamp(), failed=not result.delivered)
        if result.gone:
            return Verdict(*to, Change.DISABLED, _GONE, now)
        if result.delivered:
            ends = delivery.failing and window.tells_recovery(now.timestamp())
            return Verdict(*to, Finding.ANSWERED, result.text, now) if ends else None
        probe_at = now + self._spread(self._policy.probe_delay_s(0))
        if opens:
            window.clear()
            reason = f"too many failed, the last: {result.text}"
            return Verdict(*to, Change.OPENED, reason, now, probe_at)
        if not window.is_silent(now.timestamp()):
            return None
        reason = f"none has succeeded for long, the last: {result.text}"
        since = now - timedelta(seconds=self._policy.in_a_row_s)
        return Verdict(*to, Finding.FAILED, reason, now, probe_at, since, self._policy.in_a_row)

    def _of_probe(self, delivery: ClaimedDelivery, result: Result) -> Verdict:
        to, now = (delivery.endpoint_id, delivery.url), self._clock.now()
        if result.gone:
            return Verdict(*to, Change.DISABLED, _GONE, now)
        if result.delivered:
            return Verdict(*to, Change.RECOVERED, f"a probe was answered {result.text}", now)
        return Verdict(
            *to,
            Finding.PROBE_FAILED,
            f"{(delivery.failed_probes or 0) + 1} probes failed, the last one: {result.text}",
            now,
            now + self._probe_delay(delivery, result),
            now - self._policy.disable_after,
            # A fault of ours disables nobody.
            _NEVER if result.ours else self._policy.probes,
        )

    def _probe_delay(self, delivery: ClaimedDelivery, result: Result) -> timedelta:
        delay_s = self._policy.probe_delay_s((delivery.failed_probes or 0) + 1)
        return max(self._spread(delay_s), timedelta(seconds=result.retry_after_s))

    def _spread(self, delay_s: float) -> timedelta:
        return timedelta(seconds=self._schedule.spread(delay_s))
