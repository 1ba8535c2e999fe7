"""Work in a copy of the process: its answer or its stated error comes back, and nothing else of it."""

import subprocess
import sys

import pytest

_SCRIPT = """
import os, signal, sys, time
from proof.core.errors import NotYetError
from proof.main.server.apart import Apart

here = os.getpid()

def told(*_):
    raise NotYetError("it was told to stop", 7)

def work():
    what = sys.argv[1]
    assert os.getpid() != here
    if what == "refuse":
        raise NotYetError("not before noon", 60)
    if what == "fail":
        raise RuntimeError("a fault")
    if what == "vanish":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "wait":
        os.write(ready[1], b".")
        time.sleep(600)
    return {"answer": what}

ready = os.pipe()
signal.signal(signal.SIGTERM, told)
print("before", flush=False)
try:
    with Apart(work) as copy:
        if sys.argv[1] == "wait":
            os.read(ready[0], 1)
            copy.terminate()
        print(copy.answer())
except NotYetError as error:
    print(type(error).__name__, error.message, error.retry_after_s, error)
"""


@pytest.mark.parametrize(
    ("what", "printed", "code", "stated"),
    [
        ("answer", "{'answer': 'answer'}", 0, ""),
        ("refuse", "NotYetError not before noon 60 not before noon", 0, ""),
        ("wait", "NotYetError it was told to stop 7 it was told to stop", 0, ""),
        ("fail", "", 1, "RuntimeError: a fault"),
        ("vanish", "", 1, ""),
    ],
)
def test_what_comes_back(what: str, printed: str, code: int, stated: str) -> None:
    # Of its own, because a copy of the test run would have its threads' locks and not its threads.
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _SCRIPT, what],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.splitlines() == ["before", *([printed] if printed else [])]
    assert done.returncode == code
    assert stated in done.stderr
    assert bool(done.stderr) is bool(stated)
