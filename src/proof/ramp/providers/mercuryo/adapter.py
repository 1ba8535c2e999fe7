"""Mercuryo as a provider: its own widget, its own verdict on who the user is."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal
from urllib.parse import quote

import msgspec

from proof.outbound import InvalidTargetError, OutboundError, OutboundReply, on_behalf_of
from proof.ramp.amounts import amount_text
from proof.ramp.errors import (
    CallbackRefusedError,
    ProviderAnswerError,
    ProviderError,
    ProviderUnavailableError,
)
from proof.ramp.providers.mercuryo import wire
from proof.ramp.providers.protocols import (
    Account,
    Handover,
    Observation,
    ProviderStatus,
    Reach,
    Subject,
)
from proof.ramp.types import KycStatus, TransactionType

_INIT_TOKEN_TYPE = "sdk_partner_authorization"  # noqa: S105 - the name of a kind, not a token
_PAID = frozenset(
    {ProviderStatus.PROCESSING, ProviderStatus.COMPLETED, ProviderStatus.UNDELIVERABLE}
)


class MercuryoAdapter:
    """OpensSessions, TranslatesCallbacks, ConfirmsEnds, ReportsKyc."""

    # A callback does not say whether it is the newest, so before a transaction ends the provider is asked.
    confirms_ends: Literal[True] = True

    def __init__(self, reach: Reach) -> None:
        self._client = reach.client

    async def open(self, account: Account, subject: Subject) -> Handover:
        """Sign the user in, or up if Mercuryo does not know the e-mail; what its widget is opened with.

        `client_ip` is the address the page was opened from: Mercuryo's signature holds it.
        """
        if not subject.email or not subject.client_ip:
            raise ProviderError("Mercuryo needs the user's e-mail and address, which were erased")
        token = await self._init_token(account, subject.email, subject.client_ip)
        return Handover(account.credentials["widget_url"], _parameters(account, subject, token))

    def verify(self, account: Account, headers: Mapping[str, str], body: bytes) -> str:
        return wire.verify(account.credentials["sign_key"], headers, body)

    def identity(self, body: bytes) -> bytes:
        return wire.identity(body)

    def translate(self, body: bytes) -> Observation:
        leg = wire.callback_leg(body)
        return wire.observation(leg.type, leg)

    async def poll(self, account: Account, subject: Subject) -> Sequence[Observation]:
        """Every leg of every attempt, the oldest first."""
        wanted = quote(str(subject.merchant_transaction_id), safe="")
        url = f"{account.credentials['api_url']}/sdk-partner/transactions"
        reply = await self._get(account, f"{url}?merchant_transaction_id={wanted}")
        try:
            legs = wire.answered_legs(_data(reply))
            said = [(wire.observation(kind, leg), wire.order(kind)) for kind, leg in legs]
        except CallbackRefusedError as error:
            raise ProviderAnswerError(f"Mercuryo's answer: {error.message}") from None
        said.sort(key=lambda pair: (pair[0].occurred_at, pair[1]))
        return [observation for observation, _ in said]

    async def kyc(self, account: Account, subject: Subject) -> KycStatus:
        """What its transactions tell: the API answers about a user's papers to that user alone, and takes
        no payment from one it does not accept. So a user who paid is verified and one who began is pending;
        that Mercuryo refused somebody is not seen here."""
        said = await self.poll(account, subject)
        if any(observation.verdict in _PAID for observation in said):
            return KycStatus.VERIFIED
        return KycStatus.PENDING if said else KycStatus.NOT_STARTED

    async def _init_token(self, account: Account, email: str, client_ip: str) -> tuple[str, str]:
        """The token and its type."""
        reply = await self._post(account, "/sdk-partner/login", {"email": email}, client_ip)
        if reply.status == 404:
            wanted = {"email": email, "accept": True}
            reply = await self._post(account, "/sdk-partner/sign-up", wanted, client_ip)
        try:
            found = msgspec.json.decode(_data(reply), type=_InitToken)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise ProviderAnswerError("Mercuryo's answer has no init_token") from None
        kind = found.init_token_type or found.init_type_token or _INIT_TOKEN_TYPE
        return found.init_token, kind

    async def _post(
        self, account: Account, path: str, body: Mapping[str, Any], client_ip: str
    ) -> OutboundReply:
        headers = _headers(account) | {"b2b-user-ip": client_ip}
        url = account.credentials["api_url"] + path
        try:
            with on_behalf_of(account.partner_environment_id):
                return await self._client.post(url, msgspec.json.encode(body), headers)
        except (OutboundError, InvalidTargetError) as error:
            raise ProviderUnavailableError(f"Mercuryo: {error.message}") from None

    async def _get(self, account: Account, url: str) -> OutboundReply:
        try:
            with on_behalf_of(account.partner_environment_id):
                return await self._client.get(url, _headers(account))
        except (OutboundError, InvalidTargetError) as error:
            raise ProviderUnavailableError(f"Mercuryo: {error.message}") from None


def _headers(account: Account) -> dict[str, str]:
    return {
        "content-type": "application/json",
        "accept": "application/json",
        "sdk-partner-token": account.credentials["sdk_partner_token"],
    }


class _Answer(msgspec.Struct):
    data: msgspec.Raw


class _InitToken(msgspec.Struct):
    """The type's name differs between two of Mercuryo's documents."""

    init_token: str
    init_token_type: str = ""
    init_type_token: str = ""


def _data(reply: OutboundReply) -> bytes:
    """The `data` of an answer, as JSON. Raises ProviderError and its kinds; nothing of the body is
    repeated, because it may hold what it was asked with."""
    if reply.status >= 500 or reply.status == 429:
        raise ProviderUnavailableError(f"Mercuryo answered {reply.status}")
    if reply.status != 200:
        raise ProviderError(f"Mercuryo refused with {reply.status}")
    if reply.truncated:
        raise ProviderAnswerError("Mercuryo's answer is too long or broke off")
    try:
        return bytes(msgspec.json.decode(reply.body, type=_Answer).data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ProviderAnswerError("Mercuryo's answer is not JSON, or has no data") from None


def _parameters(account: Account, subject: Subject, token: tuple[str, str]) -> dict[str, object]:
    name, address = str(subject.merchant_transaction_id), subject.address or ""
    signature = wire.session_signature(
        address, account.credentials["widget_secret"], subject.client_ip or "", name
    )
    network = wire.NETWORKS.get(subject.network, subject.network)
    parameters: dict[str, object] = {
        "widgetId": account.credentials["widget_id"],
        "type": subject.type.value,
        "currency": subject.currency,
        "fixCurrency": True,
        "network": network,
        "fixNetwork": True,
        "amount": amount_text(subject.crypto_amount),
        "fixAmount": True,
        "address": address,
        "merchantTransactionId": name,
        "signature": signature,
        "initToken": token[0],
        "initTokenType": token[1],
    }
    if subject.fiat_currency:
        parameters["fiatCurrency"] = subject.fiat_currency
    if subject.type is TransactionType.SELL:
        parameters["refundAddress"] = address
    return parameters
