"""A proof in a witnessed log in both forms, policies, and what each establishes, for other implementations.

python -m tests.support.log_vectors     writes the files of tests/vectors/log beside README.md
"""

import json
from pathlib import Path
from typing import Any

from tests.support import signer
from tests.support.signer import Signer

from proof.verify.evidence.log import note

FOLDER = Path(__file__).parents[1] / "vectors" / "log"
ORIGIN = "log.example/vectors"
LOG = Signer.named(ORIGIN, note.LOG_KEY)
OTHER_LOG = Signer.named("other.example/log", note.LOG_KEY)
ALPHA = Signer.named("alpha.example/witness", note.COSIGNER_KEY)
ALPHA_PQ = Signer.named("alpha.example/witness", note.MLDSA_COSIGNER_KEY)
BETA = Signer.named("beta.example/witness", note.COSIGNER_KEY)
GAMMA_PQ = Signer.named("gamma.example/witness", note.MLDSA_COSIGNER_KEY)
DELTA = Signer.named("delta.example/witness", note.COSIGNER_KEY)
STRANGER = Signer.named("stranger.example/witness", note.COSIGNER_KEY)
TIME_S = 1_770_000_000
# In the note's order. The log signs no time; a time of 0 says none.
LINES = [
    (LOG, 0),
    (ALPHA, TIME_S),
    (ALPHA_PQ, TIME_S + 1),
    (BETA, TIME_S + 60),
    (GAMMA_PQ, 0),
    (STRANGER, TIME_S - 3600),
]
LEAVES, LEAF = 5, 2

_WITNESSES = "".join(
    f"witness {name} {key.text}\n"
    for name, key in {
        "alpha": ALPHA,
        "alpha-pq": ALPHA_PQ,
        "beta": BETA,
        "gamma-pq": GAMMA_PQ,
        "delta": DELTA,
    }.items()
)
_HEAD = f"log {LOG.text}\n\n{_WITNESSES}\n"


def _said(reached: bool, timestamp: int | None, *missing: str) -> dict[str, Any]:
    """`logSigned` stands for a policy that names the log."""
    return {
        "logSigned": True,
        "quorumReached": reached,
        "missing": list(missing),
        "timestamp": timestamp,
    }


_END_MS = (TIME_S + 1) * 1000
POLICIES: dict[str, tuple[str, dict[str, Any]]] = {
    "any": (
        f"{_HEAD}group q any alpha alpha-pq beta\nquorum q\n",
        _said(True, _END_MS),
    ),
    "two-of-three": (
        f"{_HEAD}group a any alpha alpha-pq\ngroup q 2 a beta delta\nquorum q\n",
        _said(True, _END_MS + 60_000, "delta"),
    ),
    "post-quantum": (f"{_HEAD}quorum alpha-pq\n", _said(True, _END_MS + 1000)),
    "one-without-time": (
        f"{_HEAD}group q all alpha gamma-pq\nquorum q\n",
        _said(True, None),
    ),
    "unreached": (
        f"{_HEAD}group q all alpha delta\nquorum q\n",
        _said(False, None, "delta"),
    ),
    "none": (f"{_HEAD}quorum none\n", _said(True, None)),
    "another-log": (
        f"log {OTHER_LOG.text}\n{_WITNESSES}quorum beta\n",
        _said(True, None) | {"logSigned": False},
    ),
}


def payload(checkpoint: str | None = None) -> dict[str, Any]:
    """The proof; with its checkpoint signed anew unless there is one."""
    found = signer.payload(LEAVES, LEAF, log_size=11, log_index=6)
    body = found["evidence"]["checkpoint"].partition("\n\n")[0].split("\n")
    text = "\n".join([ORIGIN, *body[1:], ""]).encode()
    lines = [key.line(text, time_s) for key, time_s in LINES]
    found["evidence"]["origin"] = ORIGIN
    found["evidence"]["checkpoint"] = checkpoint or note.signed_note(text, lines).decode()
    return found


def files(proof: dict[str, Any]) -> dict[str, bytes]:
    """Every file's content, by its name."""
    checkpoint = proof["evidence"]["checkpoint"]
    tlog = signer.tlog_proof(proof, LEAVES, LEAF)
    expected = {
        "sha256": proof["sha256"],
        "policies": {name: said for name, (_, said) in POLICIES.items()},
        "refused": refused(checkpoint, tlog.decode()),
    }
    return {
        "checkpoint": checkpoint.encode(),
        "proof.json": _json(proof),
        "proof.tlog-proof": tlog,
        "expected.json": _json(expected),
        **{f"{name}.policy": text.encode() for name, (text, _) in POLICIES.items()},
    }


def refused(checkpoint: str, tlog: str) -> list[dict[str, str]]:
    """Alterations of the tlog-proof, by the policy `two-of-three` and the reason."""
    lines = {line.split(" ")[1]: line for line in checkpoint.split("\n") if line.startswith("— ")}
    beta, alpha = lines[BETA.name], lines[ALPHA_PQ.name]
    first = tlog.split("\n")[3]
    return [
        {"why": "another index", "find": "\nindex 6\n", "replace": "\nindex 7\n"},
        {"why": "a number with a leading zero", "find": "\nindex 6\n", "replace": "\nindex 06\n"},
        {"why": "another size", "find": "\n11\n", "replace": "\n12\n"},
        {"why": "another origin", "find": f"\n{ORIGIN}\n", "replace": "\nlog.example/vector\n"},
        {"why": "a sibling left out", "find": f"{first}\n", "replace": ""},
        {"why": "a sibling twice", "find": f"{first}\n", "replace": f"{first}\n{first}\n"},
        {"why": "spare bits of base64", "find": f"{first}\n", "replace": f"{_spare(first)}\n"},
        {"why": "a trusted cosignature twice", "find": beta, "replace": f"{beta}\n{beta}"},
        {"why": "a trusted cosignature altered", "find": alpha, "replace": _altered(alpha)},
        {"why": "no line of the log", "find": f"{lines[ORIGIN]}\n", "replace": ""},
        {"why": "no extra data", "find": tlog.split("\n")[1] + "\n", "replace": ""},
        {"why": "another first line", "find": "@v1\n", "replace": "@v2\n"},
    ]


def _altered(line: str) -> str:
    """With another character in the middle of the signature."""
    at = len(line) // 2
    return line[:at] + ("A" if line[at] != "A" else "B") + line[at + 1 :]


def _spare(line: str) -> str:
    """The same 32 bytes with the lowest of the two spare bits set."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    return line[:-2] + alphabet[alphabet.index(line[-2]) + 1] + "="


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()


def main() -> None:
    for name, content in files(payload()).items():
        (FOLDER / name).write_bytes(content)


if __name__ == "__main__":
    main()
