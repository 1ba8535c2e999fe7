"""A request against what the operator set for the partner. Each error begins with the field it is about."""

import re
from collections.abc import Mapping
from decimal import Decimal
from ipaddress import ip_address
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from proof.core.errors import InvalidInputError
from proof.partners.records.checks import field, is_email, is_https_url
from proof.partners.types import Environment, SessionTerms
from proof.partners.wallets import ChainNetwork, check_address, coin_decimals, networks_of
from proof.ramp.amounts import amount_text, decimals, parse_amount
from proof.ramp.errors import (
    CurrencyNotAllowedError,
    NetworkNotAllowedError,
    OfframpDisabledError,
    WalletNotSupportedError,
)
from proof.ramp.providers.protocols import AmountRange
from proof.ramp.sessions.errors import OptionsDifferError
from proof.ramp.sessions.types import REFERENCE_MAX, USER_ID_MAX, SessionRequest, StoredParameters
from proof.ramp.types import TransactionType

_FIXED: Mapping[str, Any] = {
    "init_token_type": "sdk_partner_authorization",
    "fix_currency": True,
    "fix_amount": True,
    "fix_fiat_currency": False,
    "fix_fiat_amount": True,
}

_CAPITAL = re.compile(r"[A-Z]")

_SHOWN = 40

_ADDRESS_MAX = 128


def require_same(
    stored: StoredParameters, address: str, init_token: str, options: Mapping[str, Any]
) -> None:
    """Every option, in camelCase or snake_case, is what the session was opened with.

    Raises OptionsDifferError, which names the first that is not; an option that no session has differs too.
    """
    expected = {
        **msgspec.json.decode(msgspec.json.encode(stored)),
        **_FIXED,
        "address": address,
        "init_token": init_token,
        "fix_network": [stored.network],
    }
    for name, value in options.items():
        key = _CAPITAL.sub(lambda found: "_" + found[0].lower(), name)
        same = _same_amount if key == "amount" else _same
        if key not in expected or not same(expected[key], value):
            raise OptionsDifferError(
                f"{name[:_SHOWN]}: it is not what this session was opened with"
            )


def _same_amount(expected: str, value: Any) -> bool:
    """However many zeros it is written with: a page may have the number its backend sent."""
    try:
        return isinstance(value, str) and parse_amount(value) == parse_amount(expected)
    except InvalidInputError:
        return False


def _same(expected: Any, value: Any) -> bool:
    # Python takes True for 1, but a partner that sends it made a mistake.
    return type(expected) is type(value) and bool(expected == value)


class SessionValues(NamedTuple):
    """The values of a session that a request and the partner's terms make together."""

    type: TransactionType
    amount: Decimal
    address: str
    client_ip: str
    redirect_url: str
    partner_reference: str


def checked(
    request: SessionRequest, terms: SessionTerms, environment: Environment
) -> SessionValues:
    """What the session is opened with.

    Raises InvalidInputError or one of its kinds in `proof.ramp.errors`, OfframpDisabledError for a sell
    that the operator has not enabled. Whether anybody holds the address's key, or reads the e-mail, is not
    checked.
    """
    if not is_user_id(request.partner_user_id):
        raise InvalidInputError(
            f"partner_user_id: 1 to {USER_ID_MAX} printable characters are required"
        )
    if not is_email(request.user_email):
        raise InvalidInputError("user_email: an e-mail address is required")
    amount = parse_amount(request.amount)
    client_ip = _client_ip(request.client_ip)
    redirect_url = _redirect_url(request.redirect_url, terms)
    reference = _partner_reference(request.partner_reference)
    kind = TransactionType(terms.type if request.type is UNSET else request.type)
    if kind is TransactionType.SELL and not terms.off_ramp:
        raise OfframpDisabledError("type: selling is not enabled for you; ask the operator")
    _require_enabled(request, terms)
    address = _address(request, kind, terms, environment)
    return SessionValues(kind, amount, address, client_ip, redirect_url, reference)


