"""The command line as a page shows it."""

from collections.abc import Iterable
from dataclasses import dataclass

from proof.web.tables import code, table


@dataclass(frozen=True, slots=True)
class Option:
    """An option or argument: `names` as typed, `about` in one line."""

    names: str
    required: bool
    about: str


@dataclass(frozen=True, slots=True)
class Command:
    """A command: `name` with everything before it, `about` in paragraphs."""

    name: str
    about: str
    options: tuple[Option, ...]


def commands_markdown(commands: Iterable[Command]) -> str:
    """A section for each command."""
    return "\n\n".join(map(_section, commands))


def _section(command: Command) -> str:
    parts = [f"### {code(command.name)}", _about(command.about)]
    if command.options:
        rows = [
            (code(option.names), f"Required. {option.about}" if option.required else option.about)
            for option in command.options
        ]
        parts.append(table(("Option", "Meaning"), rows))
    return "\n\n".join(parts)


def _about(text: str) -> str:
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))
