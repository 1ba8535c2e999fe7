"""Of a command line whose first word is known, only that word's module is imported."""

from typing import Any, cast

from typer.main import get_command

from proof.main.commands import MODULES, application

UNOPENED = cast("Any", None)


def commands(first_word: str = "") -> dict[str, Any]:
    return cast("Any", get_command(application(UNOPENED, first_word))).commands  # type: ignore[no-any-return]


def test_every_command_is_found_by_its_first_word() -> None:
    assert set(commands()) == set(MODULES)
    for word, module in MODULES.items():
        found = commands(word)
        assert word in found
        assert {MODULES[other] for other in found} == {module}


def test_a_word_that_no_command_begins_with_has_all_of_them_to_choose_from() -> None:
    assert set(commands("partners")) == set(commands("--help")) == set(MODULES)
