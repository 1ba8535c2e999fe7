"""The providers there are. Another one is a folder beside this file and a line here."""

from collections.abc import Mapping
from typing import Protocol

from proof.core.errors import InvalidInputError
from proof.ramp.providers.mercuryo.adapter import MercuryoAdapter
from proof.ramp.providers.protocols import Adapter, AmountRange, CredentialField, Reach
from proof.ramp.providers.sandbox.adapter import SandboxAdapter

# The simulator, which every sandbox has until it gets another account.
SIMULATOR = "sandbox"


class MakesAdapter(Protocol):
    """An adapter's class."""

    @property
    def fields(self) -> tuple[CredentialField, ...]: ...

    @property
    def amounts(self) -> Mapping[str, AmountRange]:
        """By currency; what is not there has no bounds."""
        ...

    def __call__(self, reach: Reach) -> Adapter: ...


ADAPTERS: Mapping[str, MakesAdapter] = {
    SIMULATOR: SandboxAdapter,
    "mercuryo": MercuryoAdapter,
}


class Providers:
    """The adapters of one process, by name."""

    def __init__(self, reach: Reach) -> None:
        self._adapters = {name: make(reach) for name, make in ADAPTERS.items()}

    def adapter(self, name: str) -> Adapter:
        """Raises InvalidInputError for a provider that there is not."""
        return self._adapters[_known(name)]


def fields_of(name: str) -> tuple[CredentialField, ...]:
    """What an account of the provider holds. Raises InvalidInputError for one that there is not."""
    return ADAPTERS[_known(name)].fields


def amounts_of(name: str) -> Mapping[str, AmountRange]:
    """What the provider takes of each currency, unless the operator set something else. Raises
    InvalidInputError for a provider that there is not."""
    return ADAPTERS[_known(name)].amounts


def _known(name: str) -> str:
    if name not in ADAPTERS:
        raise InvalidInputError(f"provider: one of {', '.join(ADAPTERS)} is required")
    return name
