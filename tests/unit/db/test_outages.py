"""What is told of a PostgreSQL that does not answer."""

import pytest

from proof.db.outages import unreached


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ConnectionRefusedError(111, "Connection refused"), "[Errno 111] Connection refused"),
        (TimeoutError(), "no answer in time"),
    ],
)
def test_why_no_connection_was_made_is_told_also_where_the_driver_has_no_words(
    error: OSError, reason: str
) -> None:
    assert unreached(error).message == f"PostgreSQL cannot be reached: {reason}"
