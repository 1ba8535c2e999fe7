"""Issuing tokens (RFC 3161, 2.4.2; CMS: RFC 5652; ESS certificate id: RFC 5816)."""

import hashlib
import secrets
import ssl
from datetime import datetime

from proof.timestamps.tsa import der
from proof.timestamps.tsa.authority import Authority
from proof.timestamps.tsa.request import DIGESTS, Failure, RejectedError, Request

_SERIAL_BITS = 159  # at most 160 are allowed, and the first stays clear of the sign
_GRANTED = der.sequence(der.integer(0))
_TST_INFO = der.object_identifier("1.2.840.113549.1.9.16.1.4")
_SIGNED_DATA = der.object_identifier("1.2.840.113549.1.7.2")
_CONTENT_TYPE = der.object_identifier("1.2.840.113549.1.9.3")
_MESSAGE_DIGEST = der.object_identifier("1.2.840.113549.1.9.4")
_SIGNING_CERTIFICATE_V2 = der.object_identifier("1.2.840.113549.1.9.16.2.47")
_SHA256 = der.sequence(der.object_identifier("2.16.840.1.101.3.4.2.1"))
# Encoded once: an identifier and its parameters, which are echoed as they came.
_ALGORITHMS = {
    (name, has_null): der.sequence(
        der.object_identifier(name), der.tlv(der.NULL) if has_null else b""
    )
    for name in DIGESTS
    for has_null in (False, True)
}


class TokenIssuer:
    """Makes the answers of one authority. It never looks at a clock: the time comes with the call."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority
        self._policy = der.object_identifier(authority.policy)
        self._accuracy = _accuracy(authority.accuracy_ms)
        self._fixed_attributes = (
            der.sequence(_CONTENT_TYPE, der.set_of(_TST_INFO)),
            der.sequence(
                _SIGNING_CERTIFICATE_V2,
                # SHA-256 is the default of ESSCertIDv2, so DER leaves it out.
                der.set_of(
                    der.sequence(der.sequence(der.sequence(_octets(authority.certificate_sha256))))
                ),
            ),
        )
        self._signer = der.sequence(authority.issuer, der.integer(authority.serial_number))
        self._chain = der.tlv(0xA0, *sorted(authority.chain))
        self.chain_pem = b"".join(map(_pem, authority.chain))

    def issue(self, request: Request, at: datetime) -> bytes:
        """A granted TimeStampResp as DER. Raises RejectedError for a policy that is not ours."""
        if request.policy not in {None, self._authority.policy}:
            raise RejectedError(
                Failure.UNACCEPTED_POLICY, f"the policy here is {self._authority.policy}"
            )
        if at >= self._authority.valid_until:
            raise RejectedError(Failure.SYSTEM_FAILURE, "the authority's certificate has expired")
        content = self._tst_info(request, at)
        attributes = (
            *self._fixed_attributes,
            der.sequence(_MESSAGE_DIGEST, der.set_of(_octets(hashlib.sha256(content).digest()))),
        )
        signed = der.set_of(*attributes)
        signature = self._authority.sign(signed)
        signer_info = der.sequence(
            der.integer(1),
            self._signer,
            _SHA256,
            # The signature covers the SET; in the message the same octets carry an implicit tag.
            b"\xa0" + signed[1:],
            self._authority.signature_algorithm,
            _octets(signature),
        )
        return der.sequence(_GRANTED, self._signed_data(content, signer_info, request.certificates))

    def _signed_data(self, content: bytes, signer_info: bytes, certificates: bool) -> bytes:
        signed_data = der.sequence(
            der.integer(3),
            der.set_of(_SHA256),
            der.sequence(_TST_INFO, der.explicit(0, _octets(content))),
            self._chain if certificates else b"",
            der.set_of(signer_info),
        )
        return der.sequence(_SIGNED_DATA, der.explicit(0, signed_data))

    def _tst_info(self, request: Request, at: datetime) -> bytes:
        return der.sequence(
            der.integer(1),
            self._policy,
            _imprint(request),
            der.integer(secrets.randbits(_SERIAL_BITS) | 1),
            der.generalized_time(at),
            self._accuracy,
            b"" if request.nonce is None else der.integer(request.nonce),
        )


def rejection(rejected: RejectedError) -> bytes:
    """A TimeStampResp that says why there is no token."""
    bits = bytearray(rejected.failure // 8 + 1)
    bits[-1] = 0x80 >> (rejected.failure % 8)
    unused = 7 - rejected.failure % 8
    status = der.sequence(
        der.integer(2),
        der.sequence(der.tlv(der.UTF8_STRING, rejected.message.encode())),
        der.tlv(der.BIT_STRING, bytes((unused,)), bytes(bits)),
    )
    return der.sequence(status)


def _imprint(request: Request) -> bytes:
    return der.sequence(_ALGORITHMS[request.algorithm, request.has_null], _octets(request.digest))


def _accuracy(milliseconds: int) -> bytes:
    seconds, rest = divmod(milliseconds, 1000)
    parts = [der.integer(seconds)] if seconds else []
    if rest:
        parts.append(b"\x80" + der.integer(rest)[1:])
    return der.sequence(*parts)


def _pem(certificate: bytes) -> bytes:
    return ssl.DER_cert_to_PEM_cert(certificate).encode()


def _octets(value: bytes) -> bytes:
    return der.tlv(der.OCTET_STRING, value)
