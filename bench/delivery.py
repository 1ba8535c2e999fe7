"""Webhooks: deliveries against a bare aiohttp loop, jobs through PostgreSQL, a dead endpoint's cost."""

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network

import aiohttp
import asyncpg

from bench.figures import Figure, Target, compared
from bench.installation import HOST, await_port, database_only, free_port, stop, superuser
from bench.options import Options
from proof.config import Settings
from proof.core.clock import SystemClock
from proof.db import Connection, Database
from proof.events import Event, publish, relay
from proof.main.database import arguments
from proof.outbound import OutboundClient, OutboundPolicy, OutboundReply
from proof.webhooks import Deliverer, fan_out, queries, set_endpoint
from proof.webhooks.types import Outcome, State

_POLICY = OutboundPolicy((ip_network("127.0.0.0/8"),))
_TYPE = "timestamp.proof"
_BODY_BYTES = 2_000
_ENDPOINTS = 10
_CONNECTIONS = 64
_JOB_ENDPOINTS = 100
_JOB_BATCH = 1_000
_LIVE = 100
_DEAD_QUEUED = 10_000
_LEASE = timedelta(minutes=5)


def run(options: Options) -> list[Figure]:
    """Three figures, each over an embedded database of its own."""
    with _sink() as port:
        return [
            *_over_database(_rate, port, options),
            *_over_database(_jobs, port, options),
            *_over_database(_isolation, port, options),
        ]
