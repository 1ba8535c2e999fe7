"""Proof's own PostgreSQL, run from the wheel's programs below the data folder.

Why it is done this way: docs/decisions/embedded-postgresql.md.
"""

from proof.db.embedded.cluster import EmbeddedCluster, RunningCluster
from proof.db.embedded.errors import (
    BinariesError,
    ClusterBusyError,
    ClusterStartError,
    EmbeddedError,
    KeysExposedError,
    KeysMissingError,
    OrphanedServerError,
    ServerUserError,
    SocketPathTooLongError,
)
from proof.db.embedded.provision import ConnectionInfo
from proof.db.embedded.server import SETTINGS, Setting, current_settings, server_settings

__all__ = [
    "SETTINGS",
    "BinariesError",
    "ClusterBusyError",
    "ClusterStartError",
    "ConnectionInfo",
    "EmbeddedCluster",
    "EmbeddedError",
    "KeysExposedError",
    "KeysMissingError",
    "OrphanedServerError",
    "RunningCluster",
    "ServerUserError",
    "Setting",
    "SocketPathTooLongError",
    "current_settings",
    "server_settings",
]
