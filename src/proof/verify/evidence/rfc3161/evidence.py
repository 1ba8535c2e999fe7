"""Evidence of type `rfc3161`: a time-stamping authority's token over the root.

    {"type": "rfc3161", "token": hex(der)}

The token's message imprint is the root itself, taken as the SHA-256 that it is. Nothing in a token ties
it to an authority but its certificate, so the caller must name the certificate by its SHA-256; whether
a CA vouches for it is for other programs to say (`openssl ts -verify -token_in`).

Sources: the timestamp API contract, "POST /v1/proof" (evidence); RFC 3161, RFC 5652, RFC 5816.
"""

import hashlib
from typing import Final

from proof.verify.errors import (
    CurrencyMismatchError,
    TimestampMismatchError,
    TokenFormatError,
    TokenImprintError,
    TokenKeyError,
    TokenSignatureError,
    TransactionMismatchError,
    quoted,
)
from proof.verify.established import ClaimedTree, Established, TokenInclusion, utc_text
from proof.verify.evidence.kinds import Caller
from proof.verify.evidence.rfc3161 import der, ecdsa, rsa
from proof.verify.evidence.rfc3161.certificate import PublicKey
from proof.verify.evidence.rfc3161.token import MAX_TOKEN_BYTES, SHA2, Token, TstInfo, parse_token
from proof.verify.merkle import Branch
from proof.verify.strict_json import hex_bytes

CURRENCY_ID: Final = 901

CURRENCY: Final = "TSA"

_EC_KEY: Final = "1.2.840.10045.2.1"

_RSA_KEY: Final = "1.2.840.113549.1.1.1"

_CURVES: Final = {"1.2.840.10045.3.1.7": ecdsa.P256, "1.3.132.0.34": ecdsa.P384}


# Which digest a signature algorithm names (RFC 5754, 3); None leaves it to the signer's digest.
_ECDSA: Final[dict[str, str | None]] = {
    "1.2.840.10045.4.3.2": "sha256",
    "1.2.840.10045.4.3.3": "sha384",
    "1.2.840.10045.4.3.4": "sha512",
}

_RSA: Final[dict[str, str | None]] = {
    _RSA_KEY: None,
    "1.2.840.113549.1.1.11": "sha256",
    "1.2.840.113549.1.1.12": "sha384",
    "1.2.840.113549.1.1.13": "sha512",
}


def verify_rfc3161(
    branch: Branch, tree: ClaimedTree, evidence: dict[str, object], caller: Caller
) -> Established:
    """Steps 5 to 7 of `verify_payload`, for a root in a time-stamp token.

    Raises HexError, MemberError, the errors of `parse_token`, TokenImprintError, TokenKeyError,
    TokenSignatureError; CurrencyMismatchError, TransactionMismatchError (`tree.transaction` is the token's
    serial number in decimal) and TimestampMismatchError when `tree` says otherwise. A signature of a kind
    that is not known here is not refused: `remaining` names it. Not checked: who issued the certificate,
    revocation, the nonce and the policy.
    """
    token = parse_token(hex_bytes(evidence.get("token"), "evidence.token", 1, MAX_TOKEN_BYTES))
    check_imprint(token.info, branch.root)  # 5
    _check_tree(tree, token.info)
    checked = check_signature(token)  # 6
    found = TokenInclusion(
        serial=token.info.serial,
        policy=token.info.policy,
        time_ms=token.info.time_ms,
        accuracy_us=token.info.accuracy_us,
        certificate=token.certificate.sha256,
        signature_checked=checked,
        tied=checked and token.certificate.sha256 in caller.chains.tsa_certificates,  # 7
    )
    return Established.of(
        branch,
        tree,
        found.time_ms if found.tied else None,
        () if found.tied else (_remaining(found, token, branch.root),),
        found=found,
    )


