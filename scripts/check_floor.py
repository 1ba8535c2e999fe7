"""Holds the standard library of Python 3.11.0 as the floor: finds what only a later 3.11 has.

Linters and type checkers know 3.11 but not its patch releases. These brought few things that have a name,
mostly with security fixes; they are listed here. What they changed without a new name, no reading finds.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
_FOLDERS = ("src", "tests", "scripts", "examples", "bench")

# Names of modules and of methods, unlike any of ours, with the release that brought them.
_NAMES = {
    "AbsoluteLinkError": "3.11.4",
    "AbsolutePathError": "3.11.4",
    "FilterError": "3.11.4",
    "LinkOutsideDestinationError": "3.11.4",
    "OutsideDestinationError": "3.11.4",
    "SpecialFileError": "3.11.4",
    "data_filter": "3.11.4",
    "extraction_filter": "3.11.4",
    "fully_trusted_filter": "3.11.4",
    "tar_filter": "3.11.4",
    "pickle_by_enum_name": "3.11.5",
    "pickle_by_global_name": "3.11.5",
    "GetReparseDeferralEnabled": "3.11.9",
    "SetReparseDeferralEnabled": "3.11.9",
    "HeaderWriteError": "3.11.10",
    "verify_generated_headers": "3.11.10",
    "ALLOW_MISSING": "3.11.13",
    "LinkFallbackError": "3.11.13",
    "SetAllocTrackerActivationThreshold": "3.11.15",
    "SetAllocTrackerMaximumAmplification": "3.11.15",
}
# Keyword arguments, by the function or method they are given to.
_KEYWORDS = {
    ("extract", "filter"): "3.11.4",
    ("extractall", "filter"): "3.11.4",
    ("unpack_archive", "filter"): "3.11.4",
    ("getaddresses", "strict"): "3.11.10",
    ("parseaddr", "strict"): "3.11.10",
    ("HTMLParser", "scripting"): "3.11.14",
}


def later(source: str) -> Iterator[tuple[int, str, str]]:
    """Line, name and first release of what `source` uses that 3.11.0 lacks."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr in _NAMES:
            yield node.lineno, node.attr, _NAMES[node.attr]
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if alias.name in _NAMES:
                    yield node.lineno, alias.name, _NAMES[alias.name]
        elif isinstance(node, ast.Call):
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            for keyword in node.keywords:
                name = keyword.arg or ""
                if (called, name) in _KEYWORDS:
                    yield node.lineno, f"{called}({name}=…)", _KEYWORDS[called, name]


def main() -> int:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {name} came with Python {release}; Proof runs on 3.11.0"
        for folder in _FOLDERS
        for path in sorted((ROOT / folder).rglob("*.py"))
        for line, name, release in later(path.read_text())
    ]
    print("\n".join(found), file=sys.stderr, end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
