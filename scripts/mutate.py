"""Which faults the tests would let through: `make mutate`.

A seeded sample of mutants (`mutants.py`) of the packages that decide, and for each the tests that run its
line, the nearest and shortest first, until one fails. It works in copies of this tree below a folder of its
own, so that nobody else sees a mutant, and keeps there what it found: stopped, it goes on where it was.
Which tests run which lines is measured once, and again for the files of tests that changed.
"""

import argparse
import ast
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from functools import cache
from hashlib import sha256
from pathlib import Path
from queue import Empty, Queue
from typing import Any

from mutants import Mutant, function_lines, lines_using, names_at, sample
from mutation_runs import PACKAGES
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

ROOT = Path(__file__).resolve().parent.parent
PYTHON = ROOT / ".venv" / "bin" / "python"
SUITES = ("tests/unit", "tests/db")
# Of the tests of one function, parametrized over hundreds of values, so many come before those of others.
_OF_ONE_FUNCTION = 2
_NEAREST = 15
# Whatever was measured, a mutant has time for pytest's own start on a busy machine.
_START_S = 60.0
_SLOWER = 4
_FILES_AT_ONCE = 40


def main() -> int:
    """Run the sample; 1 when fewer than `--least` percent are killed."""
    how = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    folder: Path = how.folder
    folder.mkdir(parents=True, exist_ok=True)
    console = Console(stderr=True)
    with contextlib.ExitStack() as stack:
        trees = [stack.enter_context(_tree(folder, number)) for number in range(how.jobs)]
        lines = LineMap(folder / "lines", how.tests, how.budget)
        lines.refresh(trees[0], console)
        sources = _sources(how.package)
        chosen = sample(sources, how.sample, how.seed)
        state = State(folder / "state.json", retry=how.retry)
        controls = [f"control-{number}" for number in range(how.controls)]
        _run(chosen, controls, sources, lines, trees, state, console)
    report = _report(chosen, controls, sources, lines, state, how)
    print(json.dumps(report, indent=1) if how.json else _in_words(report))
    return int(report["killed_percent"] < how.least)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="which sample (1)")
    parser.add_argument("--sample", type=int, default=400, help="how many mutants (400)")
    parser.add_argument("--jobs", type=int, default=1, help="how many at once, a core each (1)")
    parser.add_argument("--package", choices=PACKAGES, nargs="+", default=PACKAGES)
    parser.add_argument("--tests", nargs="+", default=SUITES, metavar="FOLDER")
    parser.add_argument(
        "--budget",
        type=float,
        default=15.0,
        help="seconds of tests for one mutant, as measured (15)",
    )
    parser.add_argument("--retry", action="store_true", help="run those again that survived")
    parser.add_argument("--controls", type=int, default=10, help="runs with nothing changed (10)")
    parser.add_argument("--least", type=float, default=95.0, help="percent to be killed (95)")
    parser.add_argument("--json", action="store_true", help="the report as JSON")
    kept = Path(tempfile.gettempdir()) / "proof-mutate"
    parser.add_argument("--folder", type=Path, default=kept, help=f"what is kept ({kept})")
    return parser.parse_args()


def _sources(packages: Sequence[str]) -> dict[str, str]:
    folders = [ROOT / "src" / "proof" / package for package in packages]
    files = sorted(path for folder in folders for path in folder.rglob("*.py"))
    return {str(file.relative_to(ROOT)): file.read_text() for file in files}


@contextlib.contextmanager
def _tree(folder: Path, number: int) -> Iterator[Path]:
    """A copy of this tree as it is, whether committed or not."""
    made = Path(tempfile.mkdtemp(prefix=f"tree-{number}-", dir=folder))
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    names = [
        part for part in listed.stdout.decode().split("\0") if part and (ROOT / part).is_file()
    ]
    for name in (*names, "proof-verify.pyz"):
        if (ROOT / name).exists():
            (made / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, made / name)
    (made / ".venv").symlink_to(ROOT / ".venv")
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _environment(tree: Path) -> dict[str, str]:
    known = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    # Before the sources that the environment was installed from, in the processes that tests start too.
    return known | {"PYTHONPATH": str(tree / "src")}