def check_imprint(info: TstInfo, root: bytes) -> None:
    """Whether a token is over the 32-byte root, as a SHA-256. Raises TokenImprintError."""
    if SHA2.get(info.imprint_algorithm) != "sha256" or info.imprint != root:
        raise TokenImprintError("the token is over something else than the root")


def check_signature(token: Token) -> bool:
    """Whether the token is signed under its certificate; False when that cannot be told here.

    Told are ECDSA on P-256 and P-384, and RSA PKCS #1 v1.5. Raises TokenFormatError for two digests,
    TokenKeyError for a key that is none of these or weak, TokenSignatureError, DerError.
    """
    algorithm, key = token.signature_algorithm, token.certificate.key
    if algorithm not in _ECDSA and algorithm not in _RSA:
        return False
    if (_ECDSA | _RSA)[algorithm] not in {None, token.digest_name}:
        raise TokenFormatError("the token's signature is made with another digest than it names")
    digest = hashlib.new(token.digest_name, token.signed).digest()
    if algorithm in _RSA:
        right = _rsa(key, token, digest)
    elif key.algorithm == _EC_KEY and key.curve is not None and key.curve not in _CURVES:
        return False
    else:
        right = _ecdsa(key, token, digest)
    if not right:
        raise TokenSignatureError("the token's signature is not that of its certificate's key")
    return True


def _ecdsa(key: PublicKey, token: Token, digest: bytes) -> bool:
    if key.algorithm != _EC_KEY or key.curve is None:
        raise TokenKeyError("the token is signed with ECDSA, but the certificate's key is another")
    values = der.only(token.signature, der.SEQUENCE, "the token's signature")
    r, s = values.integer(), values.integer()
    values.end()
    return ecdsa.verify(_CURVES[key.curve], key.bits, digest, r, s)


def _rsa(key: PublicKey, token: Token, digest: bytes) -> bool:
    if key.algorithm != _RSA_KEY:
        raise TokenKeyError("the token is signed with RSA, but the certificate's key is another")
    values = der.only(key.bits, der.SEQUENCE, "the certificate's key")
    modulus, exponent = values.integer(), values.integer()
    values.end()
    if not rsa.usable(modulus, exponent):
        raise TokenKeyError(
            f"the certificate's RSA key has not {rsa.MIN_BITS} to {rsa.MAX_BITS} bits,"
            " or no exponent of common size"
        )
    return rsa.verify(modulus, exponent, token.digest_name, digest, token.signature)


def _check_tree(tree: ClaimedTree, info: TstInfo) -> None:
    if tree.currency_id != CURRENCY_ID or tree.currency != CURRENCY:
        raise CurrencyMismatchError(
            f"the evidence is a time-stamp token, but the tree names currency {tree.currency_id} "
            f"({quoted(tree.currency)}) instead of {CURRENCY_ID} ({CURRENCY})"
        )
    if tree.transaction != str(info.serial):
        raise TransactionMismatchError(
            f"the token's serial number is {info.serial}, but tree.transaction is "
            f"{quoted(tree.transaction)}"
        )
    if tree.timestamp_ms != info.time_ms:
        raise TimestampMismatchError(
            f"tree.timestamp is {tree.timestamp_ms}, but the token's time is {info.time_ms}"
        )


def _remaining(found: TokenInclusion, token: Token, root: bytes) -> str:
    named = f"the certificate with SHA-256 {found.certificate.hex()}"
    if found.signature_checked:
        missing = f"You did not name {named}, so nothing says whose signature the token has"
    else:
        missing = (
            f"The token's signature, of kind {token.signature_algorithm} under {named}, is of none that"
            " this verifier checks"
        )
    return (
        f"{missing}; the time {utc_text(found.time_ms)} is only what the token says. With the"
        f" authority's CA, `openssl ts -verify -digest {root.hex()} -token_in -in TOKEN -CAfile CA`"
        " checks it; TOKEN holds the bytes of evidence.token."
    )
