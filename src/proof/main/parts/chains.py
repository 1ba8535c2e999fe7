"""The chains that the chains file names, put together."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path

from proof.config import Settings, SettingsError
from proof.config.chains import beside, load_chain_tables
from proof.core.clock import SystemClock
from proof.core.errors import ProofError
from proof.main.parts.keys import require_private
from proof.partners.types import Environment
from proof.timestamps.anchors.anchoring import Schedule
from proof.timestamps.anchors.chain import Chain
from proof.timestamps.anchors.kinds import (
    ChainKind,
    ChainTable,
    PaidTable,
    Surroundings,
    TableT,
    kind_of,
)
from proof.timestamps.anchors.overview import EnabledChain
from proof.timestamps.proofs.pace import Paces
from proof.timestamps.types import Chains, Currency


def enabled_chains(settings: Settings) -> Chains:
    """The chains of each environment beside the log. Raises SettingsError."""
    tables = load_chain_tables(settings.chains_file)
    return {environment: tuple(enabled) for environment, enabled in tables.items()}


def paces(settings: Settings) -> Paces:
    """How long each enabled chain takes. Raises SettingsError."""
    return {
        (environment, currency): kind_of(currency).pace(table)
        for environment, enabled in load_chain_tables(settings.chains_file).items()
        for currency, table in enabled.items()
    }


def require_calendar_chain(settings: Settings) -> None:
    """A calendar promises Bitcoin. Raises SettingsError where production does not write to it."""
    if (
        settings.calendar_url
        and Currency.BTC not in enabled_chains(settings)[Environment.PRODUCTION]
    ):
        raise SettingsError(
            "setting calendar_url: a calendar needs [production.bitcoin] in chains_file"
        )


@asynccontextmanager
async def opened_chains(settings: Settings) -> AsyncIterator[list[EnabledChain]]:
    """Every enabled chain, closed at the end. No node is asked yet. Raises SettingsError."""
    async with AsyncExitStack() as stack:
        found = []
        for environment, enabled in load_chain_tables(settings.chains_file).items():
            for currency, table in enabled.items():
                chain = _opened(settings, environment, kind_of(currency), table)
                stack.push_async_callback(chain.close)
                found.append(EnabledChain(environment, chain, _schedule(table)))
        yield found


def _opened(
    settings: Settings, environment: Environment, kind: ChainKind[TableT], table: TableT
) -> Chain:
    def file(path: Path) -> Path:
        return beside(settings.chains_file, path)

    def private_file(path: Path) -> Path:
        found = file(path)
        if found.exists():
            require_private(found)
        return found

    try:
        origins = frozenset(settings.origin_of_log(each) for each in Environment)
        return kind.open(table, Surroundings(SystemClock(), file, private_file, origins))
    except SettingsError:
        raise
    except ProofError as error:
        raise SettingsError(f"setting chains_file: {error.message}") from None
    except OSError as error:
        raise SettingsError(f"setting chains_file: {error.filename}: {error.strerror}") from None
    except ValueError as error:
        raise SettingsError(f"setting chains_file: [{environment}.{kind.name}] {error}") from None


def _schedule(table: ChainTable) -> Schedule:
    every = timedelta(seconds=table.every_s)
    # A chain without fees has no transaction to replace.
    wait = timedelta(seconds=table.replace_after_s) if isinstance(table, PaidTable) else every
    return Schedule(every, wait)
