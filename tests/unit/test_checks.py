"""What checks a change, at a commit and on each Python, is what `make check` and the README say."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_commit_runs_what_make_check_runs() -> None:
    recipe = re.search(r"^check:.*\n((?:\t.+\n)+)", (ROOT / "Makefile").read_text(), re.M)
    assert recipe is not None
    commands = recipe[1].replace("$(BIN)", ".venv/bin").split("\n\t")
    hooks = re.findall(r"^ +entry: (.+)$", (ROOT / ".pre-commit-config.yaml").read_text(), re.M)
    assert hooks == [command.strip() for command in commands]


def test_the_workflow_begins_with_the_oldest_python_that_is_promised() -> None:
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    assert re.search(r"^ +- run: \.ci/run$", workflow, re.M)
    (pythons,) = re.findall(r"^ +python: \[(.+)\]$", workflow, re.M)
    versions = re.findall(r'"3\.(\d+)"', pythons)
    promised = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert promised == f">=3.{versions[0]}"
    assert [int(version) for version in versions] == list(range(11, 15))
