"""The chains that the chains file names, put together."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from decimal import Decimal

from cryptography import x509

from proof.config import Settings, SettingsError
from proof.config.chains import (
    AnyTable,
    BitcoinTable,
    ChainTable,
    EnvironmentTables,
    EthereumTable,
    PaidTable,
    TsaTable,
    beside,
    load_chain_tables,
)
from proof.core.clock import SystemClock
from proof.main.keys import require_private
from proof.partners.types import Environment
from proof.timestamps.anchors.anchoring import Schedule
from proof.timestamps.anchors.bitcoin.chain import BitcoinChain
from proof.timestamps.anchors.bitcoin.rpc import BitcoinRpc
from proof.timestamps.anchors.bitcoin.wallet import FeeCeiling
from proof.timestamps.anchors.chain import Chain
from proof.timestamps.anchors.ethereum.rpc import Rpc
from proof.timestamps.anchors.ethereum.service import EthereumChain, EthereumSettings
from proof.timestamps.anchors.ethereum.signer import KeyFileError, load_signer
from proof.timestamps.anchors.overview import EnabledChain
from proof.timestamps.anchors.tsa.belief import Trust
from proof.timestamps.anchors.tsa.service import TsaChain, TsaSettings
from proof.timestamps.anchors.tsa.wire import Exchange
from proof.timestamps.proofs.pace import Pace, Paces
from proof.timestamps.tsa import der
from proof.timestamps.types import Chains, Currency

_CURRENCIES = {"bitcoin": Currency.BTC, "ethereum": Currency.ETH, "tsa": Currency.TSA}
_WEI_PER_GWEI = 10**9
_BITCOIN_BLOCK = timedelta(minutes=10)
_ETHEREUM_SLOT = timedelta(seconds=12)
# Two epochs of 32 slots, and up to one until the transaction's own epoch ends.
_SLOTS_UNTIL_FINALIZED = 96


def enabled_chains(settings: Settings) -> Chains:
    """The chains of each environment beside the log. Raises SettingsError."""
    tables = load_chain_tables(settings.chains_file)
    return {
        environment: tuple(
            currency
            for name, currency in _CURRENCIES.items()
            if getattr(tables.of(environment), name) is not None
        )
        for environment in Environment
    }


def paces(settings: Settings) -> Paces:
    """How long each enabled chain takes. Raises SettingsError."""
    tables = load_chain_tables(settings.chains_file)
    return {
        (environment, _CURRENCIES[name]): _pace(table)
        for environment in Environment
        for name in _CURRENCIES
        if (table := getattr(tables.of(environment), name)) is not None
    }


def _pace(table: AnyTable) -> Pace:
    every = timedelta(seconds=table.every_s)
    match table:
        case BitcoinTable():
            return Pace(every, _BITCOIN_BLOCK, table.confirmations)
        case EthereumTable():
            return Pace(every, _ETHEREUM_SLOT, table.confirmations or _SLOTS_UNTIL_FINALIZED)
        case TsaTable():
            # A time-stamping authority answers within the request.
            return Pace(every, timedelta(seconds=1), 1)


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
    tables = load_chain_tables(settings.chains_file)
    async with AsyncExitStack() as stack:
        found = []
        for environment in Environment:
            for chain, table in _chains(settings, environment, tables.of(environment)):
                stack.push_async_callback(chain.close)
                found.append(EnabledChain(environment, chain, _schedule(table)))
        yield found


def _chains(
    settings: Settings, environment: Environment, tables: EnvironmentTables
) -> Iterator[tuple[Chain, ChainTable]]:
    if tables.bitcoin is not None:
        yield _bitcoin(settings, tables.bitcoin), tables.bitcoin
    if tables.ethereum is not None:
        yield _ethereum(settings, tables.ethereum), tables.ethereum
    if tables.tsa is not None:
        yield _tsa(settings, environment, tables.tsa), tables.tsa


def _schedule(table: ChainTable) -> Schedule:
    every = timedelta(seconds=table.every_s)
    # A chain without fees has no transaction to replace.
    wait = timedelta(seconds=table.replace_after_s) if isinstance(table, PaidTable) else every
    return Schedule(every, wait)


def _bitcoin(settings: Settings, table: BitcoinTable) -> BitcoinChain:
    credentials = beside(settings.chains_file, table.credentials_file)
    ceiling = FeeCeiling(
        Decimal(str(table.max_sat_per_vbyte)), table.max_sat_per_anchor, table.target_blocks
    )
    rpc = BitcoinRpc(table.url, table.wallet, credentials)
    return BitcoinChain(rpc, table.network, table.confirmations, ceiling)


def _ethereum(settings: Settings, table: EthereumTable) -> EthereumChain:
    key = beside(settings.chains_file, table.key_file)
    try:
        if key.exists():
            require_private(key)
        signer = load_signer(key, table.chain_id)
    except KeyFileError as error:
        raise SettingsError(f"setting chains_file: {error.message}") from None
    ceiling = int(Decimal(str(table.max_gwei_per_gas)) * _WEI_PER_GWEI)
    return EthereumChain(Rpc(table.url), signer, EthereumSettings(ceiling, table.confirmations))


def _tsa(settings: Settings, environment: Environment, table: TsaTable) -> TsaChain:
    authorities = None
    try:
        if table.policy is not None:
            der.object_identifier(table.policy)
        if table.ca_certificate_file is not None:
            path = beside(settings.chains_file, table.ca_certificate_file)
            authorities = x509.load_pem_x509_certificates(path.read_bytes())
    except OSError as error:
        raise SettingsError(f"setting chains_file: {error.filename}: {error.strerror}") from None
    except (ValueError, x509.InvalidVersion) as error:
        raise SettingsError(f"setting chains_file: [{environment}.tsa] {error}") from None
    return TsaChain(
        Exchange(table.url), TsaSettings(Trust(authorities), table.policy), SystemClock()
    )
