"""What a provider tells of itself, and the providers there are.

How to add one: `docs/howto/add-a-provider.md`.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.resources.abc import Traversable

from proof.core.clock import Clock
from proof.core.errors import InvalidInputError
from proof.core.loop import Step
from proof.core.secrets import Vault
from proof.db import Database
from proof.partners.types import Environment
from proof.ramp.providers.protocols import (
    Adapter,
    AmountRange,
    CredentialField,
    ProviderStatus,
    Reach,
)

# Folders beside this file. The module `provider` of each has its Provider as `PROVIDER`.
_FOLDERS = (
    "simulator",
    "mercuryo",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnWidget:
    """A provider's own widget, which the hosted page hands over to.

    `hosts`: what its script loads from, frames and calls (CSP Level 3, host-source). `opener`: an ES module
    whose `open({parameters, host, load})` shows it in the element `host`, with the parameters of a
    `Handover`; `load()` loads the script that the Handover names.
    """

    hosts: tuple[str, ...]
    opener: Traversable


@dataclass(frozen=True, slots=True)
class Premises:
    """What a provider works with that does something by itself. URLs have no final slash."""

    database: Database
    vault: Vault
    clock: Clock
    base_urls: Mapping[Environment, str]


@dataclass(frozen=True, slots=True)
class Background:
    """What a worker does for a provider: a step done over and over, when it says so itself and when
    PostgreSQL notifies one of the channels `woken_by`."""

    step: Step
    woken_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """All that is known of one provider; its adapter says by its methods what it can do.

    `name`: in commands, callback URLs and the database, so it never changes. `about`: what an operator has
    to know, in Markdown. `fields`: what an account of it holds. `statuses`: what each of its words means,
    by leg and status; any other is UNKNOWN. `amounts`: what it takes of each currency, unless the operator
    set something else; what is not there has no bounds. `widget`: None where the hosted page is the widget.
    `simulates`: it moves no money, so production never has it, and each sandbox does until it gets another.
    `background`: what the worker does for it.
    """

    name: str
    about: str
    adapter: Callable[[Reach], Adapter]
    fields: tuple[CredentialField, ...]
    statuses: Mapping[str, Mapping[str, ProviderStatus]]
    amounts: Mapping[str, AmountRange]
    widget: OwnWidget | None = None
    simulates: bool = False
    background: Callable[[Premises], AbstractAsyncContextManager[Background]] | None = None


@cache
def providers() -> Mapping[str, Provider]:
    """Every provider by its name."""
    found = [_provider(folder) for folder in _FOLDERS]
    assert len({each.name for each in found}) == len(found), "two providers have one name"
    return {each.name: each for each in found}


def provider_named(name: str) -> Provider:
    """Raises InvalidInputError for one that there is not."""
    found = providers().get(name)
    if found is None:
        raise InvalidInputError(f"provider: one of {', '.join(providers())} is required")
    return found


@cache
def simulation() -> Provider:
    """The provider that every sandbox begins with."""
    (found,) = (each for each in providers().values() if each.simulates)
    return found


class Providers:
    """The adapters of one process, by name."""

    def __init__(self, reach: Reach) -> None:
        self._adapters = {name: each.adapter(reach) for name, each in providers().items()}

    def adapter(self, name: str) -> Adapter:
        """Raises InvalidInputError for a provider that there is not."""
        return self._adapters[provider_named(name).name]


@asynccontextmanager
async def backgrounds(premises: Premises) -> AsyncIterator[Mapping[str, Background]]:
    """What each provider does by itself, by its name; closed at the end."""
    async with AsyncExitStack() as stack:
        yield {
            name: await stack.enter_async_context(each.background(premises))
            for name, each in providers().items()
            if each.background is not None
        }


def _provider(folder: str) -> Provider:
    module = import_module(f"{__package__}.{folder}.provider")
    found: object = module.PROVIDER
    if not isinstance(found, Provider):
        raise TypeError(f"PROVIDER of {module.__name__} is no Provider")
    return found
