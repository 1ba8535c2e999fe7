"""The command line of the verifier: the only part of `proof.verify` that opens files."""

import argparse
import os
import sys
from collections.abc import Sequence
from hashlib import file_digest
from pathlib import Path
from typing import Final

from proof.verify import report
from proof.verify.errors import RefusedError, SubjectMismatchError, quoted
from proof.verify.note import VerifierKey, VerifierKeyError, parse_verifier_key
from proof.verify.payload import Established, verify_payload
from proof.verify.strict_json import MAX_BYTES

EXIT_TIED: Final = 0
EXIT_REFUSED: Final = 1
EXIT_USAGE: Final = 2
EXIT_UNTIED: Final = 3

_MAX_KEY_FILE_BYTES: Final = 64 * 1024
_HEX_DIGITS: Final = 64

_DESCRIPTION: Final = """\
Check that a timestamp proof is right, without asking the server that made it.

The proof says that a SHA-256 was known at a certain time. Give the file itself and
its SHA-256 is compared; give the log's keys and the time is tied to them. The keys
must come from somewhere you trust, never from the proof."""

_EPILOG: Final = """\
examples:
  %(prog)s report.pdf report.pdf.proof.json --log-key log.key
      the file, its proof, and the keys of the log (`/log/key` on the server)
  %(prog)s report.pdf.proof.json --sha256 2c5d...a38e --log-key log.key
      the same for a hash, where the file may not leave its place
  %(prog)s report.pdf.proof.json
      only the arithmetic: says what is established and what remains

the key file holds one key a line, `#` begins a comment:
  log.example/log+1a2b3c4d+AXNvbWUga2V5IG1hdGVyaWFs...

exit codes:
  0  the proof holds, and its time is signed by a key you gave
  1  refused: the proof is wrong, or is about something else
  2  wrong usage, or a file that cannot be read
  3  consistent, but not tied to anything you trust; the output says what remains
"""


class UsageError(Exception):
    """The command line or a file it names cannot be used; the message says which and why."""


def run() -> int:
    """`main` as a process: a reader that closes the pipe early changes nothing in the exit code."""
    code = main()
    try:
        sys.stdout.flush()
    except OSError:
        # What is still buffered would fail again, with a traceback, when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


def main(argv: Sequence[str] | None = None, *, prog: str = "proof-verify") -> int:
    """Run the verifier on `argv` (default: the process's arguments) and return its exit code.

    Writes the result to standard output, wrong usage to standard error. Raises nothing for any
    proof, key file or argument. `prog` is the name shown in help.
    """
    try:
        options = _parser(prog).parse_args(argv)
    except SystemExit as stop:  # argparse leaves this way after --help and after wrong usage
        return stop.code if isinstance(stop.code, int) else EXIT_USAGE
    try:
        subject, proof_path = _subject_and_proof(options)
        raw = _read(proof_path, MAX_BYTES + 1)
        keys = [key for path in options.log_key for key in _read_keys(path)]
        digest = _subject_digest(subject, options.sha256)
    except UsageError as error:
        report.write(sys.stderr, f"{prog}: {error}")
        return EXIT_USAGE
    return _verify(raw, keys, digest, report.Subject(subject, digest), as_json=options.json)


def _verify(
    raw: bytes,
    keys: Sequence[VerifierKey],
    digest: str | None,
    subject: report.Subject,
    *,
    as_json: bool,
) -> int:
    try:
        established = verify_payload(raw, log_keys=keys)
        _compare(established, digest)
    except RefusedError as error:
        report.write(sys.stdout, report.refused(error, EXIT_REFUSED, as_json=as_json))
        return EXIT_REFUSED
    code = EXIT_TIED if established.tied else EXIT_UNTIED
    text = (
        report.as_json(established, subject, code) if as_json else report.text(established, subject)
    )
    report.write(sys.stdout, text)
    return code


def _compare(established: Established, digest: str | None) -> None:
    leaf = established.leaf.hex()
    if digest is not None and digest != leaf:
        raise SubjectMismatchError(f"the proof is about {leaf}, but what was given is {digest}")


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
        usage="%(prog)s [FILE] PROOF [--file FILE | --sha256 HEX] [--log-key FILE] [--json]",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "paths", nargs="+", metavar="[FILE] PROOF", help="the proof, after the file it is about"
    )
    about = parser.add_mutually_exclusive_group()
    about.add_argument("--file", metavar="FILE", help="the file the proof should be about")
    about.add_argument("--sha256", metavar="HEX", help="or its SHA-256, 64 hex digits")
    parser.add_argument(
        "--log-key",
        metavar="FILE",
        action="append",
        default=[],
        help="file of verifier keys you trust; may be repeated",
    )
    parser.add_argument("--json", action="store_true", help="print the facts as JSON")
    return parser


def _subject_and_proof(options: argparse.Namespace) -> tuple[str | None, str]:
    """The path of the file in question, if any, and the path of the proof."""
    paths: list[str] = options.paths
    if len(paths) == 1:
        return options.file, paths[0]
    if options.file is not None or options.sha256 is not None or len(paths) > 2:
        raise UsageError("give one PROOF, or FILE and PROOF; --file and --sha256 replace FILE")
    return paths[0], paths[1]


def _subject_digest(path: str | None, sha256_hex: str | None) -> str | None:
    """The SHA-256, in lower-case hex, of what the proof should be about."""
    if path is not None:
        try:
            with Path(path).open("rb") as file:
                return file_digest(file, "sha256").hexdigest()
        except (OSError, ValueError) as error:
            raise UsageError(f"cannot read {quoted(path)}: {_reason(error)}") from error
    if sha256_hex is None:
        return None
    lowered = sha256_hex.lower()
    if len(lowered) != _HEX_DIGITS or lowered.strip("0123456789abcdef"):
        raise UsageError(f"--sha256 {quoted(sha256_hex)} is not 64 hex digits")
    return lowered


def _read(path: str, limit: int) -> bytes:
    """At most `limit` bytes of a file."""
    try:
        with Path(path).open("rb") as file:
            return file.read(limit)
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {quoted(path)}: {_reason(error)}") from error


def _read_keys(path: str) -> list[VerifierKey]:
    raw = _read(path, _MAX_KEY_FILE_BYTES + 1)
    if len(raw) > _MAX_KEY_FILE_BYTES:
        raise UsageError(f"the key file {quoted(path)} is over {_MAX_KEY_FILE_BYTES} bytes long")
    keys = []
    for number, line in enumerate(raw.split(b"\n"), 1):
        text = line.strip()
        if text and not text.startswith(b"#"):
            try:
                keys.append(parse_verifier_key(text.decode()))
            except (UnicodeDecodeError, VerifierKeyError) as error:
                where = f"the key file {quoted(path)}, line {number}"
                raise UsageError(f"{where}: {_reason(error)}") from error
    if not keys:
        raise UsageError(f"the key file {quoted(path)} holds no key")
    return keys


def _reason(error: Exception) -> str:
    """Why, without the path, which the message has escaped already."""
    if isinstance(error, UnicodeDecodeError):
        return "not UTF-8 text"
    return (error.strerror or type(error).__name__) if isinstance(error, OSError) else str(error)
