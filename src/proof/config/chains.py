"""The chains file: which chains each environment writes to, how often, and at what price."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import msgspec

from proof.config.settings import SettingsError, absolute, decode_path
from proof.partners.types import Environment
from proof.timestamps.anchors.kinds import ChainTable, kind_of, kinds
from proof.timestamps.types import Currency

_MAX_FILE_BYTES = 64 << 10


# By environment the table of each chain that is enabled there, by currencyId.
ChainTables = Mapping[Environment, Mapping[Currency, ChainTable]]


def load_chain_tables(name: str) -> ChainTables:
    """The chains file of that path; nothing but the log when it is empty. Raises SettingsError."""
    if not name:
        return {environment: {} for environment in Environment}
    path = absolute("chains_file", Path(name))
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise SettingsError(f"setting chains_file: {path}: {error.strerror}") from None
    if len(raw) > _MAX_FILE_BYTES:
        raise SettingsError(f"setting chains_file: {path} is over {_MAX_FILE_BYTES} bytes")
    try:
        decoded = msgspec.toml.decode(raw, type=_file_type(), dec_hook=decode_path)
    except (msgspec.DecodeError, ValueError) as error:
        raise SettingsError(f"setting chains_file: {path}: {error}") from None
    tables = {environment: _enabled(getattr(decoded, environment)) for environment in Environment}
    for environment, enabled in tables.items():
        _check(path, environment, enabled)
    return tables


@cache
def _file_type() -> type[msgspec.Struct]:
    """The whole file: a table for each environment, in it one for each kind of chain."""
    chains = [(kind.name, kind.table | None, None) for kind in kinds().values()]
    environment = msgspec.defstruct(
        "EnvironmentTables", chains, frozen=True, forbid_unknown_fields=True, kw_only=True
    )
    members = [(str(each), environment, environment()) for each in Environment]
    return msgspec.defstruct(
        "ChainsFile", members, frozen=True, forbid_unknown_fields=True, kw_only=True
    )


def _enabled(environment: msgspec.Struct) -> Mapping[Currency, ChainTable]:
    return {
        currency: table
        for currency, kind in kinds().items()
        if (table := getattr(environment, kind.name)) is not None
    }


def beside(chains_file: str, path: Path) -> Path:
    """A path of the chains file, made absolute from the file's folder. Raises SettingsError."""
    if str(path).startswith("~"):
        return absolute("chains_file", path)
    return absolute("chains_file", Path(chains_file)).parent / path


def _check(path: Path, environment: Environment, tables: Mapping[Currency, ChainTable]) -> None:
    for currency, table in tables.items():
        kind = kind_of(currency)
        if problems := [*_problems(table), *kind.problems(table)]:
            raise SettingsError(
                f"setting chains_file: {path}: [{environment}.{kind.name}] {'; '.join(problems)}"
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
