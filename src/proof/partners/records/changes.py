"""What an operator wants a record to be: only what is named changes, a list replaces the whole list."""

from typing import Any, Literal, TypeVar

import msgspec
from msgspec import UNSET, Struct, UnsetType

from proof.partners.records.types import (
    AmountRange,
    EnvironmentRecord,
    Limit,
    PartnerRecord,
    Wallet,
)

_Texts = tuple[str, ...] | UnsetType
_Text = str | UnsetType
_Flag = bool | UnsetType
_Limit = Limit | UnsetType

R = TypeVar("R", bound=Struct)


class _Change(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class WidgetConfigChange(_Change, frozen=True):
    """Fields of WidgetConfig."""

    type: Literal["buy", "sell"] | UnsetType = UNSET
    currencies: _Texts = UNSET
    networks: _Texts = UNSET
    fiat_currency: _Text = UNSET
    fiat_currencies: _Texts = UNSET
    lang: _Text = UNSET
    theme: _Text = UNSET
    redirect_url: _Text = UNSET


class LimitsChange(_Change, frozen=True):
    """Fields of MonthlyLimits."""

    timestamps: _Limit = UNSET
    proofs: _Limit = UNSET
    status: _Limit = UNSET


class EnvironmentChange(_Change, frozen=True):
    """Fields of EnvironmentRecord that an operator sets."""

    ips: _Texts = UNSET
    timestamp_ips: _Texts = UNSET
    off_ramp: _Flag = UNSET
    own_address: _Flag = UNSET
    currencies: _Texts = UNSET
    networks: _Texts = UNSET
    wallets: tuple[Wallet, ...] | UnsetType = UNSET
    amounts: tuple[AmountRange, ...] | UnsetType = UNSET
    widget_origins: _Texts = UNSET
    widget_config: WidgetConfigChange | UnsetType = UNSET
    webhook: _Text = UNSET
    limits: LimitsChange | UnsetType = UNSET


class PartnerChange(_Change, frozen=True):
    """Fields of PartnerRecord that an operator sets."""

    name: _Text = UNSET
    contact_email: _Text = UNSET
    production: EnvironmentChange | UnsetType = UNSET
    sandbox: EnvironmentChange | UnsetType = UNSET


class Difference(Struct, frozen=True):
    """One field before and after, as JSON; a wallet or a range that is not there is null."""

    field: str
    before: Any
    after: Any


def merged(record: R, change: Struct) -> R:
    """The record with what the change names put in its place. Nothing is checked."""
    # A request or a file has fields beside those of the record, which say how to change it.
    kind = PartnerChange if isinstance(change, PartnerChange) else type(change)
    values: dict[str, Any] = {}
    for name in kind.__struct_fields__:
        wanted = getattr(change, name)
        if isinstance(wanted, _Change):
            values[name] = merged(getattr(record, name), wanted)
        elif wanted is not UNSET:
            values[name] = wanted
    return msgspec.structs.replace(record, **values)


def differences(before: PartnerRecord, after: PartnerRecord) -> list[Difference]:
    """Every field that differs, by its path, in the order of the record."""
    old, new = _flat(before), _flat(after)
    return [
        Difference(field, old.get(field), new.get(field))
        for field in dict.fromkeys([*old, *new])
        if old.get(field) != new.get(field)
    ]


def _flat(record: PartnerRecord) -> dict[str, Any]:
    fields = {
        "name": record.name,
        "contact_email": record.contact_email,
        "status": record.status,
    }
    for name in ("production", "sandbox"):
        fields |= {f"{name}.{key}": value for key, value in _environment(getattr(record, name))}
    return fields


def _environment(record: EnvironmentRecord) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in msgspec.to_builtins(record).items():
        if name in {"wallets", "amounts"}:
            found += [
                (f"{name}.{wallet['currency']}/{wallet['network']}", _without_pair(wallet))
                for wallet in value
            ]
        elif isinstance(value, dict):
            found += [(f"{name}.{key}", inner) for key, inner in value.items()]
        else:
            found.append((name, value))
    return found


def _without_pair(wallet: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in wallet.items() if key not in {"currency", "network"}}
