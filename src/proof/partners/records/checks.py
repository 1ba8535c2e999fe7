"""Checks of a whole record. Each error begins with the path of the field it is about."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from ipaddress import ip_network
from urllib.parse import urlsplit

import msgspec

from proof.core.errors import InvalidInputError
from proof.partners.access.networks import is_very_wide, parse_network
from proof.partners.records.types import (
    AmountRange,
    EnvironmentRecord,
    PartnerRecord,
    Wallet,
    WidgetConfig,
)
from proof.partners.types import Environment
from proof.partners.wallets import ChainNetwork, check_address, coin_decimals, networks_of
from proof.partners.wallets.networks import AMOUNT

NAME_MAX = 200
_EMAIL_MAX = 254
_LIST_MAX = 500
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]+\.[^@\s.]+")

# RFC 5322, 3.2.3: with one of these characters a mail program reads two addresses, another address, or a
# comment.
_MAIL_SPECIALS = frozenset('()<>[]:;\\,"')

# RFC 6454 section 6.2, in ASCII: no user, path, query or fragment.
_ORIGIN = re.compile(r"https?://[A-Za-z0-9.\-_\[\]:]+")
_CURRENCY = re.compile(r"[A-Z0-9]{2,12}")
_SHOWN = 40
_FIAT = re.compile(r"[A-Z]{3}")

# The part of BCP 47 that widgets are translated in: a language, perhaps a script or region.
_LANG = re.compile(r"[a-z]{2,3}(-[A-Z][a-z]{3})?(-[A-Z]{2})?")
_THEME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_HTTPS = re.compile(r"https://[!-~]{1,2000}")


class InvalidFieldError(InvalidInputError):
    """The field at `path` is wrong: `production.wallets[0].address`."""

    def __init__(self, path: str, fact: str) -> None:
        super().__init__(f"{path}: {fact}")
        self.path = path
        self.fact = fact


@contextmanager
def field(name: str) -> Iterator[None]:
    """Whatever is found invalid inside is so in the field `name`."""
    try:
        yield
    except InvalidFieldError as error:
        raise InvalidFieldError(f"{name}.{error.path}", error.fact) from None
    except InvalidInputError as error:
        raise InvalidFieldError(name, error.message) from None


def checked(record: PartnerRecord) -> PartnerRecord:
    """The record with every value in its canonical form. Raises InvalidInputError.

    The webhook is not checked here: its policy is the outbound client's.
    """
    check_name(record.name)
    check_email(record.contact_email)
    if not record.production.ips:
        raise InvalidFieldError("production.ips", "at least one address or network is required")
    with field("production"):
        production = _environment(record.production, Environment.PRODUCTION)
    with field("sandbox"):
        sandbox = _environment(record.sandbox, Environment.SANDBOX)
    return msgspec.structs.replace(record, production=production, sandbox=sandbox)


def check_name(name: str) -> None:
    """A company's or product's name. Raises InvalidInputError."""
    if not name.strip() or len(name) > NAME_MAX or not name.isprintable():
        raise InvalidFieldError("name", f"1 to {NAME_MAX} printable characters are required")


def check_email(email: str) -> None:
    """One address of a mailbox. Raises InvalidInputError. Whether it takes mail is not checked."""
    if not is_email(email):
        raise InvalidFieldError("contact_email", f"{email!r} is not an e-mail address")


def is_email(text: str) -> bool:
    """Whether the text has the form of one address of a mailbox."""
    return (
        len(text) <= _EMAIL_MAX
        and bool(_EMAIL.fullmatch(text))
        and text.isprintable()
        and _MAIL_SPECIALS.isdisjoint(text)
    )


def is_https_url(text: str) -> bool:
    """Whether the text is an https URL with a plain host: ASCII, no user, at most 2,008 characters."""
    return bool(_HTTPS.fullmatch(text)) and _has_plain_host(text)


def very_wide(before: PartnerRecord, after: PartnerRecord) -> list[str]:
    """Networks, with the field they are in, that are new and wider than /8 (IPv4) or /32 (IPv6)."""
    found: list[str] = []
    for environment in Environment:
        old, new = before.environment(environment), after.environment(environment)
        found += [
            f"{environment}.{name}: {text}"
            for name in ("ips", "timestamp_ips")
            for text in getattr(new, name)
            if text not in getattr(old, name) and is_very_wide(ip_network(text))
        ]
    return found


def _environment(record: EnvironmentRecord, environment: Environment) -> EnvironmentRecord:
    result = msgspec.structs.replace(
        record,
        ips=_networks("ips", record.ips),
        timestamp_ips=_networks("timestamp_ips", record.timestamp_ips),
        currencies=_each("currencies", record.currencies, _currency),
        networks=_each("networks", record.networks, _chain_network),
        wallets=_wallets(record.wallets, environment),
        amounts=_amounts(record.amounts),
        widget_origins=_each("widget_origins", record.widget_origins, _ORIGINS[environment]),
    )
    with field("widget_config"):
        _check_widget_config(result.widget_config, result)
    return result


def _check_widget_config(config: WidgetConfig, environment: EnvironmentRecord) -> None:
    if config.type == "sell" and not environment.off_ramp:
        raise InvalidFieldError("type", "sell needs off_ramp, which is off")
    _among("currencies", config.currencies, environment.currencies)
    _among("networks", config.networks, environment.networks)
    fiats = _each("fiat_currencies", config.fiat_currencies, _fiat)
    with field("fiat_currency"):
        if config.fiat_currency and fiats and _fiat(config.fiat_currency) not in fiats:
            raise InvalidInputError(f"{config.fiat_currency} is not one of fiat_currencies")
        if config.fiat_currency:
            _fiat(config.fiat_currency)
    _matches("lang", config.lang, _LANG, "a language like en or pt-BR")
    _matches("theme", config.theme, _THEME, "a name like dark")
    if config.redirect_url and not is_https_url(config.redirect_url):
        raise InvalidFieldError("redirect_url", f"{config.redirect_url!r} is not an https URL")


def _wallets(wallets: Sequence[Wallet], environment: Environment) -> tuple[Wallet, ...]:
    _short("wallets", wallets)
    found: dict[tuple[str, str], Wallet] = {}
    for position, wallet in enumerate(wallets):
        with field(f"wallets[{position}]"):
            good = _wallet(wallet, environment)
            if (good.currency, good.network) in found:
                raise InvalidInputError(
                    f"there is another wallet for {good.currency} on {good.network}"
                )
            found[good.currency, good.network] = good
    return tuple(found[key] for key in sorted(found))


def _wallet(wallet: Wallet, environment: Environment) -> Wallet:
    network = _pair(wallet.currency, wallet.network)
    with field("address"):
        address = check_address(network, wallet.address, environment)
    return msgspec.structs.replace(wallet, address=address)


def _pair(currency: str, network: str) -> ChainNetwork:
    """The network of a pair that there is."""
    with field("currency"):
        _currency(currency)
    with field("network"):
        found = ChainNetwork(_chain_network(network))
        if coin_decimals(currency, found) is None:
            raise InvalidInputError(
                f"there is no {currency} on {network}; it is on {', '.join(networks_of(currency))}"
            )
    return found


def _amounts(ranges: Sequence[AmountRange]) -> tuple[AmountRange, ...]:
    _short("amounts", ranges)
    found: dict[tuple[str, str], AmountRange] = {}
    for position, amounts in enumerate(ranges):
        with field(f"amounts[{position}]"):
            coin = amounts.currency, amounts.network
            _pair(*coin)
            if coin in found:
                raise InvalidInputError(f"{amounts.currency} on {amounts.network} is named twice")
            found[coin] = _range(amounts)
    return tuple(found[key] for key in sorted(found))


def _range(amounts: AmountRange) -> AmountRange:
    for name in ("minimum", "maximum"):
        text = getattr(amounts, name)
        if text and not (AMOUNT.fullmatch(text) and Decimal(text)):
            raise InvalidFieldError(name, f"{text[:_SHOWN]!r} is not an amount over zero like 12.5")
    if amounts.minimum and amounts.maximum and Decimal(amounts.minimum) > Decimal(amounts.maximum):
        raise InvalidFieldError("maximum", "it is under the minimum")
    return amounts


def _networks(name: str, texts: Sequence[str]) -> tuple[str, ...]:
    parsed = {
        ip_network(text) for text in _each(name, texts, lambda text: str(parse_network(text)))
    }
    ordered = sorted(
        parsed,
        key=lambda network: (network.version, int(network.network_address), network.prefixlen),
    )
    return tuple(map(str, ordered))


def _each(name: str, texts: Sequence[str], check: Callable[[str], str]) -> tuple[str, ...]:
    """All checked, in their order, without repetition."""
    _short(name, texts)
    found: dict[str, None] = {}
    for position, text in enumerate(texts):
        with field(f"{name}[{position}]"):
            found[check(text)] = None
    return tuple(found)


def _short(name: str, values: Sequence[object]) -> None:
    if len(values) > _LIST_MAX:
        raise InvalidFieldError(name, f"at most {_LIST_MAX} are possible, not {len(values)}")


def _among(name: str, wanted: Sequence[str], enabled: Sequence[str]) -> None:
    _short(name, wanted)
    for position, value in enumerate(wanted):
        if value not in enabled:
            known = ", ".join(enabled) or "none"
            raise InvalidFieldError(
                f"{name}[{position}]", f"{value!r} is not enabled here; enabled: {known}"
            )


def _matches(name: str, text: str, pattern: re.Pattern[str], example: str) -> None:
    if text and not pattern.fullmatch(text):
        raise InvalidFieldError(name, f"{text!r} is not {example}")


def _currency(text: str) -> str:
    if not _CURRENCY.fullmatch(text):
        raise InvalidInputError(f"{text!r} is not a currency like USDT")
    return text


def _fiat(text: str) -> str:
    if not _FIAT.fullmatch(text):
        raise InvalidInputError(f"{text!r} is not a currency of ISO 4217 like EUR")
    return text


def _chain_network(text: str) -> str:
    if text not in set(ChainNetwork):
        raise InvalidInputError(f"{text!r} is not known; known: {', '.join(ChainNetwork)}")
    return text


def _origin(text: str) -> str:
    if not _ORIGIN.fullmatch(text) or not _has_host(text):
        raise InvalidInputError(f"{text!r} is not an origin like https://shop.example")
    return text


def _secure_origin(text: str) -> str:
    if not _origin(text).startswith("https://"):
        raise InvalidInputError(
            f"{text!r} is not https; in production the widget is embedded by https pages alone"
        )
    return text


_ORIGINS = {Environment.PRODUCTION: _secure_origin, Environment.SANDBOX: _origin}


def _has_plain_host(url: str) -> bool:
    return _has_host(url) and "@" not in urlsplit(url).netloc


def _has_host(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False