class LineMap:
    """Which tests run which lines, as measured; lines of a source that changed since are found again."""

    def __init__(self, folder: Path, suites: Sequence[str], budget_s: float) -> None:
        self._folder = folder
        self._budget_s = budget_s
        self._suites = suites
        self._folder.mkdir(parents=True, exist_ok=True)
        self.seconds: dict[str, float] = {}
        # By path, then by line of the text of today.
        self._tests: dict[str, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
        self._texts = _sources(PACKAGES)

    def refresh(self, tree: Path, console: Console) -> None:
        """Measure the files of tests that are new or changed, and read everything."""
        found = [
            path for suite in self._suites for path in sorted((tree / suite).rglob("test_*.py"))
        ]
        files = {
            str(item.relative_to(tree)): sha256(item.read_bytes()).hexdigest() for item in found
        }
        wanted = [name for name, digest in files.items() if not self._kept(name, digest).exists()]
        with _progress(console) as progress:
            task = progress.add_task("tests measured", total=len(wanted))
            for begin in range(0, len(wanted), _FILES_AT_ONCE):
                part = wanted[begin : begin + _FILES_AT_ONCE]
                self._measure(tree, part, files)
                progress.advance(task, len(part))
        for name, digest in files.items():
            self._read(json.loads(self._kept(name, digest).read_text()))

    def tests_of(self, mutant: Mutant) -> list[str]:
        """Those that run its line, in the order they are to be run."""
        return self._ordered(mutant.path, self._covering(mutant.path, mutant.line))

    def some(self, number: int) -> list[str]:
        """The tests of a line that has some, another for each number."""
        paths = sorted(path for path in self._texts if self._tests[path])
        path = paths[number * 7919 % len(paths)]
        lines = sorted(self._tests[path])
        return self._ordered(path, self._tests[path][lines[number * 104729 % len(lines)]])

    def _covering(self, path: str, line: int) -> set[str]:
        text, tests = self._texts[path], self._tests[path]
        body = function_lines(text, line)
        if body is not None:
            exact = {test for at in _statement(text, line) for test in tests[at]}
            if found := exact or {test for at in body for test in tests[at]}:
                return found
        # It runs at import: whoever uses the name it gives is who would notice.
        found = self._using(path, names_at(text, line))
        return found or {test for at in list(tests) for test in tests[at]}

    def _using(self, path: str, names: set[str], depth: int = 3) -> set[str]:
        found: set[str] = set()
        for other, text in self._texts.items():
            if other != path and not any(name in text for name in names):
                continue
            for line in lines_using(text, names):
                if function_lines(text, line) is not None:
                    found |= self._tests[other][line]
                elif depth and other == path:
                    found |= self._using(path, names_at(text, line) - names, depth - 1)
        return found

    def _ordered(self, path: str, tests: set[str]) -> list[str]:
        """The nearest first, a few of each function; then the others as long as they fit in the time."""
        slice_ = Path(path).parts[2]

        def cost(name: str) -> float:
            near = f"/{slice_}/" in name
            return (self.seconds[name] + 0.05) * (1 if near else 4)

        ranked = sorted(tests, key=cost)
        times: Counter[str] = Counter()
        first: list[str] = []
        for name in ranked:
            function = name.split("[")[0]
            times[function] += 1
            if times[function] <= _OF_ONE_FUNCTION and len(first) < _NEAREST:
                first.append(name)
        chosen, left = list(first), self._budget_s - sum(self.seconds[text] for text in first)
        for name in ranked:
            if name not in first and self.seconds[name] <= left:
                chosen.append(name)
                left -= self.seconds[name]
        return chosen

    def _measure(self, tree: Path, names: list[str], digests: dict[str, str]) -> None:
        out = self._folder / "measured.json"
        subprocess.run(
            [PYTHON, ROOT / "scripts" / "mutation_runs.py", "map", out, *names],
            cwd=tree,
            env=_environment(tree),
            stdout=subprocess.DEVNULL,
            check=True,
        )
        self.keep(json.loads(out.read_text()), names, digests)
        out.unlink()

    def keep(self, measured: dict[str, Any], names: list[str], digests: dict[str, str]) -> None:
        """Write what was measured of files of tests, with the sources it was measured on."""
        by_file: dict[str, dict[str, Any]] = {name: {} for name in names}
        for test, facts in measured.items():
            by_file[test.split("::")[0]][test] = facts
        written = json.dumps(self._texts)
        texts = self._folder / f"sources-{sha256(written.encode()).hexdigest()[:16]}.json"
        texts.write_text(written)
        for name, tests in by_file.items():
            kept = {"sources": texts.name, "tests": tests}
            self._kept(name, digests[name]).write_text(json.dumps(kept))

    def _kept(self, name: str, digest: str) -> Path:
        return self._folder / f"{name.replace('/', '-')}-{digest[:16]}.json"

    def _read(self, kept: dict[str, Any]) -> None:
        for test, facts in kept["tests"].items():
            self.seconds[test] = facts["seconds"]
            for path, lines in facts["lines"].items():
                if path in self._texts:
                    places = self._places(kept["sources"], path)
                    for line in lines:
                        if line in places:
                            self._tests[path][places[line]].add(test)

    @cache  # noqa: B019 - one map lives as long as the process
    def _texts_of(self, name: str) -> dict[str, str]:
        found: dict[str, str] = json.loads((self._folder / name).read_text())
        return found

    @cache  # noqa: B019
    def _places(self, sources: str, path: str) -> dict[int, int]:
        """The lines of today by the lines then."""
        then = self._texts_of(sources).get(path, "").splitlines()
        today = self._texts[path].splitlines()
        if then == today:
            return {number: number for number in range(1, len(today) + 1)}
        blocks = SequenceMatcher(None, then, today, autojunk=False).get_matching_blocks()
        return {
            block.a + offset + 1: block.b + offset + 1
            for block in blocks
            for offset in range(block.size)
        }


def _statement(text: str, line: int) -> range:
    """The lines of the simple statement, or of the head of a compound one, around a line."""
    best: range | None = None
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.stmt):
            body = getattr(node, "body", None)
            end = body[0].lineno - 1 if body else node.end_lineno or node.lineno
            lines = range(node.lineno, max(end, node.lineno) + 1)
            if line in lines and (best is None or len(lines) <= len(best)):
                best = lines
    return best or range(line, line + 1)


