"""Authorities as the tests need them."""

import ssl
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from proof.core.clock import Clock, SystemClock
from proof.timestamps.tsa.authority import load_authority
from proof.timestamps.tsa.clock_watch import ClockWatch, Readings
from proof.timestamps.tsa.development import GeneratedAuthority, generate
from proof.timestamps.tsa.service import TimeStampingAuthority
from proof.timestamps.tsa.token import TokenIssuer

POLICY = "2.25.42"
ACCURACY_MS = 1500


@cache
def generated() -> GeneratedAuthority:
    """Certificates that every test of this process shares."""
    return generate(SystemClock().now())


def issuer() -> TokenIssuer:
    return TokenIssuer(load_authority(generated().chain, generated().key, POLICY, ACCURACY_MS))


class FakeReadings:
    """A machine whose clock can be set."""

    def __init__(self) -> None:
        self.wall = 1_000_000.0
        self.boot = 5.0
        self.error: float | None = 1.0

    def readings(self) -> Readings:
        return Readings(lambda: self.wall, lambda: self.boot, lambda: self.error)


def development_authority(
    clock: Clock, readings: Readings | None = None, *, synchronised: bool = False
) -> TimeStampingAuthority:
    """An authority over development certificates, by default with a clock that is never set."""
    watch = ClockWatch(
        ACCURACY_MS,
        synchronised=synchronised,
        readings=readings or FakeReadings().readings(),
    )
    return TimeStampingAuthority(issuer(), clock, watch)


def of_no_version(chain: bytes) -> bytes:
    """The first certificate of a PEM chain, of a version that does not exist."""
    known, unknown = bytes.fromhex("a003020102"), bytes.fromhex("a003020140")
    certificate = x509.load_pem_x509_certificates(chain)[0].public_bytes(Encoding.DER)
    return ssl.DER_cert_to_PEM_cert(certificate.replace(known, unknown, 1)).encode()
