"""What answers tell a caller about its credential and its rate, in their headers."""

from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache

from proof.api.http import Headers
from proof.partners.access.buckets import Rate
from proof.partners.access.credentials import Credential
from proof.partners.access.rates import CallClass, Standing

_NAMES = {each: each.value.encode() for each in CallClass}


def ending_headers(credential: Credential) -> Headers:
    """`Deprecation` (RFC 9745: a date as `@` and seconds since 1970) and `Sunset` (RFC 8594: an HTTP date)
    of a credential another has taken the place of; none otherwise."""
    headers: list[tuple[bytes, bytes]] = []
    if credential.deprecated_at is not None:
        headers.append((b"deprecation", b"@%d" % int(credential.deprecated_at.timestamp())))
    if credential.expires_at is not None:
        headers.append((b"sunset", _http_date(credential.expires_at)))
    return tuple(headers)


def rate_headers(standing: Standing) -> Headers:
    """`RateLimit` and `RateLimit-Policy` as draft-ietf-httpapi-ratelimit-headers-10 spells them: `q` calls
    in `w` seconds, `r` left now, all of them again after `t` seconds."""
    call_class = standing.call_class
    left = (_NAMES[call_class], standing.remaining, standing.reset_s)
    return ((b"ratelimit", b'"%b";r=%d;t=%d' % left), _policy(call_class, standing.rate))


@lru_cache(maxsize=1024)
def _policy(call_class: CallClass, rate: Rate) -> tuple[bytes, bytes]:
    policy = (_NAMES[call_class], rate.calls, rate.window_s)
    return (b"ratelimit-policy", b'"%b";q=%d;w=%d' % policy)


def _http_date(moment: datetime) -> bytes:
    return format_datetime(moment.astimezone(UTC), usegmt=True).encode()
