"""What runs the tests for `mutate.py`, in a copy of the tree: which tests run which lines, and the tests of
one mutant after another.

`mutation_runs.py map OUT TEST…` records the lines of each test. `mutation_runs.py serve MODULES` starts
PostgreSQL, reads one request a line and answers each with one: the process has imported what is not ours,
and forks for each mutant, which spares most of what a run of pytest costs.
"""

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PACKAGES = ("verify", "timestamps", "partners", "webhooks", "ramp", "witness")
CLUSTER = "PROOF_TEST_CLUSTER"
# Plugins that were imported before pytest began are only told of.
_PYTEST = (
    "-x",
    "-p",
    "no:cacheprovider",
    "--tb=line",
    "-W",
    "ignore::pytest.PytestAssertRewriteWarning",
)

_HOLD_CLUSTER = """
import sys
from tests.support.copying import migrated_cluster
with migrated_cluster() as found:
    print(found._folders.data_dir, flush=True)
    sys.stdin.read()
"""


class Recorder:
    """A pytest plugin: the lines of ours that each test runs, and how long it takes."""

    def __init__(self, root: Path) -> None:
        import coverage

        self.seconds: dict[str, float] = {}
        self.failed: set[str] = set()
        self._root = root
        sources = [str(root / "src" / "proof" / package) for package in PACKAGES]
        self._coverage = coverage.Coverage(
            data_file=None, source=sources, messages=False, config_file=False
        )
        self._coverage.start()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._coverage.switch_context(item.nodeid)
        begun = time.perf_counter()
        result = yield
        self.seconds[item.nodeid] = time.perf_counter() - begun
        self._coverage.switch_context("")
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.add(report.nodeid)

    def found(self) -> dict[str, Any]:
        """By test: its seconds, and its lines by path. Tests that fail are left out."""
        self._coverage.stop()
        data = self._coverage.get_data()
        tests: dict[str, Any] = {
            name: {"seconds": round(seconds, 4), "lines": defaultdict(list)}
            for name, seconds in self.seconds.items()
            if name not in self.failed
        }
        for file in data.measured_files():
            path = str(Path(file).relative_to(self._root))
            for line, names in data.contexts_by_lineno(file).items():
                for name in names:
                    if name in tests:
                        tests[name]["lines"][path].append(line)
        return tests


def record(out: Path, tests: list[str]) -> None:
    recorder = Recorder(Path.cwd())
    pytest.main(["-q", "-p", "no:cacheprovider", *tests], plugins=[recorder])
    out.write_text(json.dumps(recorder.found()))


class Chosen:
    """A pytest plugin: runs the tests asked for in the order given, and keeps which of them failed."""

    def __init__(self, tests: list[str]) -> None:
        self._places = {name: place for place, name in enumerate(tests)}
        self.failed: list[str] = []
        self.why = ""
        self.ran = 0

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        wanted = [item for item in items if item.nodeid in self._places]
        items[:] = sorted(wanted, key=lambda item: self._places[item.nodeid])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.ran += report.when == "call"
        if report.failed:
            self.failed.append(report.nodeid)
            self.why = self.why or report.longreprtext[-300:]

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.failed.append(report.nodeid)
            self.why = self.why or report.longreprtext[-300:]


def serve(modules: Path) -> None:
    """Answer {path, text, tests, timeout_s} with {outcome, failed, why, ran, seconds}. `modules` is a file
    of the modules to import before, found out and written when it is not there."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    _import_others(modules)
    with _cluster() as folder:
        os.environ[CLUSTER] = folder
        for line in sys.stdin:
            request = json.loads(line)
            with _changed(Path(request["path"]), request["text"]):
                answer = _forked(request["tests"], request["timeout_s"])
            print(json.dumps(answer), flush=True)


@contextlib.contextmanager
def _changed(path: Path, text: str) -> Iterator[None]:
    before = path.read_text()
    _write(path, text)
    try:
        yield
    finally:
        _write(path, before)


def _write(path: Path, text: str) -> None:
    path.write_text(text)
    # Of two texts of one size within a second, the bytecode of the first would stand for both.
    for old in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
        old.unlink()


def _forked(tests: list[str], timeout_s: float) -> dict[str, Any]:
    begun = time.monotonic()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _be_child(tests, writing)
    os.close(writing)
    said = b""
    try:
        with os.fdopen(reading, "rb", 0) as answers:
            while (left := begun + timeout_s - time.monotonic()) > 0:
                if select.select([answers], [], [], left)[0]:
                    chunk = answers.read(65536)
                    if not chunk:
                        break
                    said += chunk
    finally:
        # What a test started is of the same group, and ends with it.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
    seconds = round(time.monotonic() - begun, 2)
    if not said:
        return {
            "outcome": "timeout" if seconds >= timeout_s else "broken",
            "failed": [],
            "ran": 0,
            "seconds": seconds,
        }
    return {**json.loads(said), "seconds": seconds}


def _be_child(tests: list[str], writing: int) -> None:
    """Never returns: what comes after is the server's."""
    try:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        nothing = os.open(os.devnull, os.O_RDWR)
        for item in (0, 1, 2):
            os.dup2(nothing, item)
        chosen = Chosen(tests)
        files = list(dict.fromkeys(test.split("::")[0] for test in tests))
        code = pytest.main([*_PYTEST, *files], plugins=[chosen])
        outcome = "survived" if code == 0 else "killed"
        failed = chosen.failed[:1] or [f"exit {code}"]
        answer = {"outcome": outcome, "failed": failed, "why": chosen.why, "ran": chosen.ran}
    except BaseException as error:  # noqa: BLE001 - said to the server, which has no other way to know
        answer = {"outcome": "broken", "failed": [repr(error)], "ran": 0}
    os.write(writing, json.dumps(answer).encode())
    os._exit(0)


def _import_others(modules: Path) -> None:
    """Import every module that is not ours and that pytest imports for our tests."""
    if not modules.exists():
        listed = subprocess.run(
            [sys.executable, "-c", _LIST_MODULES], capture_output=True, text=True, check=True
        )
        modules.write_text(listed.stdout.splitlines()[-1])
    for name in modules.read_text().split():
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    # A collection in a child would look at all of it, and copy the pages.
    gc.collect()
    gc.freeze()


_LIST_MODULES = """
import sys, pytest
pytest.main(["--collect-only", "-qq", "-p", "no:cacheprovider", "tests/unit", "tests/db"])
ours = ("proof", "tests", "__", "conftest")
print()
print(*(one for one in sys.modules if not one.startswith(ours)))
"""


@contextlib.contextmanager
def _cluster() -> Iterator[str]:
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD_CLUSTER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((os.environ["PYTHONPATH"], "."))},
    ) as holder:
        assert holder.stdout is not None
        folder = holder.stdout.readline().strip()
        try:
            yield folder
        finally:
            assert holder.stdin is not None
            holder.stdin.close()


if __name__ == "__main__":
    if sys.argv[1] == "map":
        record(Path(sys.argv[2]), sys.argv[3:])
    else:
        serve(Path(sys.argv[2]))