@dataclass
class State:
    """What came of each mutant, on the disk as soon as it is known."""

    path: Path
    retry: bool
    outcomes: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        if self.path.exists():
            self.outcomes = json.loads(self.path.read_text())
        if self.retry:
            self.outcomes = {
                name: outcome
                for name, outcome in self.outcomes.items()
                if outcome["outcome"] == "killed"
            }

    def note(self, name: str, outcome: dict[str, Any]) -> None:
        with self._lock:
            self.outcomes[name] = outcome
            written = self.path.with_suffix(".new")
            written.write_text(json.dumps(self.outcomes))
            written.replace(self.path)


class Runner:
    """A process that runs tests in one copy of the tree (`mutation_runs.py`)."""

    def __init__(self, tree: Path) -> None:
        # Those of one set of requirements are the same for every run.
        locked = sha256((tree / "requirements" / "dev.txt").read_bytes()).hexdigest()
        modules = tree.parent / f"modules-{locked[:16]}.txt"
        self._process = subprocess.Popen(
            [PYTHON, ROOT / "scripts" / "mutation_runs.py", "serve", modules],
            cwd=tree,
            env=_environment(tree),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, path: str, text: str, tests: list[str], timeout_s: float) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        request = {"path": path, "text": text, "tests": tests, "timeout_s": timeout_s}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError("the process that runs the tests ended")
        found: dict[str, Any] = json.loads(answer)
        return found

    def close(self) -> None:
        """Also in the middle of a mutant: its tests end with it."""
        self._process.terminate()
        self._process.wait()


