"""What closes a log, put together from the settings."""

import os
from functools import partial

from proof.config import Settings
from proof.config.log_policy import load_log_policy
from proof.core.clock import SystemClock
from proof.db import Database
from proof.main.parts.keys import open_vault
from proof.main.parts.marks import marks
from proof.partners.types import Environment
from proof.timestamps.anchors.log.holdings import ask_witnesses
from proof.timestamps.anchors.log.policy import NO_WITNESSES
from proof.timestamps.anchors.log.retirement import Retirement


def retirement(settings: Settings, database: Database, environment: Environment) -> Retirement:
    """What closes an environment's log. Raises SettingsError."""
    policy = load_log_policy(settings, environment)
    return Retirement(
        database,
        open_vault(settings),
        SystemClock(),
        environment,
        policy,
        partial(ask_witnesses, policy or NO_WITNESSES),
        marks(settings, os.environ),
    )
