"""Rows in aligned columns, one a line, whatever the width of the terminal: made to be read and copied."""

from collections.abc import Sequence

from proof.cli.output import out


def print_columns(titles: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """None is an empty cell. Rich's tables fold what is too wide, and a folded key id cannot be copied."""
    cells = [list(titles), *([("" if cell is None else str(cell)) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for number, line in enumerate(cells):
        text = "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        out.print(text.rstrip(), markup=False, style=None if number else "bold")