def is_user_id(text: str) -> bool:
    """Whether a partner may call a user so; text that PostgreSQL does not take is not."""
    return 0 < len(text) <= USER_ID_MAX and text.isprintable() and not text.isspace()


def _client_ip(text: str | UnsetType) -> str:
    if text is UNSET:
        return ""
    try:
        # A zone names an interface of one machine.
        if "%" not in text:
            ip_address(text)
            return text
    except ValueError:
        pass
    raise InvalidInputError("client_ip: an IPv4 or IPv6 address is required")


def _partner_reference(text: str | UnsetType) -> str:
    if text is UNSET:
        return ""
    if len(text) > REFERENCE_MAX or not text.isprintable():
        raise InvalidInputError(
            f"partner_reference: at most {REFERENCE_MAX} printable characters are possible"
        )
    return text


def _redirect_url(text: str | UnsetType, terms: SessionTerms) -> str:
    if text is UNSET:
        return terms.redirect_url
    if not is_https_url(text):
        raise InvalidInputError("redirect_url: an https URL of at most 2008 characters is required")
    return text


def _require_enabled(request: SessionRequest, terms: SessionTerms) -> None:
    if request.currency not in terms.currencies:
        raise CurrencyNotAllowedError(
            f"currency: {request.currency[:_SHOWN]!r} is not enabled for you;"
            f" enabled: {', '.join(terms.currencies) or 'none'}"
        )
    if request.network not in terms.networks:
        raise NetworkNotAllowedError(
            f"network: {request.network[:_SHOWN]!r} is not enabled for you;"
            f" enabled: {', '.join(terms.networks) or 'none'}"
        )


def _address(
    request: SessionRequest, kind: TransactionType, terms: SessionTerms, environment: Environment
) -> str:
    # The coins of a sell that are given back go to the partner's wallet, whatever the request says.
    own = terms.own_address and request.address is not UNSET and kind is TransactionType.BUY
    wallet = terms.wallets.get((request.currency, request.network))
    if wallet is None and not own:
        raise WalletNotSupportedError(
            f"network: there is no active wallet for {request.currency} on {request.network};"
            " ask the operator"
        )
    _require_pair(request)
    if not own or request.address is UNSET:
        return wallet or ""
    with field("address"):
        if len(request.address) > _ADDRESS_MAX:
            raise InvalidInputError(f"no address has over {_ADDRESS_MAX} characters")
        return check_address(ChainNetwork(request.network), request.address, environment)


def _require_pair(request: SessionRequest) -> None:
    """Coins sent over a network that they are not on are lost. Both are enabled, so both are known."""
    if coin_decimals(request.currency, ChainNetwork(request.network)) is None:
        known = ", ".join(networks_of(request.currency))
        raise NetworkNotAllowedError(
            f"network: there is no {request.currency} on {request.network}; it is on {known}"
        )


def require_in_range(
    amount: Decimal,
    request: SessionRequest,
    terms: SessionTerms,
    provided: Mapping[str, AmountRange],
) -> None:
    """The amount can be written in the coin, and is one that may be bought or sold at once: as the operator
    set it for the pair, or else as the provider takes it.

    Raises InvalidInputError that names the bound.
    """
    coin = f"{request.currency} on {request.network}"
    most = coin_decimals(request.currency, ChainNetwork(request.network)) or 0
    if decimals(amount_text(amount)) > most:
        raise InvalidInputError(f"amount: {coin} has at most {most} decimals")
    minimum, maximum = terms.amounts.get((request.currency, request.network), (None, None))
    bounds = provided.get(request.currency)
    if bounds is not None:
        minimum = bounds.minimum if minimum is None else minimum
        maximum = bounds.maximum if maximum is None else maximum
    if minimum is not None and amount < minimum:
        raise InvalidInputError(f"amount: the minimum is {amount_text(minimum)} {coin}")
    if maximum is not None and amount > maximum:
        raise InvalidInputError(f"amount: the maximum is {amount_text(maximum)} {coin}")
