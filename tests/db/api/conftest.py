"""Its tests bring partners of their own to one platform for each module."""

from tests.db.api.outsiders import outsiders
from tests.support.staging import alone, platform, run, stage

__all__ = ["alone", "outsiders", "platform", "run", "stage"]
