"""A record as operators see it: with its base URLs and what still keeps it from working."""

from collections.abc import Mapping, Sequence

import msgspec

from proof.partners.records.types import EnvironmentRecord, PartnerRecord
from proof.partners.types import Environment


class EnvironmentView(EnvironmentRecord, frozen=True, kw_only=True):
    """An environment's record; `missing` names what it cannot work without."""

    base_url: str
    missing: tuple[str, ...]


class PartnerView(PartnerRecord, frozen=True, kw_only=True):
    """A partner's record with views of its environments."""

    production: EnvironmentView
    sandbox: EnvironmentView


def view(
    record: PartnerRecord,
    urls: Mapping[Environment, str],
    lacking: Mapping[Environment, Sequence[str]],
) -> PartnerView:
    """The record as shown; `urls` are the base URLs, `lacking` what is missing beside the record."""
    parts = {
        str(each): EnvironmentView(
            **msgspec.structs.asdict(record.environment(each)),
            base_url=urls[each],
            missing=(*missing(record.environment(each)), *lacking.get(each, ())),
        )
        for each in Environment
    }
    return PartnerView(**{**msgspec.structs.asdict(record), **parts})


def missing(record: EnvironmentRecord) -> tuple[str, ...]:
    """What an environment needs before the ramp can work in it, in words."""
    found = []
    if not record.ips:
        found.append("ips: no address may use the client_token")
    if not record.currencies:
        found.append("currencies: none is enabled")
    if not record.networks:
        found.append("networks: none is enabled")
    found += [
        f"wallets: no active one for {currency} on an enabled network"
        for currency in record.currencies
        if not any(
            wallet.active and wallet.currency == currency and wallet.network in record.networks
            for wallet in record.wallets
        )
    ]
    return tuple(found)
