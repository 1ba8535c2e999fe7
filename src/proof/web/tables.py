"""Tables of the documentation that are made from the program: commands, settings, providers, outcomes."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from proof.ramp.amounts import amount_text
from proof.ramp.providers.outcomes import outcome_rows
from proof.ramp.providers.protocols import CredentialField
from proof.ramp.providers.registry import Provider, providers

_SECTION = re.compile(r"# --- (.+?) -+")
_SETTING = re.compile(r"([a-z_]+) = (.+)")

_HEAD = ("Outcome", "Card", "Amount", "E-mail", "Types", "Ends", "What happens")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose cells are Markdown of one line each."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def code(text: str) -> str:
    """A code span. `text` holds no backtick."""
    return f"`{text}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


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
    return "\n\n".join(map(_commands_section, commands))


def _commands_section(command: Command) -> str:
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


def settings_markdown(defaults: str) -> str:
    """Markdown tables of the settings, one for each section of the TOML file.

    The comment lines above a setting, or above the group it stands in, are its description.
    """
    title, rows, comment = "General", list[tuple[str, str, str]](), list[str]()
    parts: list[str] = []
    for line in defaults.splitlines():
        if section := _SECTION.fullmatch(line):
            parts += _settings_section(title, rows)
            title, rows, comment = section[1], [], []
        elif line.startswith("# "):
            comment.append(line[2:])
        elif setting := _SETTING.fullmatch(line):
            rows.append((_names(setting[1]), code(setting[2]), " ".join(comment)))
        else:
            comment = []
    return "\n".join(parts + _settings_section(title, rows))


def _names(name: str) -> str:
    return f"{code(name)} {code(f'PROOF_{name.upper()}')}"


def _settings_section(title: str, rows: list[tuple[str, str, str]]) -> list[str]:
    if not rows:
        return []
    return [f"### {title}", "", table(("Setting and variable", "Default", "Meaning"), rows), ""]


def providers_markdown() -> str:
    """A section for each provider: what it is, its credentials, its bounds, and what its words mean."""
    return "\n\n".join(map(_provider_section, providers().values()))


def _provider_section(provider: Provider) -> str:
    amounts = [
        (currency, amount_text(bounds.minimum), amount_text(bounds.maximum))
        for currency, bounds in provider.amounts.items()
    ]
    hosts = map(code, provider.widget.hosts if provider.widget else ())
    return "\n\n".join(
        [
            f"### {code(provider.name)}",
            provider.about,
            *(
                [f"The hosted page lets its widget load from {' and '.join(hosts)}."]
                if provider.widget
                else []
            ),
            table(("Credential", "What it is"), map(_credential_row, provider.fields)),
            table(("Currency", "Least", "Most"), amounts),
            table(("Leg", "Means", "When its status is"), _status_rows(provider)),
        ]
    )


def _status_rows(provider: Provider) -> Iterator[tuple[str, str, str]]:
    for leg, meanings in provider.statuses.items():
        for meaning in dict.fromkeys(meanings.values()):
            said = [code(status) for status, each in meanings.items() if each is meaning]
            yield code(leg), str(meaning), ", ".join(said)


def _credential_row(field: CredentialField) -> tuple[str, str]:
    if field.generated:
        return code(field.name), f"{field.about}; made, unless it is given"
    return code(field.name), field.about + ("; has a default" if field.default else "")


def outcomes_markdown() -> str:
    """One row for each outcome; a cell is empty where nothing of the kind chooses it."""
    return table(_HEAD, [_row(*row) for row in outcome_rows()])


def _row(
    name: str, card: str, amount: str, email: str, types: str, ends: str, about: str
) -> tuple[str, ...]:
    return (
        code(name),
        code(card) if card else "",
        code(amount),
        code(email),
        types,
        code(ends),
        about,
    )
