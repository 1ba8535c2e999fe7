"""Health, and the documents."""

import os
from collections.abc import Sequence

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from proof.api.http import Call, Reply
from proof.api.services import Services
from proof.api.wire import Health
from proof.core.coalescing import Coalesced

# Set by whoever starts several processes, before they import the library.
_MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"
_SOON = ((b"cache-control", b"public, max-age=300"),)


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

    async def metrics(self, _call: Call) -> Reply:
        """GET /metrics: the counters of all HTTP processes of this machine."""
        registry = REGISTRY
        if _MULTIPROCESS in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call] # untyped in the library
        return Reply(200, generate_latest(registry), CONTENT_TYPE_LATEST.encode())

    async def openapi(self, _call: Call) -> Reply:
        """GET /openapi.json."""
        return Reply(200, self._openapi, headers=_SOON)
