"""A verifier written from the page "Proofs and verifying" alone, as a client in another language is.

It shares no code with the product. It says only whether a proof is tied, and at what time; where the page
leaves refusals to taste it is the laxer of the two. Signatures are checked by OpenSSL.
"""

from base64 import b64decode
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from tests.support.signer import openssl_verify

MAGIC = bytes.fromhex("004f70656e54696d657374616d7073000050726f6f6600bf89e2e884e89294")
BITCOIN_TAG = bytes.fromhex("0588960d73d71901")


class RefusalError(Exception):
    """The proof is wrong, or is not tied to what is trusted."""


def tied_at_ms(payload: Any, log_keys: Sequence[str], headers: Sequence[bytes]) -> int:
    """The time of a parsed payload. `log_keys`: key lines; `headers`: Bitcoin's from the first block on.

    Raises RefusalError, or whatever Python raises for what is not there.
    """
    return _tied_at_ms(payload, log_keys, headers, 4)


def _tied_at_ms(
    payload: Any, log_keys: Sequence[str], headers: Sequence[bytes], inside: int
) -> int:
    """`inside`: how many proofs may stand in this one, one inside the other."""
    tree, evidence = payload["tree"], payload["evidence"]
    root, leaf = _hash(tree["rootSha256"]), _hash(payload["sha256"])
    _need(tree["submitStatus"] == 3)
    _need(_hash(payload["branch"]["sha256"]) == root and _branch_leaf(payload["branch"], 0) == leaf)
    if evidence["type"] == "log":
        return _log_time_ms(root, tree, evidence, log_keys)
    if evidence["type"] == "upstream":
        proof = evidence["proof"]
        _need(inside > 0 and (tree["currencyId"], tree["currency"]) == (902, "UPSTREAM"))
        _need(tree["transaction"] == proof["sha256"] == root.hex())
        _need(tree["timestamp"] == proof["tree"]["timestamp"])
        return _tied_at_ms(proof, log_keys, headers, inside - 1)
    _need(evidence["type"] == "bitcoin")
    return _bitcoin_time_ms(leaf, root, tree, evidence, headers)


def ots_tied_at_ms(raw: bytes, headers: Sequence[bytes]) -> tuple[bytes, int]:
    """Digest and time of an `.ots` file as ours are: without a fork, to one Bitcoin attestation."""
    _need(raw.startswith(MAGIC + b"\x01\x08"))
    at = len(MAGIC) + 2
    message = digest = raw[at : at + 32]
    at += 32
    while raw[at] != 0x00:
        tag, at = raw[at], at + 1
        if tag == 0x08:
            message = _h(message)
            continue
        _need(tag in (0xF0, 0xF1))
        size, at = _number(raw, at)
        argument, at = raw[at : at + size], at + size
        message = message + argument if tag == 0xF0 else argument + message
    _need(raw[at + 1 : at + 9] == BITCOIN_TAG)
    _, at = _number(raw, at + 9)
    height, at = _number(raw, at)
    _need(at == len(raw) and headers[height][36:68] == message)
    return digest, _time_ms(headers[height])


def _branch_leaf(node: Any, depth: int) -> bytes:
    _need(depth <= 64 and node["depth"] == depth)
    if node.keys() == {"sha256", "depth"}:
        return _hash(node["sha256"])
    left, right = _hash(node["leftSha256"]), _hash(node["rightSha256"])
    _need(_h((left.hex() + right.hex()).encode()) == _hash(node["sha256"]))
    side = "left" if "left" in node else "right"
    _need(node.keys() == {"sha256", "depth", "leftSha256", "rightSha256", side})
    _need(side == "left" or left != right)
    _need(_hash(node[side]["sha256"]) == (left if side == "left" else right))
    return _branch_leaf(node[side], depth + 1)


def _plain_root(node: bytes, path: Any) -> bytes:
    _need(1 <= len(path) <= 4 and sum(map(len, path)) <= 64)
    for tree in path:
        node = _h(b"\x00" + node)
        for step in tree:
            ((side, digits),) = step.items()
            _need(side in ("left", "right"))
            sibling = _hash(digits)
            node = _h(b"\x01" + (sibling + node if side == "left" else node + sibling))
    return node


def _log_time_ms(root: bytes, tree: Any, evidence: Any, log_keys: Sequence[str]) -> int:
    _need((tree["currencyId"], tree["currency"]) == (900, "LOG"))
    _need(tree["transaction"] == str(evidence["index"]))
    text, _, signatures = evidence["checkpoint"].rpartition("\n\n")
    body = text + "\n"
    origin, size, log_root = body.split("\n")[:3]
    _need(origin == evidence["origin"])
    node = _h(b"\x00" + root + _hash(evidence["plainRoot"]))
    _need(
        _log_root(evidence["index"], int(size), node, evidence["inclusion"]) == b64decode(log_root)
    )
    return 1000 * (_cosigned_s(body, origin, signatures, log_keys) + 1)


