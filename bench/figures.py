"""What a benchmark reports, and how it is printed."""

import statistics
from collections.abc import Sequence
from typing import Any, Literal

from msgspec import Struct


class Target(Struct, frozen=True):
    """A bound on the ratio, or on the measured value itself where there is no baseline."""

    kind: Literal["at least", "at most"]
    bound: float

    def met(self, value: float) -> bool:
        return value >= self.bound if self.kind == "at least" else value <= self.bound

    def text(self) -> str:
        return f"{'≥' if self.kind == 'at least' else '≤'} {_short(self.bound)}"


class Figure(Struct, frozen=True):
    """One line of the table. `low` and `high` are the ratio of single rounds at its extremes."""

    name: str
    unit: str
    measured: float
    baseline: float | None = None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    target: Target | None = None

    @property
    def met(self) -> bool | None:
        if self.target is None:
            return None
        return self.target.met(self.measured if self.ratio is None else self.ratio)


def compared(
    name: str,
    unit: str,
    measured: Sequence[float],
    baseline: Sequence[float],
    target: Target | None = None,
) -> Figure:
    """The ratio of medians of interleaved rounds, with the extremes of the rounds' own ratios."""
    ours, theirs = statistics.median(measured), statistics.median(baseline)
    single = [item / other for item, other in zip(measured, baseline, strict=True)]
    return Figure(name, unit, ours, theirs, ours / theirs, min(single), max(single), target)


def table(figures: Sequence[Figure]) -> str:
    """All figures in aligned columns."""
    rows = [("name", "measured", "baseline", "ratio", "target", "met?"), *map(_row, figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def as_json(figure: Figure) -> dict[str, Any]:
    """A figure for programs."""
    target = None if figure.target is None else figure.target.text()
    return {
        "name": figure.name,
        "unit": figure.unit,
        "measured": figure.measured,
        "baseline": figure.baseline,
        "ratio": figure.ratio,
        "ratio_low": figure.low,
        "ratio_high": figure.high,
        "target": target,
        "met": figure.met,
    }


def _row(figure: Figure) -> tuple[str, ...]:
    ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}"
    if figure.low is not None and figure.high is not None:
        ratio += f" ({figure.low:.2f} to {figure.high:.2f})"
    met = {True: "yes", False: "NO", None: ""}[figure.met]
    return (
        figure.name,
        f"{_short(figure.measured)} {figure.unit}",
        "" if figure.baseline is None else f"{_short(figure.baseline)} {figure.unit}",
        ratio,
        "" if figure.target is None else figure.target.text(),
        met,
    )


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
