"""What is told of a token."""

from proof.verify.established import (
    TokenInclusion,
)


def token_facts(found: TokenInclusion) -> dict[str, object]:
    return {
        "serialNumber": str(found.serial),  # beyond what JSON numbers hold
        "policy": found.policy,
        "timestamp": found.time_ms,
        "accuracyMicroseconds": found.accuracy_us,
        "certificateSha256": found.certificate.hex(),
        "signatureChecked": found.signature_checked,
        "tiedBy": "certificate" if found.tied else None,
    }


def token_steps(found: TokenInclusion) -> list[str]:
    certificate = found.certificate.hex()
    return [
        f"ok  The root is what the token with serial number\n             {found.serial} is over.",
        f"ok  The token's digests are right, and so is its signature under the certificate"
        f"\n             {certificate}."
        if found.signature_checked
        else f"--  The token's digests are right; its signature was not checked. Its certificate is"
        f"\n             {certificate}.",
        "ok  The certificate is one you gave."
        if found.tied
        else "--  Nothing was checked under a certificate you gave.",
    ]


def token_witness(found: TokenInclusion) -> str:
    return f"{_accuracy(found)}as an authority whose certificate you gave has signed"


def _accuracy(found: TokenInclusion) -> str:
    if found.accuracy_us is None:
        return ""
    return f"give or take {found.accuracy_us / 1_000_000:g} s, "
