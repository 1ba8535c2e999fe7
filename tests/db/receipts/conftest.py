"""Its tests share one platform for each module."""

from tests.support.staging import alone, platform, run, stage

__all__ = ["alone", "platform", "run", "stage"]
