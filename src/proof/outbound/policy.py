"""Which targets may be named, and which addresses may be dialled."""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from yarl import URL

from proof.outbound.addresses import Address, Network, refusal
from proof.outbound.errors import ForbiddenAddressError, InvalidTargetError

MAX_URL_CHARACTERS = 2000
PORTS = (443, 8443)

# RFC 3986, 2: the characters a URI is written in. Backslash, white space, control characters and
# anything beyond ASCII are read differently by different parsers.
_URI = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]*")
_NAME = re.compile(
    r"(?=.{1,254}\Z)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*\.?"
)
_AUTHORITY = re.compile(r"(\[[^\[\]]*:[^\[\]]*\]|[^\[\]:]*)(:[0-9]+)?")
# WHATWG URL, "ends in a number": such a host is meant as an IPv4 address, whatever its spelling.
_ENDS_IN_NUMBER = re.compile(r"(?:.*\.)?(?:0x[0-9a-f]*|[0-9]+)\.?")
_LOOPBACK = (IPv4Address("127.0.0.1"), IPv6Address("::1"))


@dataclass(frozen=True, slots=True)
class OutboundPolicy:
    """Public https targets only, on ports 443 and 8443, unless a network is opened on purpose.

    In `unsafe_networks` (development mode) any port may be dialled, and a literal address, or
    `localhost` when loopback is among them, may be named with plain http.
    """

    unsafe_networks: tuple[Network, ...] = ()

    def check_url(self, url: str) -> None:
        """Refuse what can be seen to be wrong without asking DNS.

        A name may still lead anywhere: `check_address` decides where it is dialled. Raises
        InvalidTargetError. The URL is read by the parser the client uses, so both see one host.
        """
        parsed = _parsed(url)
        host = (parsed.raw_host or "").lower()
        if not host:
            raise InvalidTargetError("the target URL has no host; write https://host/path")
        if self._is_opened(host):
            return
        if parsed.scheme != "https":
            raise InvalidTargetError("the target URL uses plain http; use https")
        if parsed.port not in PORTS:
            raise InvalidTargetError(f"the target URL's port is {parsed.port}; use 443 or 8443")

    def check_address(self, ip: str, port: int) -> None:
        """Refuse an address about to be dialled unless it is public or opened, and its port.

        `ip` is the numeric text of a socket address, with or without a zone. Raises
        ForbiddenAddressError.
        """
        address = _numeric(ip)
        if address is None:
            raise ForbiddenAddressError("the socket address is not a numeric IP address")
        if self._opens(address):
            return
        if why := refusal(address):
            raise ForbiddenAddressError(f"{address} is not public: {why}")
        if port not in PORTS:
            raise ForbiddenAddressError(f"port {port} is not dialled, only 443 and 8443")

    def _opens(self, address: Address) -> bool:
        return any(address in network for network in self.unsafe_networks)

    def _is_opened(self, host: str) -> bool:
        """Whether the host is a literal in an opened network; raises if it is a closed one."""
        if host.rstrip(".") == "localhost" or host.rstrip(".").endswith(".localhost"):
            if not any(self._opens(address) for address in _LOOPBACK):
                raise InvalidTargetError("the target URL names this machine; use a public host")
            return host == "localhost"
        address = _literal(host)
        if address is None:
            return False
        if not self._opens(address) and (why := refusal(address)):
            raise InvalidTargetError(
                f"the target URL's address is not public ({why}); use one that is"
            )
        return self._opens(address)


def _parsed(url: str) -> URL:
    if len(url) > MAX_URL_CHARACTERS:
        raise InvalidTargetError(f"the target URL has over {MAX_URL_CHARACTERS} characters")
    if not _URI.fullmatch(url):
        raise InvalidTargetError(
            "the target URL holds a character that URLs are not written in; percent-encode the path"
            " and write an international host name in its xn-- form"
        )
    try:
        parsed = URL(url, encoded=True)
        _ = parsed.port
    except ValueError:
        raise InvalidTargetError("the target URL is malformed; write https://host/path") from None
    if parsed.scheme not in ("https", "http"):
        raise InvalidTargetError("the target URL does not begin with https://")
    if "@" in parsed.raw_authority:
        raise InvalidTargetError("the target URL holds user information; remove what precedes @")
    if not _AUTHORITY.fullmatch(parsed.raw_authority):
        raise InvalidTargetError("the target URL is malformed; write https://host/path")
    if "#" in url:
        raise InvalidTargetError("the target URL holds a fragment; remove what follows #")
    return parsed


def _literal(host: str) -> Address | None:
    """The address a host spells; None for a name. Only the canonical spelling is accepted."""
    if ":" in host:
        address = _numeric(host) if "%" not in host else None
        if address is None:
            raise InvalidTargetError(
                "the target URL's IPv6 address is malformed or has a zone; write [2600::1]"
            )
        return address
    if not _ENDS_IN_NUMBER.fullmatch(host):
        if not _NAME.fullmatch(host):
            raise InvalidTargetError("the target URL's host is not a host name")
        return None
    try:
        return IPv4Address(host)
    except ValueError:
        raise InvalidTargetError(
            "the target URL's host is a number; write an IPv4 address as four decimal numbers"
        ) from None


def _numeric(text: str) -> Address | None:
    try:
        return ip_address(text.partition("%")[0])
    except ValueError:
        return None
