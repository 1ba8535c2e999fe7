"""Colours against WCAG 2.2, success criteria 1.4.3 (text) and 1.4.11 (focus, badges)."""

import re
from importlib.resources import files

import pytest

STYLE = files("proof.web").joinpath("style.css").read_text()
BLOCKS = re.findall(r":root \{(.*?)\}", STYLE, re.S)
TEXT_ON = [
    ("ink", "paper"),
    ("ink", "ground"),
    ("quiet", "paper"),
    ("quiet", "ground"),
    ("link", "paper"),
    ("link", "ground"),
    ("link", "mark"),
    ("get", "mark"),
    ("change", "change-ground"),
]


def colours(block: str) -> dict[str, str]:
    return dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", block))


def luminance(colour: str) -> float:
    """WCAG 2.2, "relative luminance"."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in channels
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(text: str, other: str) -> float:
    light, dark = sorted((luminance(text), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_the_measure_itself() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


def test_light_and_dark_define_the_same_colours() -> None:
    light, dark = map(colours, BLOCKS)
    assert light.keys() == dark.keys()


@pytest.mark.parametrize("block", BLOCKS, ids=["light", "dark"])
@pytest.mark.parametrize(("text", "ground"), TEXT_ON)
def test_text_is_readable(block: str, text: str, ground: str) -> None:
    found = colours(block)
    assert contrast(found[text], found[ground]) >= 4.5


def test_every_colour_is_a_named_one() -> None:
    rules = re.sub(r":root \{.*?\}", "", STYLE, flags=re.S)
    assert not re.findall(r"#[0-9a-fA-F]{3,8}\b(?=[;\s])", rules)


def test_the_style_loads_nothing() -> None:
    assert "url(" not in STYLE
    assert "@import" not in STYLE


def test_focus_is_never_hidden_from_the_keyboard() -> None:
    assert re.search(r":focus-visible \{ outline: 3px solid", STYLE)
    # The target of the skip link is not operated, so it needs no ring.
    assert re.findall(r"([^{}\n]+)\{[^}]*outline: none", STYLE) == ["main:focus "]