def _run(
    chosen: Sequence[Mutant],
    controls: Sequence[str],
    sources: dict[str, str],
    lines: LineMap,
    trees: Sequence[Path],
    state: State,
    console: Console,
) -> None:
    work: Queue[Mutant | str] = Queue()
    todo = [item for item in chosen if item.id not in state.outcomes]
    for mutant in todo:
        work.put(mutant)
    for control in controls:
        if control not in state.outcomes:
            work.put(control)
    with contextlib.ExitStack() as stack, _progress(console) as progress:
        task = progress.add_task("mutants", total=work.qsize())

        def go_on(runner: Runner) -> None:
            with contextlib.suppress(Empty):
                while True:
                    state.note(*_outcome(work.get_nowait(), sources, lines, runner))
                    progress.advance(task)

        runners = [stack.enter_context(contextlib.closing(Runner(tree))) for tree in trees]
        threads = [threading.Thread(target=go_on, args=[item], daemon=True) for item in runners]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def _outcome(
    mutant: Mutant | str, sources: dict[str, str], lines: LineMap, runner: Runner
) -> tuple[str, dict[str, Any]]:
    if isinstance(mutant, str):
        path = next(iter(sources))
        tests, text, name = lines.some(int(mutant.split("-")[1])), sources[path], mutant
    else:
        path, name = mutant.path, mutant.id
        tests, text = lines.tests_of(mutant), mutant.applied(sources[path])
    if not tests:
        return name, {"outcome": "uncovered", "failed": [], "ran": 0, "seconds": 0}
    limit = _START_S + _SLOWER * sum(lines.seconds[each] for each in tests)
    return name, runner.run(path, text, tests, limit)


def _report(
    chosen: Sequence[Mutant],
    controls: Sequence[str],
    sources: dict[str, str],
    lines: LineMap,
    state: State,
    how: argparse.Namespace,
) -> dict[str, Any]:
    packages: dict[str, Counter[str]] = defaultdict(Counter)
    left = []
    for mutant in chosen:
        outcome = state.outcomes[mutant.id]["outcome"]
        packages[mutant.path.split("/")[2]][outcome] += 1
        if outcome in {"survived", "uncovered"}:
            place = {"id": mutant.id, "outcome": outcome, "place": f"{mutant.path}:{mutant.line}"}
            ran = {"scope": mutant.scope, "kind": mutant.kind, "tests": len(lines.tests_of(mutant))}
            left.append({**place, **ran, "diff": mutant.diff(sources[mutant.path])})
    found = sum(packages.values(), Counter[str]())
    killed = found["killed"] + found["timeout"]
    return {
        "seed": how.seed,
        "mutants": len(chosen),
        "killed_percent": round(100 * killed / max(len(chosen), 1), 1),
        "packages": {name: dict(item) for name, item in sorted(packages.items())},
        "seconds_each": round(
            sum(state.outcomes[mutant.id]["seconds"] for mutant in chosen) / max(len(chosen), 1), 1
        ),
        # A test that fails with nothing changed kills whatever it is given.
        "controls": len(controls),
        "failed_controls": [
            state.outcomes[control]
            for control in controls
            if state.outcomes[control]["outcome"] != "survived"
        ],
        "left": left,
    }


def _in_words(report: dict[str, Any]) -> str:
    said = [
        f"{item['place']} {item['scope']}: {item['kind']} {item['id']} {item['outcome']},"
        f" {item['tests']} tests\n{item['diff']}\n"
        for item in report["left"]
    ]
    for name, counts in report["packages"].items():
        said.append(f"{name:12}" + ", ".join(f"{count} {what}" for what, count in counts.items()))
    said.append(
        f"seed {report['seed']}: {report['killed_percent']} % of {report['mutants']} killed,"
        f" {report['seconds_each']} s each; {len(report['failed_controls'])} of"
        f" {report['controls']} controls failed"
    )
    return "\n".join(said)


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    )


if __name__ == "__main__":
    sys.exit(main())
