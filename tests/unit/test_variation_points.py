"""A provider and a chain are known by their own folders and one line: nothing else has their names."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path

import pytest

from proof.core.errors import InvalidInputError
from proof.partners.types import Environment
from proof.ramp.providers import registry
from proof.ramp.providers.registry import provider_named, providers, simulation
from proof.timestamps.anchors.kinds import kinds
from proof.verify.evidence.kinds import kinds as evidence_kinds

SOURCE = Path(str(files("proof")))
TESTS = Path(__file__).parents[1]
PROVIDERS = SOURCE / "ramp" / "providers"
ANCHORS = SOURCE / "timestamps" / "anchors"
EVIDENCE = SOURCE / "verify" / "evidence"
FOLDERS = sorted(path.parent.name for path in PROVIDERS.glob("*/provider.py"))
CHAINS = sorted(path.parent.name for path in ANCHORS.glob("*/kind.py"))
EVIDENCES = sorted(path.parent.name for path in EVIDENCE.glob("*/kind.py"))
# OpenTimestamps attests Bitcoin alone: its files and its calendar are of that chain by their format.
OPENTIMESTAMPS = {"timestamps/calendar.py", "api/timestamps/hashes.py", "main/parts/chains.py"}


@cache
def texts() -> dict[Path, str]:
    return {
        path: path.read_text()
        for path in sorted(SOURCE.rglob("*"))
        if path.suffix in {".py", ".js", ".j2", ".html", ".css", ".json", ".toml", ".md", ".svg"}
    }


def named(word: str, apart_from: Path) -> Iterator[str]:
    """Where the word stands outside a folder, whatever its case."""
    for path, text in texts().items():
        if not path.is_relative_to(apart_from):
            for number, line in enumerate(text.splitlines(), 1):
                if word in line.lower():
                    yield f"{path.relative_to(SOURCE)}:{number}: {line.strip()}"


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_provider_is_named_by_its_folder_and_its_line_alone(folder: str) -> None:
    lines = list(named(folder, PROVIDERS / folder))
    assert len(lines) == 1, lines
    assert re.fullmatch(rf'ramp/providers/registry\.py:\d+: "{folder}",', lines[0])


@pytest.mark.parametrize("name", sorted(set(providers()) - set(Environment)))
def test_what_a_provider_is_called_is_said_in_its_folder_alone(name: str) -> None:
    folder = Path(str(files(provider_named(name).adapter.__module__.rpartition(".")[0])))
    assert [line for line in named(name, folder) if f'"{folder.name}",' not in line] == []


def test_every_folder_is_registered_and_one_provider_simulates() -> None:
    assert sorted(registry._FOLDERS) == FOLDERS
    assert len(providers()) == len(FOLDERS)
    assert simulation().simulates
    assert [each.name for each in providers().values() if each.simulates] == [simulation().name]
    with pytest.raises(InvalidInputError, match="one of"):
        provider_named("nonsense")


def suites() -> str:
    """Every test that is under a suite of a variation point."""
    found = [path.read_text() for path in TESTS.rglob("test_*.py")]
    return "".join(text for text in found if re.search(r"\(\w*(?:Provider|Chain)Suite\b", text))


@pytest.mark.parametrize("name", providers())
def test_every_provider_is_under_the_suite_of_all(name: str) -> None:
    assert f'provider_name = "{name}"' in suites()


@pytest.mark.parametrize("folder", CHAINS)
def test_every_chain_is_under_the_suite_of_all(folder: str) -> None:
    labs = [
        path.stem
        for path in (TESTS / "support").glob("*_lab.py")
        if f"proof.timestamps.anchors.{folder}." in path.read_text()
    ]
    assert any(f"tests.support.{lab} import" in suites() for lab in labs)


@cache
def imported(text: str) -> list[str]:
    found: list[str] = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


@pytest.mark.parametrize("folder", CHAINS)
def test_nobody_imports_a_chain(folder: str) -> None:
    prefix = f"proof.timestamps.anchors.{folder}"
    found = [
        str(path.relative_to(SOURCE))
        for path, text in texts().items()
        if path.suffix == ".py"
        and not any(path.is_relative_to(ANCHORS / chain) for chain in CHAINS)
        and any(f"{name}.".startswith(f"{prefix}.") for name in imported(text))
    ]
    assert found == []


def test_no_rule_asks_which_chain_it_is() -> None:
    assert sorted(currency.folder for currency in kinds()) == CHAINS
    pattern = re.compile(rf"\bCurrency\.(?:{'|'.join(each.name for each in kinds())})\b")
    found = {
        str(path.relative_to(SOURCE))
        for path, text in texts().items()
        if pattern.search(text) and not path.is_relative_to(ANCHORS)
    }
    assert found == OPENTIMESTAMPS
    apart = {
        path.relative_to(ANCHORS).parts[0]
        for path, text in texts().items()
        if pattern.search(text) and path.is_relative_to(ANCHORS)
    }
    assert apart <= set(CHAINS)


@pytest.mark.parametrize("folder", EVIDENCES)
def test_evidence_is_read_and_told_by_its_kind_alone(folder: str) -> None:
    assert folder in {kind.verify.__module__.split(".")[3] for kind in evidence_kinds().values()}
    for name in ("payload.py", "report.py"):
        found = imported(texts()[SOURCE / "verify" / name])
        assert not [each for each in found if f".evidence.{folder}." in each]
    apart = [
        str(path.relative_to(SOURCE))
        for path, text in texts().items()
        if path.suffix == ".py"
        and not any(path.is_relative_to(EVIDENCE / kind) for kind in EVIDENCES)
        and re.search(rf"evidence\.{folder}\.(?:kind|report)\b", text)
    ]
    assert apart == []
