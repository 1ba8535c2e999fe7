"""Closing logs in tests."""

from functools import partial
from pathlib import Path

from proof.core.clock import SystemClock
from proof.core.secrets import Vault
from proof.db import Database
from proof.partners.audit import Actor
from proof.timestamps.anchors.log.holdings import ask_witnesses
from proof.timestamps.anchors.log.mark import Marks
from proof.timestamps.anchors.log.policy import NO_WITNESSES
from proof.timestamps.anchors.log.retired import RetiredLog
from proof.timestamps.anchors.log.retirement import Order, Retirement
from proof.verify.evidence.log.policy import Policy

ROTATION = Order("rotation")
OPERATOR = Actor("cli:test@host")


def retirement(
    database: Database,
    vault: Vault,
    folder: Path,
    environment: str = "production",
    policy: Policy | None = None,
) -> Retirement:
    """What closes a log; `folder` holds the machine's marks."""
    return Retirement(
        database,
        vault,
        SystemClock(),
        environment,
        policy,
        partial(ask_witnesses, policy or NO_WITNESSES),
        Marks(folder),
    )


async def retire(
    database: Database,
    vault: Vault,
    folder: Path,
    order: Order = ROTATION,
    policy: Policy | None = None,
) -> RetiredLog:
    """Close the log that the order means."""
    return await retirement(database, vault, folder, policy=policy).carry_out(order, OPERATOR)
