"""The sandbox's outcomes as a page shows them, from the table that the simulator plays."""

from proof.ramp.providers.sandbox.outcomes import outcome_rows
from proof.web.tables import code, table

_HEAD = ("Outcome", "Card", "Amount", "E-mail", "Types", "Ends", "What happens")


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
