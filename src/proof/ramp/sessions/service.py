"""Opening sessions for partners' backends, and what they may read of them.

Opening calls no provider and is part of one statement, so it either happened whole or not at all. What it
needs besides is in memory: the partner's terms come with the credential, the ring of signing keys and the
names of providers are read at most once a second.
"""

import asyncio
import hashlib
import hmac
import secrets
import time
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

import msgspec

from proof.core.clock import Clock, moment_text
from proof.core.errors import CallerError, InvalidInputError, NotFoundError
from proof.core.secrets import Vault
from proof.db import Connection, Database, random_id
from proof.partners.keys import session_signing
from proof.partners.keys.session_signing import Ring
from proof.partners.types import Environment, PartnerEnvironment, SessionTerms
from proof.ramp import personal, users
from proof.ramp.amounts import amount_text
from proof.ramp.errors import (
    IdempotencyInProgressError,
    IdempotencyMismatchError,
    NoProviderError,
)
from proof.ramp.personal import Kind
from proof.ramp.providers.registry import provider_named
from proof.ramp.records import Opening
from proof.ramp.sessions import queries
from proof.ramp.sessions.checks import SessionValues, checked, is_user_id, require_in_range
from proof.ramp.sessions.errors import ParameterError
from proof.ramp.sessions.opening import Opener
from proof.ramp.sessions.provider import ProviderNames
from proof.ramp.sessions.tokens import SESSION_ID_BYTES, body_mac, init_token
from proof.ramp.sessions.types import (
    USER_ID_MAX,
    KycView,
    SessionRequest,
    StoredParameters,
    TransactionView,
    WidgetParameters,
)
from proof.ramp.types import Status, TransactionType
from proof.ramp.wire import money_fields, refund_fields

INIT_LIFETIME = timedelta(hours=1)

KEY_MAX = 255

# The currencies that the widget offers where the operator set none.
FIAT_CURRENCIES = ("EUR", "USD", "GBP")


_RING_S = 1.0

# The pauses of a duplicate that waits for the first request with its key: a transaction takes milliseconds.
_PAUSES_S = (0.02, 0.04, 0.08, 0.16, 0.32)


_encode = msgspec.json.Encoder().encode


class SessionAnswer(NamedTuple):
    """The answer, and whether an earlier request with the same key got it first."""

    parameters: WidgetParameters
    replayed: bool


def transaction_id_of(text: str) -> UUID:
    """A transaction's id as a path has it. Raises ParameterError."""
    try:
        return UUID(text)
    except ValueError:
        raise ParameterError("merchant_transaction_id: a UUID is required") from None


