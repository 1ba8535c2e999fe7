"""Processes wait for signals instead of looking again and again whether there was one."""

import asyncio
import signal
import subprocess
import sys
import time

import pytest
from starlette.applications import Starlette

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


def test_a_server_is_told_to_stop() -> None:
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


def test_answers_have_the_date_of_the_second_in_which_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    state = Server(server_config(Starlette())).server_state
    for now, date in (
        (784111777.2, b"Sun, 06 Nov 1994 08:49:37 GMT"),
        (784111777.9, b"Sun, 06 Nov 1994 08:49:37 GMT"),
        (784111778.0, b"Sun, 06 Nov 1994 08:49:38 GMT"),
        (784111700.0, b"Sun, 06 Nov 1994 08:48:20 GMT"),
    ):
        monkeypatch.setattr("proof.main.server.processes.time.time", lambda now=now: now)
        assert state.default_headers == [(b"date", date)]
