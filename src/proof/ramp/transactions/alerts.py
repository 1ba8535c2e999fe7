"""Telling the operator that a person should look at a transaction."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

import structlog
from prometheus_client import Counter

from proof.db import Connection
from proof.ramp.transactions import queries
from proof.ramp.transactions.transitions import Alert

_log = structlog.get_logger()
_alerts = Counter("proof_ramp_alerts", "Transactions a person should look at", ["reason"])
for _each in Alert:
    _alerts.labels(_each)


async def raise_alerts(tx: Connection, alerts: Mapping[UUID, Alert], at: datetime) -> None:
    """Mark these, log and count them. `at` is the clock's own time, not a sandbox's."""
    if not alerts:
        return
    await queries.raise_alerts(tx, alerts, at)
    for transaction_id, alert in alerts.items():
        _log.warning("ramp.alert", transaction=str(transaction_id), reason=alert.value)
        _alerts.labels(alert).inc()
