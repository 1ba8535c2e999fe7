"""Every error that a command states says what is wrong and, after a semicolon, what to do."""

import ast
from collections.abc import Iterator
from pathlib import Path

import proof.cli

# What another message tells of.
_CAUSES = ("RefusedError", "ValueError")
_FOLDER = Path(proof.cli.__file__).parent


def _text(node: ast.expr) -> str:
    """The words of a message, with {} for what is put into them; empty for what is made elsewhere."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(_text(part) or "{}" for part in parts)
    return ""


def _is_error(name: str) -> bool:
    return name.endswith("Error") and name not in _CAUSES


def _messages() -> Iterator[tuple[str, str]]:
    for path in sorted(_FOLDER.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            if node.func.id != "fail" and not _is_error(node.func.id):
                continue
            text = _text(node.args[0]) if node.args else ""
            if text.strip("{}: "):
                yield f"{path.name}:{node.lineno}", text


def test_an_error_says_what_to_do() -> None:
    messages = list(_messages())
    assert len(messages) > 50
    for place, text in messages:
        stated, _, step = text.partition("; ")
        assert stated, place
        assert step, f"{place}: {text}"
