"""What a route is: everything the router, the gate and the OpenAPI document need to know of it."""

from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

import msgspec
from starlette.types import Scope

from proof.api.http import Call, Reply
from proof.db.shares import Work
from proof.partners.access.operators import OperatorScope
from proof.partners.access.rates import CallClass
from proof.partners.types import CredentialKind

Handler = Callable[[Call], Awaitable[Reply]]

DEFAULT_BODY_LIMIT = 64 * 1024
# An operation that answers whichever method its path has no other for.
ANY_METHOD = "*"


@dataclass(frozen=True, slots=True)
class Parameter:
    """A path or query parameter, for the document; the handler checks it."""

    name: str
    place: str
    description: str
    schema: dict[str, Any]
    required: bool = True


@dataclass(frozen=True, slots=True)
class Answer:
    """One status a route answers with; `body` is the type of its JSON, None for an empty one."""

    description: str
    body: Any = None
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path.

    `credential` and `operator_scope` None let anybody in, unless it takes `any_kind`: then either kind of
    credential may call, and what it gets depends on the kind; or unless it `identifies`: then any valid
    credential of the environment may call, from any address. `call_class` is what the rate counts.
    `own_credential` gives what its handler checks in place of the gate (a session's token, an account's
    id): whoever succeeded with it is no stranger, whose calls are counted. `vital`: a load balancer asks,
    so strangers together cannot use up its answers.
    `work` is whose share of the database it takes where no credential says so, None for the process's own.
    `in_turn`: each caller's are handled one after the other, since they wait for each other's locks.
    `raw_body` is the media type of a body that the handler gets as the bytes it came in.
    `in_sandbox` False: the route exists without prefix only, `in_production` False: below the sandbox's
    only. `refuses` lists the statuses of errors it can answer with, beside those of the gate;
    `plain_refusals`: they are plain text. `ramp`: errors have the ramp's body, and
    one that needs a credential refuses browsers.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    answers: dict[int, Answer]
    tag: str
    credential: CredentialKind | None = None
    any_kind: bool = False
    identifies: bool = False
    call_class: CallClass | None = None
    work: Work | None = Work.ANONYMOUS
    in_turn: bool = False
    operator_scope: OperatorScope | None = None
    body: type[msgspec.Struct] | None = None
    raw_body: str | None = None
    body_limit: int = DEFAULT_BODY_LIMIT
    parameters: tuple[Parameter, ...] = ()
    refuses: tuple[int, ...] = ()
    plain_refusals: bool = False
    in_sandbox: bool = True
    in_production: bool = True
    own_credential: Callable[[Scope], Hashable] | None = None
    vital: bool = False
    ramp: bool = False
    listed: bool = True
    description: str = field(default="")

    @property
    def shared(self) -> bool:
        """Whether both kinds of a partner's credentials may call."""
        return self.any_kind or self.identifies

    @property
    def gated(self) -> bool:
        """Whether a credential is needed, a partner's or an operator's."""
        return bool(self.credential or self.shared or self.operator_scope is not None)
