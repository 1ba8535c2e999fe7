"""What a route is: everything the router, the gate and the OpenAPI document need to know of it."""

from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
from starlette.types import Scope

from proof.api.forms import MESSAGE, ErrorForm
from proof.api.http import NOT_KEPT, Call, Headers, Reply
from proof.db.shares import Work
from proof.partners.access.operators import OperatorScope
from proof.partners.access.rates import CallClass
from proof.partners.types import CredentialKind, Environment

Handler = Callable[[Call], Awaitable[Reply]]

DEFAULT_BODY_LIMIT = 64 * 1024
# An operation that answers whichever method its path has no other for.
ANY_METHOD = "*"


@dataclass(frozen=True, slots=True)
class Anybody:
    """No credential is needed, and calls are counted as strangers'.

    `own_credential` gives what the handler checks in place of the gate (a session's token, an account's
    id): whoever succeeded with it is no stranger. `vital`: a load balancer asks, so strangers together
    cannot use up its answers. `work` is whose share of the database a call takes, None for the process's
    own.
    """

    own_credential: Callable[[Scope], Hashable] | None = None
    vital: bool = False
    work: Work | None = Work.ANONYMOUS


@dataclass(frozen=True, slots=True)
class PartnerCredential:
    """A partner's credential of this kind; None: of either, and what a call gets depends on the kind.

    `call_class` is what the rate counts. `from_browsers` False: a call that a browser made is refused.
    """

    kind: CredentialKind | None
    call_class: CallClass
    from_browsers: bool = True


@dataclass(frozen=True, slots=True)
class Identification:
    """Any valid credential of the environment, from any address."""


@dataclass(frozen=True, slots=True)
class OperatorCredential:
    """An operator's credential."""

    def scope(self, method: str) -> OperatorScope:
        """What an operator must be allowed: a GET changes nothing."""
        return OperatorScope.READ if method == "GET" else OperatorScope.WRITE


Access = Anybody | PartnerCredential | Identification | OperatorCredential


@dataclass(frozen=True, slots=True)
class OperationFamily:
    """What the operations of one product and one kind of caller have in common.

    `tag` is their section of the document; those that are not `listed` are in none. `errors` is the form of
    an error; `errors_by_kind` that of a caller whose credential is known and of that kind. `headers` are
    those of every answer. `gated_paths`: the gate is asked before the method is looked at.
    """

    tag: str
    access: Access
    errors: ErrorForm
    errors_by_kind: Mapping[CredentialKind, ErrorForm] = field(default_factory=dict)
    environments: tuple[Environment, ...] = tuple(Environment)
    body_limit: int = DEFAULT_BODY_LIMIT
    headers: Headers = ()
    listed: bool = True
    gated_paths: bool = False

    def refusal(self, error: Exception, request_id: str) -> Reply:
        """The answer to a call that no operation handled."""
        reply = self.errors.reply(error, request_id)
        return replace(reply, headers=(*reply.headers, *self.headers, NOT_KEPT))


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
    """One status a route answers with; `body` is the type of its JSON, None for an empty one. `files` are
    the media types of the other forms that a call can ask for."""

    description: str
    body: Any = None
    content_type: str = "application/json"
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path.

    `raw_body` is the media type of a body that the handler gets as the bytes it came in. `refuses` lists
    the statuses of errors it can answer with, beside those that follow from its family and its body.
    `in_turn`: each caller's calls are handled one after the other, since they wait for each other's locks.
    `identity`: its operationId where one handler serves several paths, otherwise the handler's name.
    """

    family: OperationFamily
    method: str
    path: str
    handler: Handler
    summary: str
    answers: dict[int, Answer]
    body: type[msgspec.Struct] | None = None
    raw_body: str | None = None
    parameters: tuple[Parameter, ...] = ()
    refuses: tuple[int, ...] = ()
    in_turn: bool = False
    identity: str = ""

    @property
    def gated(self) -> bool:
        """Whether a credential is needed, a partner's or an operator's."""
        return not isinstance(self.family.access, Anybody)


FamilyAt = Callable[[str], OperationFamily]


def families_by_path(operations: Iterable[Operation]) -> FamilyAt:
    """Of a path below the base URL the family it belongs to, whether or not anything is there."""
    found = {_root(operation.path): operation.family for operation in operations}
    pages = OperationFamily("", Anybody(), MESSAGE)
    return lambda path: found.get(_root(path), pages)


def _root(path: str) -> str:
    """What a path has in common with all of its family. Below /w there are pages as well as calls."""
    first, _, rest = path.lstrip("/").partition("/")
    return "w/api" if first == "w" and rest.startswith("api/") else first
