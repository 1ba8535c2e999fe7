"""Refused tries of what only operators may call, as lines of the log: `operator.refused`.

Whoever finds the port may try as often as it takes connections, so tries of one kind share a line each
second.
"""

import asyncio
from dataclasses import asdict, dataclass
from enum import StrEnum

import structlog

from proof.partners.access.networks import Address

# Tries of one kind within this time are logged as one line.
EVERY_S = 1.0


_log = structlog.get_logger()


class TryReason(StrEnum):
    """Why a try was refused. The caller is not told which of the first six it was."""

    MISSING = "missing_token"
    SEVERAL = "several_tokens"
    MALFORMED = "malformed_token"
    # The key id is no operator's, or the secret is another than the operator's.
    UNKNOWN = "unknown_token"
    REVOKED = "token_revoked"
    EXPIRED = "token_expired"
    SCOPE = "scope_missing"
    ADDRESS = "ip_not_allowed"


# A caller without a token can make key ids up, so these reasons are counted without the key id.
_OF_STRANGERS = frozenset(
    {TryReason.MISSING, TryReason.SEVERAL, TryReason.MALFORMED, TryReason.UNKNOWN}
)


@dataclass(slots=True)
class _Tries:
    """Tries of one kind; key id, address and request id are the first one's."""

    reason: TryReason
    key_id: str | None
    address: str
    request_id: str
    count: int = 1

    def write(self) -> None:
        _log.warning("operator.refused", **asdict(self))


class RefusedTries:
    """What one process has to tell. The first try of a kind is told at once, those of each second after
    it in one line with their count."""

    def __init__(self) -> None:
        # By kind, while the second after its first try lasts: the tries since then.
        self._since: dict[tuple[TryReason, str | None], _Tries | None] = {}

    def note(
        self, reason: TryReason, address: Address, request_id: str, key_id: str | None = None
    ) -> None:
        """One try; `key_id` as the token sent names it. A running event loop is needed."""
        kind = reason, None if reason in _OF_STRANGERS else key_id
        if kind not in self._since:
            _Tries(reason, key_id, str(address), request_id).write()
            self._begin(kind)
            return
        tries = self._since[kind]
        if tries is None:
            self._since[kind] = _Tries(reason, key_id, str(address), request_id)
        else:
            tries.count += 1

    def flush(self) -> None:
        """Tell what is not told yet."""
        for kind, tries in self._since.items():
            if tries is not None:
                tries.write()
            self._since[kind] = None

    def _begin(self, kind: tuple[TryReason, str | None]) -> None:
        self._since[kind] = None
        asyncio.get_running_loop().call_later(EVERY_S, self._end, kind)

    def _end(self, kind: tuple[TryReason, str | None]) -> None:
        tries = self._since.pop(kind)
        if tries is not None:
            tries.write()
            self._begin(kind)