class Sessions:
    """Sessions of one process. `start` before any is opened, `close` writes what was accepted."""

    def __init__(self, database: Database, vault: Vault, clock: Clock) -> None:
        self._database = database
        self._vault = vault
        self._clock = clock
        self._opener = Opener(database, clock)
        self._providers = ProviderNames(database)
        self._rings: dict[Environment, tuple[float, Ring]] = {}

    def start(self) -> None:
        self._opener.start()

    async def close(self) -> None:
        await self._opener.close()

    async def open(
        self, owner: PartnerEnvironment, request: SessionRequest, key: str | None = None
    ) -> SessionAnswer:
        """Open a session, or answer again what the key was answered within the last 24 hours.

        Raises what `checked` and `require_in_range` do, NoProviderError, IdempotencyMismatchError when the
        key came with another body, IdempotencyInProgressError when a request with the key is still under
        way.
        """
        ring = await self._ring(owner.environment)
        try:
            terms = checked(request, owner.terms, owner.environment)
            provider = await self._providers.of(owner)
            require_in_range(terms.amount, request, owner.terms, provider_named(provider).amounts)
        except (CallerError, NoProviderError):
            # A request that was answered before is answered again, even if what it asks for was disabled
            # since.
            if key is not None and (again := await self._replayed(owner, request, key)) is not None:
                return again
            raise
        return await self._opened(owner, request, terms, ring, key)

    async def transaction(self, owner: PartnerEnvironment, text: str) -> TransactionView:
        """A transaction of this partner's. Raises ParameterError, NotFoundError."""
        transaction_id = transaction_id_of(text)
        async with self._database.connection() as connection:
            row = await queries.select_transaction(connection, owner.id, transaction_id)
        if row is None:
            raise NotFoundError(f"there is no transaction {transaction_id}")
        return TransactionView(
            merchant_transaction_id=row["id"],
            partner_user_id=row["partner_user_id"],
            partner_reference=row["partner_reference"],
            type=TransactionType(row["type"]),
            status=Status(row["status"]),
            currency=row["currency"],
            network=row["network"],
            created_at=moment_text(row["created_at"]),
            record_sha256=(row["event_sha256"] or b"").hex(),
            **money_fields(row.__getitem__),
            **refund_fields(row.__getitem__),
        )

    async def kyc_status(self, owner: PartnerEnvironment, partner_user_id: str) -> KycView:
        """How far a user of this partner's is identified. Raises ParameterError, NotFoundError."""
        if not is_user_id(partner_user_id):
            raise ParameterError(
                f"partner_user_id: 1 to {USER_ID_MAX} printable characters are required"
            )
        async with self._database.connection() as connection:
            status = await users.kyc_of(connection, owner.id, partner_user_id)
        if status is None:
            raise NotFoundError("there is no such user of yours")
        return KycView(partner_user_id=partner_user_id, status=status)

    async def _opened(
        self,
        owner: PartnerEnvironment,
        request: SessionRequest,
        terms: SessionValues,
        ring: Ring,
        key: str | None,
    ) -> SessionAnswer:
        stored_key = None if key is None else _key(ring, owner.id, key, request)
        new, parameters = self._new(owner, request, terms, ring, stored_key)
        for pause_s in (*_PAUSES_S, None):
            written = await self._opener.write(new)
            if written.opened:
                return SessionAnswer(parameters, replayed=False)
            if written.free:
                again = None if key is None else await self._replayed(owner, request, key)
                if again is not None:
                    return again
            if pause_s is not None:
                await asyncio.sleep(pause_s)
        raise IdempotencyInProgressError(
            "a request with this Idempotency-Key is still under way; try again in a second"
        )

    def _new(
        self,
        owner: PartnerEnvironment,
        request: SessionRequest,
        terms: SessionValues,
        ring: Ring,
        key: queries.Key | None,
    ) -> tuple[queries.NewSession, WidgetParameters]:
        transaction_id, session_id = random_id(), secrets.token_bytes(SESSION_ID_BYTES)
        signature = ring.sign(
            session_signing.SessionParameters(terms.address, terms.client_ip, str(transaction_id))
        )
        stored = _stored(owner.terms, request, terms, transaction_id, signature)
        values = [(Kind.EMAIL, request.user_email), (Kind.ADDRESS, terms.address)]
        if terms.client_ip:
            values.append((Kind.CLIENT_IP, terms.client_ip))
        secret, sealed_secret = personal.new_secret(self._vault)
        opening = Opening(
            type=terms.type,
            currency=request.currency,
            network=request.network,
            crypto_amount=stored.amount,
            fiat_currency=stored.fiat_currency,
            partner_user_id=request.partner_user_id,
            partner_reference=terms.partner_reference,
            user_email=request.user_email,
            address=terms.address,
        )
        new = queries.NewSession(
            partner_environment_id=owner.id,
            key=key,
            id=session_id,
            transaction_id=transaction_id,
            signing_key_id=ring.ids[0],
            amount=terms.amount,
            parameters=_encode(stored).decode(),
            personal=[
                *(personal.seal(self._vault, kind, value) for kind, value in values),
                sealed_secret,
            ],
            init_lifetime=INIT_LIFETIME,
            partner_id=owner.partner_id,
            environment=owner.environment,
            secret=secret,
            opening=opening,
        )
        token = init_token(ring, ring.ids[0], session_id)
        return new, _answer(stored, terms.address, token)

    async def _replayed(
        self, owner: PartnerEnvironment, request: SessionRequest, key: str
    ) -> SessionAnswer | None:
        async with self._database.connection() as connection:
            row = await queries.stored_session(
                connection, owner.id, _key_sha256(key), self._clock.now()
            )
            if row is None:
                return None
            ring = await self._read_ring(connection, owner.environment)
            if row["signing_key_id"] not in ring.ids:
                raise NotFoundError(
                    "Idempotency-Key: the session it opened was withdrawn since; send another key for a"
                    " new session"
                )
            mac = body_mac(ring, row["signing_key_id"], _canonical(request))
            if not hmac.compare_digest(mac, row["body_mac"]):
                raise IdempotencyMismatchError(
                    "Idempotency-Key: it was used within the last 24 hours with another body"
                )
            known = await personal.read(connection, self._vault, row["transaction_id"])
        if Kind.ADDRESS not in known:
            raise NotFoundError("the user of this session was erased since")
        stored = msgspec.json.decode(row["parameters"], type=StoredParameters)
        token = init_token(ring, row["signing_key_id"], row["id"])
        return SessionAnswer(_answer(stored, known[Kind.ADDRESS], token), replayed=True)

    async def _ring(self, environment: Environment) -> Ring:
        read_at, ring = self._rings.get(environment, (float("-inf"), None))
        if ring is None or time.monotonic() - read_at > _RING_S:
            asked_at = time.monotonic()
            async with self._database.connection() as connection:
                ring = await self._read_ring(connection, environment)
            self._rings[environment] = (asked_at, ring)
        return ring

    async def _read_ring(self, connection: Connection, environment: Environment) -> Ring:
        return await session_signing.open_ring(
            connection, self._vault, environment, self._clock.now()
        )


