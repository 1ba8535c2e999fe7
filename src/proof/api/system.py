"""Health, and the documents."""

import msgspec

from proof.api.http import Call, Reply
from proof.api.services import Services
from proof.api.wire import Health


class SystemHandlers:
    """The handlers that are about the server."""

    def __init__(self, services: Services, openapi: bytes) -> None:
        self._services = services
        self._openapi = openapi

    async def healthz(self, _call: Call) -> Reply:
        """GET /healthz: this process answers."""
        return Reply(200, msgspec.json.encode(Health("ok")))

    async def readyz(self, _call: Call) -> Reply:
        """GET /readyz: everything it needs is there."""
        problems = await self._services.readiness()
        if problems:
            return Reply(503, msgspec.json.encode(Health("; ".join(problems))))
        return Reply(200, msgspec.json.encode(Health("ready")))

    async def openapi(self, _call: Call) -> Reply:
        """GET /openapi.json."""
        return Reply(200, self._openapi)
