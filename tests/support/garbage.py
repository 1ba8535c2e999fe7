"""What a process sets up once for a long life, kept out of a run of tests that starts hundreds of them."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch


@contextmanager
def garbage_as_before() -> Iterator[None]:
    """An application that starts collects garbage, sets all else aside and then seldom collects: here each
    would walk all that the run holds, for longer than most tests take, and what it set aside would stay."""
    threshold = gc.get_threshold()
    with patch.object(gc, "collect"), patch.object(gc, "freeze"):
        yield
    gc.set_threshold(*threshold)
