"""Processes wait for signals instead of looking again and again whether there was one."""

import asyncio
import signal
import subprocess
import sys
import time

import pytest
from starlette.applications import Starlette

from proof.main.server import processes
from proof.main.server.processes import Server, server_config
from proof.main.server.supervise import waiting_for_signals

# Whoever waited this long was not told.
LONG_S = 600.0


def test_the_end_of_a_child_ends_a_wait() -> None:
    begun, before = time.monotonic(), signal.getsignal(signal.SIGCHLD)
    with waiting_for_signals() as wait:
        child = subprocess.Popen([sys.executable, "-c", ""])
        while child.poll() is None:
            wait(LONG_S)
        # What came earlier does not end the next one.
        wait(0)
    assert time.monotonic() - begun < LONG_S
    assert signal.getsignal(signal.SIGCHLD) == before


def test_a_server_is_told_to_stop_and_has_the_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_DATE_S", LONG_S)
    config = server_config(Starlette())
    config.load()
    server = Server(config)
    # Told before its loop began, it does not begin.
    early = Server(config)
    early.handle_exit(signal.SIGTERM, None)

    async def scene() -> float:
        await early.main_loop()
        begun = time.monotonic()
        serving = asyncio.create_task(server.main_loop())
        await asyncio.sleep(0)
        server.handle_exit(signal.SIGTERM, None)
        await serving
        return time.monotonic() - begun

    assert asyncio.run(scene()) < LONG_S
    assert [name for name, _ in server.server_state.default_headers] == [b"date"]
