"""Health, and the documents."""

import os
from collections.abc import Sequence

import msgspec
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Gauge,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

from proof.api.forms import CODED, MESSAGE
from proof.api.http import JSON, Call, Reply
from proof.api.operations import Answer, Anybody, Operation, OperationFamily, OperatorCredential
from proof.api.services import Services
from proof.api.wire import Health, PartStatus, StatusAnswer
from proof.core.coalescing import Coalesced
from proof.partners.types import Environment
from proof.ramp.transactions import unstamped
from proof.timestamps.anchors.health import log_witnesses

# The supervisor of several processes sets it before they import the library.
_MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"
_SOON = ((b"cache-control", b"public, max-age=300"),)
_TEXT = "text/plain"

_HERE = (Environment.PRODUCTION,)
_DOCUMENTS = OperationFamily("system", Anybody(), MESSAGE, environments=_HERE)
_HEALTH = OperationFamily("system", Anybody(vital=True, work=None), MESSAGE, environments=_HERE)
_OPERATORS = OperationFamily("system", OperatorCredential(), CODED, environments=_HERE)


class SystemHandlers:
    """The handlers that are about the server."""

    def __init__(self, services: Services, openapi: bytes) -> None:
        self._services = services
        self._openapi = openapi
        self._problems = Coalesced(self._read_problems)

    async def healthz(self, _call: Call) -> Reply:
        """GET /healthz: this process answers."""
        return Reply(200, msgspec.json.encode(Health("ok")))

    async def readyz(self, _call: Call) -> Reply:
        """GET /readyz: everything it needs is there."""
        problems = await self._problems.get()
        if problems:
            return Reply(503, msgspec.json.encode(Health("; ".join(problems))))
        return Reply(200, msgspec.json.encode(Health("ready")))

    async def _read_problems(self) -> Sequence[str]:
        return await self._services.readiness()

    async def statusz(self, _call: Call) -> Reply:
        """GET /statusz: what is stopped behind the processes that answer."""
        found = await self._services.parts()
        parts = [
            PartStatus(part.name, part.reason is None, part.reason, part.note) for part in found
        ]
        ok = all(status.ok for status in parts)
        return Reply(200 if ok else 503, msgspec.json.encode(StatusAnswer(ok, parts)))

    async def metrics(self, _call: Call) -> Reply:
        """GET /metrics: the counters of all HTTP processes of this machine, and a gauge for each part."""
        registry = REGISTRY
        if _MULTIPROCESS in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call] # untyped in the library
        body = generate_latest(registry) + generate_latest(await self._gauges())
        return Reply(200, body, CONTENT_TYPE_LATEST.encode())

    async def _gauges(self) -> CollectorRegistry:
        registry = CollectorRegistry()
        gauge = Gauge(
            "proof_part_works",
            "1 while a part of the installation works",
            ["part"],
            registry=registry,
        )
        for part in await self._services.parts():
            gauge.labels(part.name).set(part.reason is None)
        await self._gauge_witnesses(registry)
        await self._gauge_stamping(registry)
        return registry

    async def _gauge_stamping(self, registry: CollectorRegistry) -> None:
        records = Gauge(
            "proof_unstamped_records",
            "Records of transactions that wait to be stamped",
            registry=registry,
        )
        age = Gauge(
            "proof_unstamped_seconds",
            "For how long the oldest of them has waited; 0 without any",
            registry=registry,
        )
        async with self._services.database.connection() as connection:
            backlog = await unstamped.backlog(connection)
        records.set(backlog.records)
        age.set(backlog.age_s)

    async def _gauge_witnesses(self, registry: CollectorRegistry) -> None:
        labels = ["environment", "witness"]
        size = Gauge(
            "proof_witness_size",
            "How many entries of the log a witness has cosigned",
            labels,
            registry=registry,
        )
        failing = Gauge(
            "proof_witness_failing_seconds",
            "For how long a witness has not cosigned; 0 while it does",
            labels,
            registry=registry,
        )
        async with self._services.database.connection() as connection:
            witnesses = await log_witnesses(connection)
        for each in witnesses:
            size.labels(each.environment, each.state.url).set(each.state.size)
            failing.labels(each.environment, each.state.url).set(each.failing_s or 0)

    async def openapi(self, _call: Call) -> Reply:
        """GET /openapi.json."""
        return Reply(200, self._openapi, headers=_SOON)


def system_routes(services: Services, openapi: bytes) -> list[Operation]:
    """`openapi` is the document that tells of all operations, these among them."""
    system = SystemHandlers(services, openapi)
    return [
        Operation(
            _HEALTH, "GET", "/healthz", system.healthz, "The process answers",
            {200: Answer("it does", Health)},
        ),
        Operation(
            _HEALTH, "GET", "/readyz", system.readyz, "Calls are accepted",
            {200: Answer("ready", Health), 503: Answer("what is missing", Health)},
        ),
        Operation(
            _OPERATORS, "GET", "/statusz", system.statusz,
            "What is stopped behind the processes that answer",
            {200: Answer("everything works", StatusAnswer),
             503: Answer("what is stopped, and why", StatusAnswer)},
        ),
        Operation(
            _OPERATORS, "GET", "/metrics", system.metrics,
            "Counters of this machine's HTTP processes",
            {200: Answer("Prometheus' text format", content_type=_TEXT)},
        ),
        Operation(
            _DOCUMENTS, "GET", "/openapi.json", system.openapi, "This document",
            {200: Answer("OpenAPI 3.1", content_type=JSON.decode())},
        ),
    ]  # fmt: skip
