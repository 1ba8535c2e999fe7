"""A platform for each test: a worker works for all of it."""

from tests.support.staging import alone

__all__ = ["alone"]
