"""Telling what PostgreSQL did from faults of ours.

An error in the middle of a transaction may be anybody's: only what the server said or did, or a connection
that is gone, makes it one that passes.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import asyncpg

from proof.core.errors import BusyError, DatabaseUnavailableError, UnavailableError
from proof.db.types import Connection

# Raised by a server that stops, restarts, fails over, has no connection left, or ends a statement that
# takes too long.
_STATED = (
    asyncpg.PostgresConnectionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.TransactionTimeoutError,
    asyncpg.ReadOnlySQLTransactionError,
    # asyncpg raises it when the server ended in the middle of an answer.
    asyncpg.InternalClientError,
)
# Another transaction holds the lock; this one was rolled back.
_HELD = (
    asyncpg.LockNotAvailableError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
)

# Raised by connecting while no server listens; TimeoutError is an OSError.
CANNOT_CONNECT = (
    OSError,
    *_STATED,
    asyncpg.InterfaceError,
)


def unreached(error: BaseException) -> DatabaseUnavailableError:
    """No connection was made because of this error, one of CANNOT_CONNECT."""
    # A TimeoutError of the driver has no words.
    reason = str(error) or "no answer in time"
    return DatabaseUnavailableError(f"PostgreSQL cannot be reached: {reason}")


def outage(error: BaseException, connection: Connection) -> UnavailableError | None:
    """What PostgreSQL did that ended the use of a connection with this error; None when it did nothing.

    A connection whose server does not answer, or takes no writes any more, is ended with it.
    """
    if isinstance(error, UnavailableError):
        return error
    if isinstance(error, _HELD):
        return BusyError("others are changing the same thing")
    if isinstance(error, _STATED):
        # The server has become a replica and would refuse every later write as well.
        _end(connection)
        return DatabaseUnavailableError(f"PostgreSQL: {error!r}")
    if isinstance(error, TimeoutError) and _raised_by_driver(error):
        _end(connection)
        return DatabaseUnavailableError("PostgreSQL did not answer in time")
    # asyncpg raises it for a connection that is gone, and also for a misuse of one that is not.
    if isinstance(error, asyncpg.InterfaceError) and _is_gone(connection):
        return DatabaseUnavailableError(f"the connection to PostgreSQL is gone: {error}")
    return None


@contextmanager
def stated_outages(connection: Connection) -> Iterator[None]:
    """Raise what PostgreSQL did to this connection as an UnavailableError; all else stays as it is."""
    try:
        yield
    except Exception as error:
        stated = outage(error, connection)
        if stated is None or stated is error:
            raise
        raise stated from error


def _is_gone(connection: Connection) -> bool:
    try:
        return connection.is_closed()
    except asyncpg.InterfaceError:
        # A pooled connection that is lost has left its pool already, and answers nothing.
        return True


def _end(connection: Connection) -> None:
    with suppress(asyncpg.InterfaceError):
        connection.terminate()


def _raised_by_driver(error: BaseException) -> bool:
    """A statement's timeout has a plain TimeoutError's type; only where it was raised tells it apart."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    name = "" if trace is None else str(trace.tb_frame.f_globals.get("__name__"))
    return name.partition(".")[0] == asyncpg.__name__
