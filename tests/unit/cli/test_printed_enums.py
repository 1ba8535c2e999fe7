"""Words for the members of an enumeration: none is forgotten where they are printed."""

import importlib
import itertools
import pkgutil
import re
import shlex
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from enum import Enum, IntEnum, StrEnum
from ipaddress import ip_network
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import pytest
import typer
from tests.support.commands import COMMAND

import proof
from proof.api.partner import _FAMILIES
from proof.cli.partners import refusals
from proof.cli.proofs import fetching, ots
from proof.cli.proofs.ots_upgrading import CalendarFailure, Failure, UpgradeResult
from proof.cli.server import chains
from proof.cli.webhooks import webhook
from proof.partners.access.gate import _WITH_ARTICLE
from proof.partners.access.refusals import Reason, Refusal
from proof.partners.access.tokens import _PREFIXES
from proof.partners.types import CredentialKind, Environment, Network
from proof.timestamps.anchors.overview import LastAnchor
from proof.timestamps.anchors.tsa.wire import _FAILURES
from proof.timestamps.tsa.request import Failure as TsaFailure
from proof.timestamps.types import SubmitStatus
from proof.webhooks import mail, recording
from proof.webhooks.types import Breaker, Change, Waiting

NOW = datetime(2026, 11, 21, tzinfo=UTC)
# Parts of our own machinery, of which nobody is told.
_UNTOLD = {"_Upgrade", "TargetRule", "Work"}


def _refusal(reason: Reason, kind: CredentialKind, network: Network | None) -> Refusal:
    return Refusal(
        "ptr_1", "Acme", Environment.SANDBOX, kind, reason, network, "03A4afx1kCKBF", 3, NOW
    )


def _last_anchor(status: SubmitStatus) -> str:
    found = SimpleNamespace(last_anchor=LastAnchor(UUID(int=1), NOW, status, None))
    return chains._last(cast("Any", found))


def _notice(change: Change) -> str:
    row = {
        "change": change.value, "at": NOW, "purpose": "transaction", "host": "acme.example",
        "endpoint_id": UUID(int=1), "reason": "it answered 410 Gone",
    }  # fmt: skip
    contact = SimpleNamespace(partner_id="ptr_1", environment="production", name="Acme")
    return mail._subject(row, cast("Any", contact)) + mail._text(row, cast("Any", contact))


def _upgrade(failure: CalendarFailure) -> str:
    found = UpgradeResult(b"", (), (), (), (Failure("https://a.example", failure, "no answer"),))
    return str(ots._exit_code(found))


# Whatever turns a member into words by a table of its own, and over which members.
WORDS: dict[str, tuple[Callable[[Any], Any], list[Any]]] = {
    "proof chains": (_last_anchor, list(SubmitStatus)),
    "proof status": (lambda each: fetching._STATES[each], list(SubmitStatus)),
    "proof ots upgrade": (_upgrade, list(CalendarFailure)),
    "a refused call": (_WITH_ARTICLE.__getitem__, list(CredentialKind)),
    "GET /events": (_FAMILIES.__getitem__, list(CredentialKind)),
    "a token": (_PREFIXES.__getitem__, list(Environment)),
    "a time-stamping authority's refusal": (_FAILURES.__getitem__, list(TsaFailure)),
    # A recovery is told to the log alone.
    "mail about an endpoint": (_notice, [Change.OPENED, Change.DISABLED]),
    "proof webhook replay": (webhook._WAITING.__getitem__, list(Waiting)),
    "a notice of an endpoint": (recording._CHANGES.__getitem__, list(Breaker)),
}


@pytest.mark.parametrize("place", WORDS)
def test_every_member_has_words(place: str) -> None:
    words, members = WORDS[place]
    assert all(str(words(each)) for each in members)


def _enumerations() -> Iterator[type[Enum]]:
    for module in pkgutil.walk_packages(proof.__path__, "proof."):
        if module.name.endswith(("__main__", "alembic.env")) or ".migrations." in module.name:
            continue
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, type) and issubclass(value, Enum):
                yield value


def test_every_other_enumeration_prints_its_value() -> None:
    """`str()` of a plain Enum is the name of a class of ours."""
    ours = {each for each in _enumerations() if each.__module__.startswith("proof.")}
    plain = {each for each in ours if not issubclass(each, StrEnum | IntEnum)}
    told = {type(each) for _, members in WORDS.values() for each in members}
    assert {each.__name__ for each in plain - told} == _UNTOLD


CASES = list(
    itertools.product(
        Reason,
        CredentialKind,
        [ip_network("203.0.113.9/32"), ip_network("2001:db8::/64"), None],
    )
)


@pytest.mark.parametrize(("reason", "kind", "network"), CASES)
def test_every_refusal_has_a_next_step_that_can_be_run(
    reason: Reason, kind: CredentialKind, network: Network | None
) -> None:
    row = refusals._row(_refusal(reason, kind, network))
    assert row["hint"]
    assert "{" not in row["hint"]
    assert "None" not in row["hint"]
    for command in re.findall(r"proof (\w+ [^;`]+)", row["hint"]):
        _parsed(shlex.split(command))


def _parsed(arguments: list[str]) -> None:
    """Raises a usage error unless `proof` has this command with these options."""
    command: Any = COMMAND
    context = typer.Context(command)
    while hasattr(command, "commands"):
        name, command, arguments = command.resolve_command(context, arguments)
        context = typer.Context(command, parent=context, info_name=name)
    command.make_context(command.name, arguments, parent=context.parent)