def _log_root(index: int, size: int, node: bytes, path: Any) -> bytes:
    """RFC 9162, 2.1.3.2, as it reads."""
    _need(index < size)
    fn, sn = index, size - 1
    for digits in path:
        _need(sn > 0)
        sibling = _hash(digits)
        if fn & 1 or fn == sn:
            node = _h(b"\x01" + sibling + node)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            node = _h(b"\x01" + node + sibling)
        fn, sn = fn >> 1, sn >> 1
    _need(sn == 0)
    return node


def _cosigned_s(body: str, origin: str, signatures: str, log_keys: Sequence[str]) -> int:
    """The earliest second that a trusted cosigner signed, of a text that the log's own key signed."""
    trusted = {}
    for line in log_keys:
        name, key_id, material = line.split("+", 2)
        key = b64decode(material)
        _need(_h(name.encode() + b"\n" + key)[:4].hex() == key_id)
        trusted[name, bytes.fromhex(key_id)] = key
    signed, times_s = False, []
    for line in signatures.removesuffix("\n").split("\n"):
        _, name, text = line.split(" ")
        raw = b64decode(text)
        key = trusted.get((name, raw[:4]), b"")
        if key[:1] == b"\x01":
            _need(openssl_verify(key[1:], body.encode(), raw[4:]))
            signed |= name == origin
        elif key[:1] == b"\x04":
            time_s = int.from_bytes(raw[4:12], "big")
            message = f"cosignature/v1\ntime {time_s}\n{body}".encode()
            _need(openssl_verify(key[1:], message, raw[12:]))
            times_s += [time_s] if time_s else []
    _need(signed)
    return min(times_s)


def _bitcoin_time_ms(
    leaf: bytes, root: bytes, tree: Any, evidence: Any, headers: Sequence[bytes]
) -> int:
    _need((tree["currencyId"], tree["currency"]) == (0, "BTC"))
    header = headers[evidence["height"]]
    _need(evidence["header"] == header.hex())
    txid, scripts = _txid_and_scripts(bytes.fromhex(evidence["transaction"]))
    (script,) = (script for script in scripts if script[:1] == b"\x6a")
    both = script[:34] == b"\x6a\x40" + root and len(script) == 66
    _need(both or script == b"\x6a\x20" + root)
    if "plainPath" in evidence:
        _need(_plain_root(leaf, evidence["plainPath"]) == script[34:])
    node, index = txid, evidence["index"]
    for digits in evidence["path"]:
        sibling = _hash(digits)
        node = _hh(sibling + node if index & 1 else node + sibling)
        index >>= 1
    _need(index == 0 and node == header[36:68])
    _need(tree["transaction"] == txid[::-1].hex() and tree["timestamp"] == _time_ms(header))
    return _time_ms(header)


def _txid_and_scripts(raw: bytes) -> tuple[bytes, list[bytes]]:
    witnessed = raw[4:6] == b"\x00\x01"
    begin = at = 6 if witnessed else 4
    inputs, at = _count(raw, at)
    for _ in range(inputs):
        size, at = _count(raw, at + 36)
        at += size + 4
    outputs, at = _count(raw, at)
    scripts = []
    for _ in range(outputs):
        size, at = _count(raw, at + 8)
        scripts.append(raw[at : at + size])
        at += size
    body = raw[begin:at]
    for _ in range(inputs if witnessed else 0):
        items, at = _count(raw, at)
        for _ in range(items):
            size, at = _count(raw, at)
            at += size
    _need(at + 4 == len(raw))
    return _hh(raw[:4] + body + raw[at:]), scripts


def _count(raw: bytes, at: int) -> tuple[int, int]:
    width = {0xFD: 2, 0xFE: 4, 0xFF: 8}.get(raw[at], 0)
    value = int.from_bytes(raw[at + 1 : at + 1 + width], "little") if width else raw[at]
    return value, at + 1 + width


def _number(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while raw[at] >= 0x80:
        value |= (raw[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
    return value | raw[at] << shift, at + 1


def _time_ms(header: bytes) -> int:
    return int.from_bytes(header[68:72], "little") * 1000


def _hash(digits: Any) -> bytes:
    _need(isinstance(digits, str) and len(digits) == 64 and not digits.strip("0123456789abcdef"))
    return bytes.fromhex(digits)


def _h(data: bytes) -> bytes:
    return sha256(data).digest()


def _hh(data: bytes) -> bytes:
    return _h(_h(data))


def _need(fact: bool) -> None:
    if not fact:
        raise RefusalError
