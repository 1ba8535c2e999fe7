"""What the hosted page may do, and who may frame it (CSP Level 3)."""

from collections.abc import Sequence


def page_headers(
    nonce: str, origins: Sequence[str], provider_hosts: Sequence[str]
) -> dict[str, str]:
    """The safety headers of one answer with the hosted page.

    `origins` are the sites that may frame it; without any nobody may, which leaves a redirect working,
    for it frames nothing. `provider_hosts`: where the widget that may take over loads from, frames and
    calls; without any everything is left to the page.
    """
    hosts = " ".join(provider_hosts)
    rules = [
        "default-src 'none'",
        f"script-src 'nonce-{nonce}'",
        f"style-src 'nonce-{nonce}'",
        f"connect-src 'self' {hosts}".rstrip(),
        f"img-src 'self' {hosts}".rstrip(),
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors " + (" ".join(origins) or "'none'"),
    ]
    if hosts:
        rules.append(f"frame-src {hosts}")
    else:
        # Text never becomes markup here; a provider's script makes no such promise.
        rules += ["require-trusted-types-for 'script'", "trusted-types 'none'"]
    # A provider's widget takes pictures of documents and faces; our page leaves cameras alone.
    devices = "*" if hosts else "()"
    return {
        "content-security-policy": "; ".join(rules),
        "permissions-policy": f"camera={devices}, microphone={devices}, payment={devices}, geolocation=()",
        "referrer-policy": "no-referrer",
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
        "x-robots-tag": "noindex",
        # A partner's page that is cross-origin isolated frames nothing without this.
        "cross-origin-resource-policy": "cross-origin",
    }
