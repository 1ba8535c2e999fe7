"""The partner gate: token, environment, scope, address. Origin stands before it, rate after it."""

import hmac

from proof.core.clock import Clock
from proof.partners.directory import Directory
from proof.partners.errors import (
    AddressNotAllowedError,
    InvalidTokenError,
    MissingTokenError,
    ScopeError,
)
from proof.partners.networks import Address, allows
from proof.partners.tokens import parse_token
from proof.partners.types import Credential, CredentialKind, Environment, PartnerEnvironment

_NO_HASH = bytes(32)


async def admit(
    directory: Directory,
    clock: Clock,
    token: str | None,
    environment: Environment,
    kind: CredentialKind,
    address: Address,
) -> PartnerEnvironment:
    """Whose call this is.

    Raises MissingTokenError, InvalidTokenError, ScopeError or AddressNotAllowedError, in that order;
    only the last two tell anything, and only to the holder of a valid token.
    """
    if not token:
        raise MissingTokenError("send your credential as Authorization: Bearer or x-api-key")
    credential = await _authenticate(directory, clock, token, environment)
    if credential.owner.suspended:
        raise ScopeError("this partner is suspended; ask the operator")
    if credential.kind is not kind:
        raise ScopeError(f"this call needs a {kind}; the credential sent is a {credential.kind}")
    networks = credential.owner.allowlists[kind]
    open_to_any = kind is CredentialKind.API_KEY and not networks
    if not open_to_any and not allows(networks, address):
        raise AddressNotAllowedError(
            f"{address} is not on the allowlist of {kind} in {environment}; ask the operator to add it"
        )
    return credential.owner


async def _authenticate(
    directory: Directory, clock: Clock, token: str, environment: Environment
) -> Credential:
    parsed = parse_token(token)
    found = await directory.find(parsed.key_id) if parsed else None
    expected = found.token_sha256 if found else _NO_HASH
    presented = parsed.sha256 if parsed else _NO_HASH
    genuine = hmac.compare_digest(expected, presented)
    if found is None or not genuine or _over(found, clock):
        raise InvalidTokenError("the credential is not valid here")
    if found.owner.environment is not environment:
        raise InvalidTokenError("the credential is not valid here")
    return found


def _over(credential: Credential, clock: Clock) -> bool:
    if credential.revoked_at is not None:
        return True
    return credential.expires_at is not None and credential.expires_at <= clock.now()
