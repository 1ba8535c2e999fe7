"""The chains file: which chains each environment writes to, how often, and at what price."""

from pathlib import Path
from typing import Literal
from urllib.parse import SplitResult, urlsplit

import msgspec

from proof.config.settings import SettingsError, absolute
from proof.partners.types import Environment

_MAX_FILE_BYTES = 64 << 10


class ChainTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What every chain's table holds.

    `every_s`: a tree is closed when it is so old and holds a hash.
    """

    url: str
    every_s: int = 3600

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class PaidTable(ChainTable, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the table of a chain holds whose transactions cost a fee.

    `replace_after_s`: how long a transaction may linger before one at a higher fee replaces it.
    """

    replace_after_s: int = 3600


class BitcoinTable(PaidTable, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[<environment>.bitcoin]`. Paths are relative to the chains file."""

    credentials_file: Path
    wallet: str = ""
    network: Literal["main", "test", "testnet4", "signet", "regtest"] = "main"
    confirmations: int = 6
    target_blocks: int = 6
    max_sat_per_vbyte: float = 50
    max_sat_per_anchor: int = 20_000


class EthereumTable(PaidTable, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[<environment>.ethereum]`. Without `confirmations`, blocks count once they are finalized."""

    key_file: Path
    chain_id: int = 1
    confirmations: int | None = None
    max_gwei_per_gas: float = 50


class TsaTable(ChainTable, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[<environment>.tsa]`. `policy`: dotted; without it the authority chooses."""

    every_s: int = 600
    ca_certificate_file: Path | None = None
    policy: str | None = None


AnyTable = BitcoinTable | EthereumTable | TsaTable


class EnvironmentTables(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[<environment>]`: a table for each chain that is enabled there."""

    bitcoin: BitcoinTable | None = None
    ethereum: EthereumTable | None = None
    tsa: TsaTable | None = None


class ChainTables(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole file."""

    production: EnvironmentTables = EnvironmentTables()
    sandbox: EnvironmentTables = EnvironmentTables()

    def of(self, environment: Environment) -> EnvironmentTables:
        """One environment's chains."""
        return self.production if environment is Environment.PRODUCTION else self.sandbox


def load_chain_tables(name: str) -> ChainTables:
    """The chains file of that path; nothing but the log when it is empty. Raises SettingsError."""
    if not name:
        return ChainTables()
    path = absolute("chains_file", Path(name))
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise SettingsError(f"setting chains_file: {path}: {error.strerror}") from None
    if len(raw) > _MAX_FILE_BYTES:
        raise SettingsError(f"setting chains_file: {path} is over {_MAX_FILE_BYTES} bytes")
    try:
        tables = msgspec.toml.decode(raw, type=ChainTables, dec_hook=_decode)
    except (msgspec.DecodeError, ValueError) as error:
        raise SettingsError(f"setting chains_file: {path}: {error}") from None
    for environment in Environment:
        _check(path, environment, tables.of(environment))
    return tables


def beside(chains_file: str, path: Path) -> Path:
    """A path of the chains file, made absolute from the file's folder. Raises SettingsError."""
    if str(path).startswith("~"):
        return absolute("chains_file", path)
    return absolute("chains_file", Path(chains_file)).parent / path


def _check(path: Path, environment: Environment, tables: EnvironmentTables) -> None:
    for name in tables.__struct_fields__:
        table: ChainTable | None = getattr(tables, name)
        problems = _problems(table) if table is not None else []
        if problems:
            raise SettingsError(
                f"setting chains_file: {path}: [{environment}.{name}] {'; '.join(problems)}"
            )


def _problems(table: ChainTable) -> list[str]:
    parts = urlsplit(table.url)
    problems = []
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        problems.append("url: an http(s) URL of the node is required")
    if not _has_usable_port(parts):
        problems.append("url: its port is no number from 0 to 65535")
    if "@" in parts.netloc or parts.query or parts.fragment:
        problems.append("url: credentials do not belong into it; name credentials_file")
    if (
        isinstance(table, TsaTable)
        and table.ca_certificate_file is None
        and parts.scheme != "https"
    ):
        problems.append("ca_certificate_file: required where url is not https: who else vouches?")
    problems += [
        f"{name}: it is more than 0"
        for name in table.__struct_fields__
        if isinstance(value := getattr(table, name), int | float) and value <= 0
    ]
    return problems


def _has_usable_port(parts: SplitResult) -> bool:
    try:
        return parts.port is None or parts.port >= 0
    except ValueError:
        return False


def _decode(wanted: type, value: object) -> object:
    if wanted is Path:
        return Path(str(value))
    raise NotImplementedError(f"no setting is a {wanted}")
