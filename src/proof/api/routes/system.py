"""The URLs that tell of the installation itself."""

from proof.api.http import JSON
from proof.api.operations import Answer, Operation
from proof.api.services import Services
from proof.api.system import SystemHandlers
from proof.api.wire import Health, StatusAnswer
from proof.partners.access.operators import OperatorScope

_TEXT = "text/plain"


def system_routes(services: Services, openapi: bytes) -> list[Operation]:
    """`openapi` is the document that tells of all operations, these among them."""
    system = SystemHandlers(services, openapi)
    return [
        Operation(
            "GET", "/healthz", system.healthz, "The process answers",
            {200: Answer("it does", Health)}, tag="system", in_sandbox=False, vital=True,
        ),
        Operation(
            "GET", "/readyz", system.readyz, "Calls are accepted",
            {200: Answer("ready", Health), 503: Answer("what is missing", Health)},
            tag="system", in_sandbox=False, vital=True, work=None,
        ),
        Operation(
            "GET", "/statusz", system.statusz, "What is stopped behind the processes that answer",
            {200: Answer("everything works", StatusAnswer),
             503: Answer("what is stopped, and why", StatusAnswer)},
            tag="system", operator_scope=OperatorScope.READ, in_sandbox=False,
        ),
        Operation(
            "GET", "/metrics", system.metrics, "Counters of this machine's HTTP processes",
            {200: Answer("Prometheus' text format", content_type=_TEXT)}, tag="system",
            operator_scope=OperatorScope.READ, in_sandbox=False,
        ),
        Operation(
            "GET", "/openapi.json", system.openapi, "This document",
            {200: Answer("OpenAPI 3.1", content_type=JSON.decode())}, tag="system", in_sandbox=False,
        ),
    ]  # fmt: skip
