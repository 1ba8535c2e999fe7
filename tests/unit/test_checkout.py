"""What the checkout's own pages say of it is so: links, files, commands and the index of decisions."""

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.unit.markdown import ELSEWHERE, links

ROOT = Path(__file__).parent.parent.parent
REPOSITORY_PAGES = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "src" / "proof" / "verify" / "README.md",
    *sorted((ROOT / "examples").rglob("README.md")),
    *sorted((ROOT / "src" / "proof" / "web" / "pages").glob("*.md")),
]
# The pages for whoever changes Proof: they say in which file something is.
MAPS = [
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    ROOT / "docs" / "architecture.md",
    *sorted((ROOT / "docs" / "howto").glob("*.md")),
]
DECISIONS = {
    path.name: path.read_text()
    for path in sorted((ROOT / "docs" / "decisions").glob("*.md"))
    if path.name not in {"README.md", "template.md"}
}


def anchors(text: str) -> set[str]:
    """What a code host makes of the headings that stand in a Markdown file."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    headings = (
        re.sub(r"[^\w\- ]", "", item.lower()) for item in re.findall(r"^#+ (.+)$", prose, re.M)
    )
    return {heading.strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(
    "path", REPOSITORY_PAGES, ids=lambda path: f"{path.parent.name}-{path.name}"
)
def test_every_link_leads_to_a_file_of_the_checkout(path: Path) -> None:
    for target in links(path.read_text()):
        if urlsplit(target).scheme:
            assert urlsplit(target).netloc in ELSEWHERE, target
            continue
        name, _, anchor = target.partition("#")
        found = path.parent / name if name else path
        assert found.exists(), target
        assert found.resolve().is_relative_to(ROOT), target
        if anchor:
            assert anchor in anchors(found.read_text()), target


def test_the_readme_begins_with_the_two_commands() -> None:
    readme, makefile = (ROOT / "README.md").read_text(), (ROOT / "Makefile").read_text()
    blocks = re.findall(r"```sh\n(.*?)```", readme, re.S)
    assert [line.split()[:2] for line in blocks[0].splitlines()] == [
        ["make", "demo"],
        ["make", "test"],
    ]
    for target in re.findall(r"\bmake ([a-z-]+)", readme):
        assert re.search(rf"^{target}:", makefile, re.M), target


@pytest.mark.parametrize("name", DECISIONS)
def test_a_decision_stands_in_the_index_with_its_date_and_status(name: str) -> None:
    head = re.match(
        r"# (.+)\n\nDate: (\d{4}-\d\d-\d\d)\. Status: (accepted|superseded by \[.+\]\(.+\.md\))\.\n\n\S",
        DECISIONS[name],
    )
    assert head is not None, "it begins as docs/decisions/template.md does"
    title, date, status = head.groups()
    row = f"| [{title}]({name}) | {date} | {status} |"
    assert row in (ROOT / "docs" / "decisions" / "README.md").read_text().splitlines()


def test_the_index_of_decisions_names_each_of_them_once() -> None:
    index = (ROOT / "docs" / "decisions" / "README.md").read_text()
    assert sorted(re.findall(r"^\| \[.+\]\(([\w-]+\.md)\) \|", index, re.M)) == list(DECISIONS)


def written_files() -> set[str]:
    """Every file of the checkout that somebody wrote."""
    folders = ("src", "tests", "scripts", "docs", "bench", "requirements")
    files = (path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file())
    top = (path for path in ROOT.iterdir() if path.is_file())
    return {path.relative_to(ROOT).as_posix() for path in (*files, *top)}


@pytest.mark.parametrize("path", MAPS, ids=lambda path: path.name)
def test_a_file_that_a_map_names_is_there(path: Path) -> None:
    text = path.read_text()
    # What stands under a path in a how-to is a file that its reader writes or changes; a test does so.
    to_write = re.findall(r"^```\w+ (\S+)$", text, re.M)
    text = re.sub(r"^```\w+ \S+\n.*?^```$", "", text, flags=re.M | re.S)
    endings = tuple(f"/{file}" for file in (*written_files(), *to_write))
    for name in re.findall(r"(?<![\w./-])[\w./-]+\.(?:py|js|toml|json|txt)\b", text):
        assert any(ending.endswith(f"/{name.lstrip('/')}") for ending in endings), name
    for name in re.findall(r"`((?:src|tests|docs|bench|scripts)/[\w./-]*)`", text):
        assert (ROOT / name).exists(), name


@pytest.mark.parametrize("path", MAPS, ids=lambda path: path.name)
def test_what_a_map_runs_with_make_is_there(path: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"`make ([a-z-]+)", path.read_text()):
        assert re.search(rf"^{target}:", makefile, re.M), target


def test_the_architecture_is_one_screen() -> None:
    assert len((ROOT / "docs" / "architecture.md").read_text().splitlines()) <= 60
