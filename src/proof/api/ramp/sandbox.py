"""What only a sandbox has: acting as its users, and moving its clock."""

from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta, Struct

from proof.api.http import Call, Reply
from proof.api.operations import Answer, Operation
from proof.api.ramp.families import SANDBOX, TRANSACTION
from proof.api.services import Services
from proof.core.clock import moment_text
from proof.core.errors import NotFoundError
from proof.ramp import clock
from proof.ramp.clock import LONGEST_STEP_S
from proof.ramp.providers.outcomes import Name
from proof.ramp.transactions.simulating import Simulations

_encode = msgspec.json.Encoder().encode


class SimulateRequest(Struct, forbid_unknown_fields=True):
    """What the user is to do."""

    outcome: Annotated[Name, Meta(description="a name from the table of outcomes")]


class SimulateAnswer(Struct):
    """What is being played."""

    merchant_transaction_id: Annotated[str, Meta(description="the transaction")]
    outcome: Annotated[Name, Meta(description="the outcome it comes to, in the sandbox's own time")]


class AdvanceRequest(Struct, forbid_unknown_fields=True):
    """How far to move the clock."""

    seconds: Annotated[
        int, Meta(ge=1, le=LONGEST_STEP_S, description="whole seconds, forward only")
    ]


class AdvanceAnswer(Struct):
    """The clock afterwards."""

    now: Annotated[str, Meta(description="the sandbox's present moment, ISO 8601")]


class SandboxHandlers:
    """The handlers of the sandbox's own routes."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def simulate(self, call: Call) -> Reply:
        """POST /simulate/{merchant_transaction_id}."""
        body: SimulateRequest = call.body
        services = self._services
        name = _uuid(call.path["merchant_transaction_id"])
        simulations = Simulations(
            services.database, services.vault, services.providers, services.clock
        )
        await simulations.simulate(call.caller, name, body.outcome)
        return Reply(200, _encode(SimulateAnswer(str(name), body.outcome)))

    async def advance(self, call: Call) -> Reply:
        """POST /clock/advance."""
        body: AdvanceRequest = call.body
        async with self._services.database.transaction() as tx:
            now = await clock.advance(tx, call.caller.id, body.seconds, self._services.clock)
        return Reply(200, _encode(AdvanceAnswer(moment_text(now))))


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise NotFoundError("there is no such transaction") from None


def sandbox_routes(services: Services) -> list[Operation]:
    handlers = SandboxHandlers(services)
    return [
        Operation(
            SANDBOX, "POST", "/simulate/{merchant_transaction_id}", handlers.simulate,
            "Act as the user, to the end of an outcome",
            {200: Answer("what is being played", SimulateAnswer)},
            body=SimulateRequest, parameters=(TRANSACTION,), refuses=(404, 409), in_turn=True,
        ),
        Operation(
            SANDBOX, "POST", "/clock/advance", handlers.advance, "Move the sandbox's clock forward",
            {200: Answer("the clock afterwards", AdvanceAnswer)},
            body=AdvanceRequest, in_turn=True,
        ),
    ]  # fmt: skip
