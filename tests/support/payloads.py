"""A whole payload of a log to begin from, and what it establishes."""

import json
from typing import Any

from tests.support import signer
from tests.support.signer import KEYS

from proof.verify import Established, verify_payload

Payload = dict[str, Any]


def dump(payload: Payload) -> bytes:
    return json.dumps(payload, ensure_ascii=False).encode()


def verify_quickly(raw: bytes) -> Established:
    return verify_payload(raw, log_keys=KEYS, ed25519_verify=signer.openssl_verify)


VALID = signer.payload()
RAW = dump(VALID)
ESTABLISHED = verify_payload(RAW, log_keys=KEYS)
