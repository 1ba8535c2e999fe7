"""What a process holds of each endpoint: deliveries in flight, and claimed ones that wait their turn.

A line that hangs or fails must not cost the others their places, so how much a line may hold follows
from how its endpoint does: unknown, it gets `per_endpoint`; answering, it may also keep deliveries
ahead and use the reserve; failing or slow, it keeps two in flight and none ahead, and all such lines
together a quarter of the places. A partner environment has a share of them, however many endpoints.
"""

import time
from collections import Counter, deque
from collections.abc import Iterable
from uuid import UUID

from proof.webhooks.attempts import Result
from proof.webhooks.breaker import BreakerPolicy, Window
from proof.webhooks.types import ClaimedDelivery, Limits

# A receiver that needs longer than this is one that hangs, as far as places are concerned.
_SLOW_S = 2.0
_SUSPECT_IN_FLIGHT = 2
_SUSPECT_SHARE = 4


class Line:
    """One endpoint's deliveries in this process."""

    def __init__(self, url: str, policy: BreakerPolicy) -> None:
        self.url = url
        self.window = Window(policy)
        self.waiting: deque[ClaimedDelivery] = deque()
        # By claim, not by delivery: after a lease a process may claim again what it still has in flight.
        self.started: dict[int, float] = {}
        self.answers: bool | None = None
        self.filled = False
        self.listed = False

    @property
    def held(self) -> int:
        return len(self.waiting) + len(self.started)

    def is_slow(self, now_s: float) -> bool:
        """Whether the oldest attempt in flight is overdue."""
        return bool(self.started) and now_s - next(iter(self.started.values())) > _SLOW_S

    def is_suspect(self, now_s: float) -> bool:
        return self.answers is False or self.is_slow(now_s)


class Lines:
    """All lines of one process, and whose turn it is."""

    def __init__(self, limits: Limits, policy: BreakerPolicy) -> None:
        self._limits = limits
        self._policy = policy
        self._lines: dict[UUID, Line] = {}
        self._turn: deque[Line] = deque()
        self._owned: Counter[int] = Counter()
        self.in_flight = 0
        self.waiting = 0

    def __getitem__(self, endpoint_id: UUID) -> Line:
        return self._lines[endpoint_id]

    def add(self, claimed: Iterable[ClaimedDelivery]) -> None:
        """Take in what was claimed."""
        for delivery in claimed:
            line = self._lines.get(delivery.endpoint_id)
            if line is None:
                line = self._lines[delivery.endpoint_id] = Line(delivery.url, self._policy)
            elif line.url != delivery.url:
                # Another URL starts anew, whatever the one before did.
                line.url, line.answers = delivery.url, None
                line.window.clear()
            line.waiting.append(delivery)
            self.waiting += 1
            self._list(line)

    def take(self) -> ClaimedDelivery | None:
        """The next delivery to attempt, endpoints in turn; None when no place is free for one."""
        limits = self._limits
        for _ in range(len(self._turn)):
            line = self._turn.popleft()
            line.listed = False
            if not line.waiting:
                continue
            reserve = limits.reserve if line.answers else 0
            owner = line.waiting[0].partner_environment_id
            if (
                self.in_flight >= limits.in_flight + reserve
                or self._owned[owner] >= limits.per_owner
            ):
                self._list(line)
                continue
            delivery = line.waiting.popleft()
            self.waiting -= 1
            self._owned[owner] += 1
            line.started[id(delivery)] = time.monotonic()
            self.in_flight += 1
            self._list(line)
            return delivery
        return None

    def done(self, delivery: ClaimedDelivery, result: Result | None) -> Line:
        """An attempt ended, or was not made (None)."""
        line = self._lines[delivery.endpoint_id]
        del line.started[id(delivery)]
        self.in_flight -= 1
        self._owned[delivery.partner_environment_id] -= 1
        if not self._owned[delivery.partner_environment_id]:
            del self._owned[delivery.partner_environment_id]
        if result is not None and not result.ours:
            line.answers = result.delivered
        self._list(line)
        return line

    def wants_more(self, line: Line) -> bool:
        """Whether a claim for this line is worth its round trip now."""
        return line.filled and len(line.waiting) <= self._limits.ahead // 2

    def rooms(self) -> tuple[dict[UUID, int], dict[UUID, int], int, int]:
        """For a claim: what each line holds, what it may still get, what an unknown endpoint may get,
        and how many deliveries in all."""
        now_s, limits = time.monotonic(), self._limits
        self._forget_idle()
        suspects = {name for name, line in self._lines.items() if line.is_suspect(now_s)}
        tried = sum(len(self._lines[name].started) for name in suspects)
        allowed = _SUSPECT_IN_FLIGHT if tried < limits.in_flight // _SUSPECT_SHARE else 0
        answering = sum(1 for line in self._lines.values() if line.answers)
        ahead = min(limits.ahead, max(limits.waiting - self.waiting, 0) // max(answering, 1))
        free = limits.in_flight - self.in_flight
        unknown = limits.per_endpoint if free > 0 else 0
        rooms: dict[UUID, int] = {}
        for name, line in self._lines.items():
            if name in suspects:
                room = min(allowed, limits.per_endpoint) - line.held if free > 0 else 0
            elif line.answers:
                room = limits.per_endpoint + ahead - line.held
            else:
                room = unknown - line.held
            rooms[name] = max(room, 0)
        most = max(limits.waiting - self.waiting if answering else 0, free, 0)
        return {name: line.held for name, line in self._lines.items()}, rooms, unknown, most

    def note_filled(self, claimed: Iterable[ClaimedDelivery], rooms: dict[UUID, int]) -> None:
        """Remember which lines got all they had room for: more may be due for them."""
        counts: dict[UUID, int] = {}
        for delivery in claimed:
            counts[delivery.endpoint_id] = counts.get(delivery.endpoint_id, 0) + 1
        for name, line in self._lines.items():
            room = rooms.get(name, self._limits.per_endpoint)
            line.filled = room == 0 or counts.get(name, 0) >= room

    def shed(self, line: Line) -> list[ClaimedDelivery]:
        """Take out what waits in a line, to be given back."""
        waiting, line.waiting = list(line.waiting), deque()
        self.waiting -= len(waiting)
        return waiting

    def shed_slow(self) -> list[ClaimedDelivery]:
        """What waits behind attempts that hang."""
        now_s = time.monotonic()
        slow = [one for one in self._lines.values() if one.waiting and one.is_slow(now_s)]
        return [delivery for line in slow for delivery in self.shed(line)]

    def shed_all(self) -> list[ClaimedDelivery]:
        """Everything that waits."""
        return [delivery for line in self._lines.values() for delivery in self.shed(line)]

    def _list(self, line: Line) -> None:
        if not line.listed and line.waiting and len(line.started) < self._limits.per_endpoint:
            line.listed = True
            self._turn.append(line)

    def _forget_idle(self) -> None:
        """Endpoints nothing was sent to for a while are unknown again."""
        if len(self._lines) > self._limits.waiting:
            self._lines = {name: line for name, line in self._lines.items() if line.held}
