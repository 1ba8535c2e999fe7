"""A how-to of `docs/howto`, followed to the letter in a copy of the tree.

A block whose fence names a file is that file; a `diff` block with a file's name is a change of it, context
and added lines; the `sh` block is what is run at the end.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.M | re.S)
_COMMAND = re.compile(r'make test ARGS="([^"]+)"\n')
_LIMIT_S = 280


class Copy:
    """The tree in a folder, as the page leaves it. `written` are the files it makes."""

    def __init__(self, page: str, folder: Path) -> None:
        self.folder = folder
        for name in ("src", "tests"):
            # With the bytecode, which holds for a file of the same time and size.
            shutil.copytree(ROOT / name, folder / name)
        shutil.copy2(ROOT / "pyproject.toml", folder)
        blocks = _BLOCK.findall((ROOT / "docs" / "howto" / page).read_text())
        self.written = [path for kind, path, _ in blocks if path and kind != "diff"]
        for kind, path, text in blocks:
            if kind == "diff":
                self._change(path, text)
            elif path:
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_text(text)
        (command,) = (text for kind, _, text in blocks if kind == "sh")
        found = _COMMAND.fullmatch(command)
        assert found, command
        self._arguments = shlex.split(found[1])

    def run(self) -> subprocess.CompletedProcess[str]:
        """What the page says to run, on the copy."""
        return self._python("-m", "pytest", "-q", "-p", "no:cacheprovider", *self._arguments)

    def lint(self) -> str:
        """What ruff says of the files that the page makes: nothing."""
        written = [path for path in self.written if path.endswith(".py")]
        checks = (["check", "-q"], ["format", "-q", "--diff"])
        return "".join(self._python("-m", "ruff", *check, *written).stdout for check in checks)

    def _python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=os.environ | {"PYTHONPATH": str(self.folder / "src")},
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
        )

    def _change(self, path: str, diff: str) -> None:
        lines = diff.splitlines(keepends=True)
        before = "".join(line[1:] for line in lines if line[0] == " ")
        text = (self.folder / path).read_text()
        assert text.count(before) == 1, f"{path} has no such place"
        (self.folder / path).write_text(text.replace(before, "".join(line[1:] for line in lines)))
