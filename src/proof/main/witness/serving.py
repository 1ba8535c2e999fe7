"""One witness, until it is told to stop."""

import asyncio
import errno
import gc
import resource
import signal
import socket
from pathlib import Path

import structlog
import uvicorn
import uvloop
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from proof.core.clock import SystemClock
from proof.main.events import configure_logging
from proof.main.server.connection import BoundedConnection
from proof.witness.app import WitnessApp
from proof.witness.errors import WitnessError
from proof.witness.folder import (
    Identity,
    Mark,
    held_folder,
    held_mark,
    open_store,
    read_identity,
)
from proof.witness.service import Witness
from proof.witness.store import Store

_GRACEFUL_S = 10
_KEEP_ALIVE_S = 75
# Each costs a file and some 20 KB; a log needs one.
MAX_CONNECTIONS = 512

_log = structlog.get_logger()


def serve_witness(folder: Path, host: str, port: int, state: Path | None) -> None:
    """Serve until told to stop; this machine's mark is kept below `state`.

    Raises WitnessError when it must not or cannot start, StoreError when its state cannot be read.
    """
    configure_logging()
    # uvicorn shuts down in order and then raises the signal again, for whoever had a handler before.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    identity = read_identity(folder)
    with held_folder(folder), held_mark(identity, state) as mark:
        store = open_store(folder, identity)
        try:
            if mark is None:
                _log.warning("witness.no_mark", reason="no state directory can be written")
            else:
                mark.require(store.commits)
            with _listening(host, port) as listening:
                _log.info("witness.starting", name=identity.name, url=_url(listening))
                with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                    runner.run(_serve(identity, store, mark, listening))
        finally:
            store.close()


def _url(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


async def _serve(
    identity: Identity, store: Store, mark: Mark | None, listening: socket.socket
) -> None:
    async with Witness(identity, store, mark, SystemClock()) as witness:
        server = uvicorn.Server(_config(WitnessApp(witness)))
        gc.freeze()
        try:
            await server.serve(sockets=[listening])
        finally:
            _log.info("witness.stopped", name=identity.name)


class WitnessConnection(BoundedConnection):
    """One of at most `MAX_CONNECTIONS`. Who comes when all are taken gets the place of the one that has
    gone longest without a complete request: so strangers who hold theirs keep no log out."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as upstream
        super().connection_made(transport)
        self.used_at = self.loop.time()
        if len(self.connections) > MAX_CONNECTIONS:
            others = [each for each in self.connections if each is not self and _is_waiting(each)]
            if others:
                min(others, key=_used_at).transport.close()

    def on_response_complete(self) -> None:
        self.used_at = self.loop.time()
        super().on_response_complete()

    @property
    def is_waiting(self) -> bool:
        """Whether it is the client's turn: there is no request, or one that is not complete."""
        cycle: RequestResponseCycle | None = self.cycle
        answered = cycle is None or cycle.response_complete
        return (self._arriving or answered) and not self.transport.is_closing()


def _is_waiting(connection: object) -> bool:
    return isinstance(connection, WitnessConnection) and connection.is_waiting


def _used_at(connection: object) -> float:
    assert isinstance(connection, WitnessConnection)
    return connection.used_at


def _config(app: WitnessApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=WitnessConnection,
        ws="none",
        lifespan="off",
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_config=None,
        log_level="error",
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_GRACEFUL_S,
    )


def _listening(host: str, port: int) -> socket.socket:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=MAX_CONNECTIONS)
    except (OSError, UnicodeError) as error:
        if isinstance(error, UnicodeError):
            raise WitnessError(
                f"cannot listen on {host!r}: it is no name of a host; choose --host"
            ) from None
        other = (
            "another with --port" if error.errno in {errno.EADDRINUSE, errno.EACCES} else "--host"
        )
        raise WitnessError(
            f"cannot listen on {host} port {port}: {error.strerror}; choose {other}"
        ) from None


def _end(_number: int, _frame: object) -> None:
    raise SystemExit(0)
