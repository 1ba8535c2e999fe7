"""What `make mutate` changes in a source, and what it leaves alone."""

import mutants
import pytest


def made(text: str) -> set[str]:
    return {mutant.applied(text) for mutant in mutants.mutants("a.py", text)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a < b", {"a <= b", "a >= b"}),
        ("a is not None", {"a is None"}),
        ("a in b", {"a not in b"}),
        ("x = a and b", {"x = a or b", "x = a", "x = b"}),
        (
            "x = 1 if a else 2",
            {"x = 1 if not (a) else 2", "x = 2 if a else 2", "x = 1 if a else 3"},
        ),
        ("sorted(a)", {"sorted(a, reverse=True)", "list(a)"}),
        ("f(a, b)", {"f(b, a)"}),
        ("a - b", {"a + b", "b - a"}),
        ("x = b'ab'", {"x = b'`b'"}),
        ("x['ä'] < d", {"x['ä'] <= d", "x['ä'] >= d", "x['äx'] < d"}),
        (
            "Q = 'SELECT a FROM b WHERE c >= 1 ORDER BY a, b FOR UPDATE'",
            {
                "Q = 'SELECT a FROM b WHERE c > 1 ORDER BY a, b FOR UPDATE'",
                "Q = 'SELECT a FROM b WHERE c >= 2 ORDER BY a, b FOR UPDATE'",
                "Q = 'SELECT a FROM b WHERE c >= 1  FOR UPDATE'",
                "Q = 'SELECT a FROM b WHERE c >= 1 ORDER BY b, a FOR UPDATE'",
                "Q = 'SELECT a FROM b WHERE c >= 1 ORDER BY a, b '",
            },
        ),
    ],
)
def test_each_place_is_changed(text: str, expected: set[str]) -> None:
    assert made(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "'''A docstring of 1 < 2.'''",
        "assert a < 1",
        "x: Literal[1]",
        "_log.info('said', count=1)",
        "raise ValueError('more than 1')",
        "__all__ = ['a', 'b']",
        "@dataclass(frozen=True)\nclass A: pass",
        "f(tx, a)",
    ],
)
def test_what_is_no_behaviour_is_left_alone(text: str) -> None:
    assert made(text) == set()


def test_a_sample_is_the_seeds_and_keeps_what_did_not_change() -> None:
    text = "".join(f"def f{n}():\n    return a < {n}\n" for n in range(50))
    chosen = {item.id for item in mutants.sample({"a.py": text}, 30, seed=1)}
    assert chosen == {item.id for item in mutants.sample({"a.py": text}, 30, seed=1)}
    assert chosen != {item.id for item in mutants.sample({"a.py": text}, 30, seed=2)}
    later = "import b\n\n" + text.replace("a < 7", "a < 77")
    assert len(chosen - {item.id for item in mutants.sample({"a.py": later}, 30, seed=1)}) <= 2