def check_key(key: str) -> str:
    """An idempotency key as sent. Raises InvalidInputError unless it is 1 to KEY_MAX printable ASCII
    characters."""
    if 0 < len(key) <= KEY_MAX and key.isascii() and key.isprintable():
        return key
    raise InvalidInputError(
        f"Idempotency-Key: 1 to {KEY_MAX} printable ASCII characters are required"
    )


def _key(ring: Ring, owner_id: int, key: str, request: SessionRequest) -> queries.Key:
    sha256 = _key_sha256(key)
    lock = hashlib.sha256(b"idempotency %d " % owner_id + sha256).digest()[:8]
    mac = body_mac(ring, ring.ids[0], _canonical(request))
    return queries.Key(sha256, int.from_bytes(lock, "big", signed=True), mac)


def _key_sha256(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def _canonical(request: SessionRequest) -> bytes:
    # All members are text, so sorting them is all that canonical JSON (RFC 8785) asks for.
    return msgspec.json.encode(request, order="sorted")


def _stored(
    terms: SessionTerms,
    request: SessionRequest,
    values: SessionValues,
    transaction_id: UUID,
    signature: str,
) -> StoredParameters:
    fiats = terms.fiat_currencies or tuple(
        dict.fromkeys((terms.fiat_currency or FIAT_CURRENCIES[0], *FIAT_CURRENCIES))
    )
    return StoredParameters(
        merchant_transaction_id=str(transaction_id),
        widget_id=terms.widget_id,
        signature=signature,
        currency=request.currency,
        currencies=_offered(terms.shown_currencies or terms.currencies, request.currency),
        network=request.network,
        networks=_offered(terms.shown_networks or terms.networks, request.network),
        amount=amount_text(values.amount),
        fiat_currency=terms.fiat_currency or fiats[0],
        fiat_currencies=fiats,
        type=values.type,
        lang=terms.lang,
        theme=terms.theme,
        redirect_url=values.redirect_url,
    )


def _offered(shown: tuple[str, ...], text: str) -> tuple[str, ...]:
    """What the widget offers, which holds the one it is opened with."""
    return shown if text in shown else (*shown, text)


def _answer(stored: StoredParameters, address: str, token: str) -> WidgetParameters:
    kept = msgspec.structs.asdict(stored)
    return WidgetParameters(
        **kept, address=address, init_token=token, fix_network=(stored.network,)
    )
