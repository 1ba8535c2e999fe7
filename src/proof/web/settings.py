"""The settings as a page shows them, from the default file, which is their documentation."""

import re

from proof.web.tables import code, table

_SECTION = re.compile(r"# --- (.+?) -+")
_SETTING = re.compile(r"([a-z_]+) = (.+)")


def settings_markdown(defaults: str) -> str:
    """Markdown tables of the settings, one for each section of the TOML file.

    The comment lines above a setting, or above the group it stands in, are its description.
    """
    title, rows, comment = "General", list[tuple[str, str, str]](), list[str]()
    parts: list[str] = []
    for line in defaults.splitlines():
        if section := _SECTION.fullmatch(line):
            parts += _section(title, rows)
            title, rows, comment = section[1], [], []
        elif line.startswith("# "):
            comment.append(line[2:])
        elif setting := _SETTING.fullmatch(line):
            rows.append((_names(setting[1]), code(setting[2]), " ".join(comment)))
        else:
            comment = []
    return "\n".join(parts + _section(title, rows))


def _names(name: str) -> str:
    return f"{code(name)} {code(f'PROOF_{name.upper()}')}"


def _section(title: str, rows: list[tuple[str, str, str]]) -> list[str]:
    if not rows:
        return []
    return [f"### {title}", "", table(("Setting and variable", "Default", "Meaning"), rows), ""]
