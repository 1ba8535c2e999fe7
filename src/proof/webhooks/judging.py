"""What a result means: for the delivery, and for its endpoint."""

from datetime import timedelta

import structlog

from proof.core.clock import Clock
from proof.webhooks.attempts import Result
from proof.webhooks.breaker import BreakerPolicy, Verdict, Window
from proof.webhooks.notices import Change
from proof.webhooks.schedule import Schedule
from proof.webhooks.types import ClaimedDelivery, Outcome, State

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
        used up. A receiver's Retry-After puts the next attempt off, and never brings it forward.
        """
        now = self._clock.now()
        state, at, uncounted = State.FAILED, now, 0
        if result.delivered:
            state = State.DELIVERED
        elif delivery.failed_probes is not None:
            state, at, uncounted = State.PENDING, now + self._probe_delay(delivery, result), 1
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
        if result.ours and delivery.failed_probes is None:
            return None
        now = self._clock.now()
        opens = not result.ours and window.add(now.timestamp(), failed=not result.delivered)
        to = (delivery.endpoint_id, delivery.url)
        if result.gone:
            return Verdict(*to, Change.DISABLED, "it answered 410 Gone", now)
        if delivery.failed_probes is not None:
            if result.delivered:
                return Verdict(*to, Change.RECOVERED, f"a probe was answered {result.text}", now)
            return Verdict(
                *to,
                None,
                f"{delivery.failed_probes + 1} probes failed, the last one: {result.text}",
                now,
                now + self._probe_delay(delivery, result),
                now - self._policy.disable_after,
                # A fault of ours disables nobody.
                32_767 if result.ours else self._policy.probes,
            )
        if not opens:
            return None
        window.clear()
        probe_at = now + self._spread(self._policy.probe_delay_s(0))
        return Verdict(
            *to, Change.OPENED, f"too many failed, the last: {result.text}", now, probe_at
        )

    def _probe_delay(self, delivery: ClaimedDelivery, result: Result) -> timedelta:
        delay_s = self._policy.probe_delay_s((delivery.failed_probes or 0) + 1)
        return max(self._spread(delay_s), timedelta(seconds=result.retry_after_s))

    def _spread(self, delay_s: float) -> timedelta:
        return timedelta(seconds=self._schedule.spread(delay_s))
