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

from proof.core.clock import SystemClock
from proof.main.connection import BoundedConnection
from proof.main.events import configure_logging
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
_MAX_CONNECTIONS = 512

_log = structlog.get_logger()


def serve_witness(folder: Path, host: str, port: int, state: Path | None) -> None:
    """Serve until told to stop; this machine's mark is kept below `state`.

    Raises WitnessError when it must not or cannot start.
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


def _config(app: WitnessApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=BoundedConnection,
        ws="none",
        lifespan="off",
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_config=None,
        log_level="error",
        limit_concurrency=_MAX_CONNECTIONS,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_GRACEFUL_S,
    )


def _listening(host: str, port: int) -> socket.socket:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_MAX_CONNECTIONS)
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
