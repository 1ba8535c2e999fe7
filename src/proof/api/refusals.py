"""Refusals are held back once there are many.

Whoever asks again as soon as it is refused, over hundreds of connections, has the event loop go through all
of them in each of its turns, and everybody else's calls take many turns. A refusal says when to come again;
one that comes a second later harms nobody who listens, and a connection whose answer waits asks nothing.
"""

import asyncio

from proof.api.errors import MethodNotAllowedError
from proof.core.errors import BusyError, QuotaExceededError
from proof.core.pace import Pace, Turnstile
from proof.partners.errors import (
    AddressNotAllowedError,
    InvalidTokenError,
    MissingTokenError,
    ScopeError,
    SuspendedError,
)

# Errors that are answered before any work is done for the caller.
_REFUSALS = (
    QuotaExceededError,
    BusyError,
    MissingTokenError,
    InvalidTokenError,
    ScopeError,
    SuspendedError,
    AddressNotAllowedError,
    MethodNotAllowedError,
)

# A refusal costs a tenth of a millisecond of the event loop.
_LONGEST_S = 1.0
_turnstile = Turnstile(each_turn=2)
_pace = Pace(per_second=500, at_once=50, longest_s=_LONGEST_S)


async def hold_back(error: Exception) -> None:
    """Wait before this is answered, if it is a refusal and there are many."""
    if isinstance(error, _REFUSALS):
        await hold_back_any()


async def hold_back_any() -> None:
    """Wait before something is refused, if much is."""
    await _turnstile.turn()
    wait_s = _pace.wait_s()
    if wait_s != 0.0:
        await asyncio.sleep(_LONGEST_S if wait_s is None else wait_s)
