"""The command line of the verifier: the only part of `proof.verify` that opens files."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import Final, NoReturn, assert_never

from proof.verify import files, report
from proof.verify.errors import NotAProofError, RefusedError, SubjectMismatchError, quoted
from proof.verify.evidence.bitcoin.networks import TEST_NETWORKS
from proof.verify.evidence.kinds import TrustOption, trust_options
from proof.verify.evidence.log import tlog_report as report_tlog
from proof.verify.evidence.log.policy import Policy
from proof.verify.evidence.log.tlog_proof import MAGIC as TLOG_MAGIC
from proof.verify.evidence.log.tlog_proof import verify_tlog_proof
from proof.verify.evidence.ots import report as report_ots
from proof.verify.evidence.ots.evidence import verify_ots
from proof.verify.evidence.ots.format import FILE_HASHES, MAGIC, SHA256
from proof.verify.files import UsageError
from proof.verify.payload import verify_payload
from proof.verify.strict_json import MAX_BYTES, MAX_RECEIPT_BYTES
from proof.verify.trust import ChainTrust, TrustError

EXIT_TIED: Final = 0
EXIT_REFUSED: Final = 1
EXIT_USAGE: Final = 2
EXIT_UNTIED: Final = 3

_HEX_DIGITS: Final = 64
_OF_PROOFS: Final = {
    "--log-key": ("FILE", "file of verifier keys you trust, any cosigner of them; may be repeated"),
    **{
        option.name: (option.metavar, f"{option.about}; may be repeated")
        for option in trust_options()
    },
    "--network": (
        "NAME",
        (
            "a test network of Bitcoin that should count: "
            f"{', '.join(sorted(TEST_NETWORKS))}; may be repeated"
        ),
    ),
}

_OF_RECEIPTS: Final = {
    "--receipt-key": ("FILE", "file of receipts keys you trust (`/receipts/key` on the server)"),
    "--disclosure": ("FILE", "file of disclosed values, checked against the receipt's hashes"),
}
_REPEATED: Final = _OF_PROOFS | {
    name: (metavar, f"of a receipt: {about}; may be repeated")
    for name, (metavar, about) in _OF_RECEIPTS.items()
}

_OF_STATEMENTS: Final = {
    "--against": "of a statement with its CSV: your own list (CSV), to find what differs",
    "--previous": "of a statement: that of the day before, to find that no day was left out",
}

_NAMING_FILES: Final = [name for name, (metavar, _) in _REPEATED.items() if "FILE" in metavar]

_DESCRIPTION: Final = """\
Check that a timestamp proof is right, without asking the server that made it.

The proof says that a SHA-256 was known at a certain time. Give the file itself and
its SHA-256 is compared; give the log's keys, a chain's headers or block, or an
authority's certificate, and the time is tied to them. They must come from somewhere
you trust, never from the proof. `-` is standard input, in the place of one file.
A proof is JSON of ours, a .tlog-proof of ours or an .ots file of anybody's; the proof
of an entry of the audit log stands by itself, without a file.

A receipt stands by itself too: all that the operator said of one transaction, in order
and complete, with a proof of each record. Its signature ties it to the operator, by a
receipts key that you trust. So does a day's statement, with the list of its
transactions behind it."""

_EPILOG: Final = """\
examples:
  %(prog)s report.pdf report.pdf.proof.json --log-key log.key
      the file, its proof, and the keys of the log (`/log/key` on the server)
  %(prog)s report.pdf report.pdf.proof.json --policy log.policy
      the same where several witnesses must have cosigned the log: the policy
      (`/log/policy` on the server) names logs, witnesses and how many it takes
  %(prog)s report.pdf.proof.json --sha256 2c5d...a38e --log-key log.key
      the same for a hash, where the file may not leave its place
  %(prog)s report.pdf report.pdf.ots --headers main.headers
      an OpenTimestamps file, or a proof of ours, and the headers of Bitcoin's blocks
  %(prog)s report.pdf report.pdf.proof.json --ethereum-block 0x9b8f...01c4
      a proof in Ethereum, and the hash of the block it names
  %(prog)s report.pdf report.pdf.proof.json --tsa-certificate tsa.pem
      a proof by a time-stamping authority, and the certificate it signs with
  %(prog)s report.pdf.proof.json
      only the arithmetic: says what is established and what remains
  %(prog)s receipt.json --receipt-key receipts.key --log-key log.key
      a receipt of a transaction: what was said, when, and whether all of it is there
  %(prog)s receipt.json --receipt-key receipts.key --log-key log.key --webhooks bodies.ndjson
      the same, and whether the webhook bodies you kept, one a line, are what was recorded
  %(prog)s statement.json statement.csv --receipt-key receipts.key --log-key log.key
      a day's statement, and whether the list of its transactions is its own
  %(prog)s statement.json statement.csv ... --against own.csv
      the same, and which transactions your own list (CSV with a column
      merchant_transaction_id, and any others of the statement's) has otherwise
  curl ... | %(prog)s report.pdf - --log-key log.key
      the proof from standard input; a file named - is ./-

the key file holds one key a line, `#` begins a comment:
  log.example/log+1a2b3c4d+AXNvbWUga2V5IG1hdGVyaWFs...
with --policy its keys of logs count beside those of the policy; its cosigners
do not, since only those of the policy are its quorum

exit codes:
  0  the proof holds, and its time is signed by a key or certificate, or in a block,
     that you gave; a receipt is signed, and each of its records has such a time
  1  refused: the proof is wrong, or is about something else; a webhook body is not
     what was recorded, or your own list differs from a statement
  2  wrong usage, or a file that cannot be read
  3  consistent, but not tied to anything you trust; the output says what remains
"""


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
        named = [path for option in _NAMING_FILES for path in _given(options, option)]
        _require_one_input(
            subject, proof_path, options.policy, options.webhooks, *named, *_beside(options)
        )
        raw = files.read(proof_path, MAX_RECEIPT_BYTES + 1)
        policy = files.read_trust(options.log_key, options.policy)
        chains = _chains(options)
        if files.looks_like_receipt(raw):
            return _verify_receipt(raw, policy, chains, options)
        if stated := _statement_and_list(raw, subject, proof_path):
            return _verify_statement(*stated, policy, chains, options)
        raw = raw[: MAX_BYTES + 1]
        digest = _subject_digest(subject, options.sha256, _operation(raw))
        if files.looks_like_audit_proof(raw):
            return _verify_audit(raw, policy, chains, report.Subject(subject, digest), options)
        _require_none(options, proof_path, (*_OF_RECEIPTS, "--webhooks"))
        if not files.looks_like_proof(raw):
            refused = NotAProofError(_no_proof(raw, subject, proof_path))
            report.write(sys.stdout, report.refused(refused, EXIT_REFUSED, as_json=options.json))
            return EXIT_REFUSED
    except UsageError as error:
        report.write(sys.stderr, f"{prog}: {error}")
        return EXIT_USAGE
    return _verify(raw, policy, chains, report.Subject(subject, digest), as_json=options.json)


def _require_one_input(*paths: str | None) -> None:
    if paths.count(files.STANDARD_INPUT) > 1:
        raise UsageError(
            "standard input can be read once: `-` stands for one file, not for several"
        )


def _no_proof(raw: bytes, subject: str | None, proof_path: str) -> str:
    """What stands where a proof should, and what was probably meant."""
    what = "it is empty" if not raw else "it is no proof or receipt of ours, nor an .ots file"
    said = f"{quoted(proof_path)} is no proof: {what}"
    if subject in {None, files.STANDARD_INPUT}:
        return f"{said}; give the file first, then its proof"
    if files.looks_like_proof(files.read(subject, MAX_BYTES + 1)):
        return f"{said}. {quoted(subject)} looks like one: give the file first, then its proof"
    return f"{said}, and {quoted(subject)} is none either"


def _require_none(options: argparse.Namespace, proof_path: str, of_receipts: Sequence[str]) -> None:
    given = [name for name in of_receipts if _given(options, name)]
    if given:
        raise UsageError(f"{given[0]} is of a receipt, and {quoted(proof_path)} is none")
    _require_no_statement(options, proof_path)


def _require_no_statement(options: argparse.Namespace, path: str) -> None:
    given = [name for name in _OF_STATEMENTS if _given(options, name)]
    if given:
        raise UsageError(f"{given[0]} is of a statement, and {quoted(path)} is none")


def _beside(options: argparse.Namespace) -> list[str | None]:
    return [options.against, options.previous]


def _statement_and_list(
    raw: bytes, subject: str | None, proof_path: str
) -> tuple[bytes, str | None] | None:
    """A statement, and the path of the list of its transactions, in whichever order they were given; None
    where neither is one."""
    if files.looks_like_statement(raw):
        return raw, subject
    if subject in {None, files.STANDARD_INPUT} or files.looks_like_proof(raw):
        return None
    stated = files.read(subject, MAX_RECEIPT_BYTES + 1)
    if not files.looks_like_statement(stated):
        return None
    if proof_path == files.STANDARD_INPUT:
        raise UsageError("name the statement's list as a file; standard input takes the statement")
    return stated, proof_path


def _verify_statement(
    raw: bytes,
    lines: str | None,
    policy: Policy,
    chains: ChainTrust,
    options: argparse.Namespace,
) -> int:
    from proof.verify.receipts import statement_report

    for name in ("--disclosure", "--webhooks", "--sha256"):
        if _given(options, name):
            raise UsageError(f"{name} is of no statement")
    beside = statement_report.Beside(options.receipt_key, lines, *_beside(options))
    try:
        found, compared = statement_report.check(raw, policy, chains, beside)
    except RefusedError as error:
        report.write(sys.stdout, report.refused(error, EXIT_REFUSED, as_json=options.json))
        return EXIT_REFUSED
    code = EXIT_TIED if found.tied else EXIT_UNTIED
    if compared is not None and not compared.agrees:
        code = EXIT_REFUSED
    told = (
        statement_report.as_json(found, compared, code)
        if options.json
        else statement_report.text(found, compared)
    )
    report.write(sys.stdout, told)
    return code


def _verify_receipt(
    raw: bytes, policy: Policy, chains: ChainTrust, options: argparse.Namespace
) -> int:
    # Loaded here: most who verify have no receipt, and a server that imports this none at all.
    from proof.verify.receipts import report as report_receipt

    if len(options.paths) > 1 or options.file is not None or options.sha256 is not None:
        raise UsageError("a receipt is about no file: give it alone")
    _require_no_statement(options, options.paths[0])
    beside = report_receipt.Beside(options.receipt_key, options.disclosure, options.webhooks)
    try:
        found, compared = report_receipt.check(raw, policy, chains, beside)
    except RefusedError as error:
        report.write(sys.stdout, report.refused(error, EXIT_REFUSED, as_json=options.json))
        return EXIT_REFUSED
    code = EXIT_TIED if found.tied else EXIT_UNTIED
    if compared is not None and not compared.agrees:
        code = EXIT_REFUSED
    told = (
        report_receipt.as_json(found, compared, code)
        if options.json
        else report_receipt.text(found, compared)
    )
    report.write(sys.stdout, told)
    return code


def _verify_audit(
    raw: bytes,
    policy: Policy,
    chains: ChainTrust,
    subject: report.Subject,
    options: argparse.Namespace,
) -> int:
    # Loaded here, as what verifies a receipt.
    from proof.verify import audit
    from proof.verify.receipts.report import read_receipts_keys

    _require_none(options, options.paths[-1], ("--disclosure", "--webhooks"))
    keys = [key for path in options.receipt_key for key in read_receipts_keys(path)]
    try:
        found = audit.verify_audit(raw, receipt_keys=keys, policy=policy, chains=chains)
        _compare(found.leaf, subject)
    except RefusedError as error:
        report.write(sys.stdout, report.refused(error, EXIT_REFUSED, as_json=options.json))
        return EXIT_REFUSED
    code = EXIT_TIED if found.tied else EXIT_UNTIED
    told = audit.as_json(found, subject, code) if options.json else audit.account(found, subject)
    report.write(sys.stdout, told)
    return code


def _verify(
    raw: bytes,
    policy: Policy,
    chains: ChainTrust,
    subject: report.Subject,
    *,
    as_json: bool,
) -> int:
    try:
        code, text = _teller(raw)(raw, policy, chains, subject, as_json)
    except RefusedError as error:
        code, text = EXIT_REFUSED, report.refused(error, EXIT_REFUSED, as_json=as_json)
    report.write(sys.stdout, text)
    return code


def _teller(
    raw: bytes,
) -> Callable[[bytes, Policy, ChainTrust, report.Subject, bool], tuple[int, str]]:
    """What reads a proof of this form, and returns the exit code and the account."""
    if _is_ots(raw):
        return _tell_ots
    return _tell_tlog_proof if raw.startswith(TLOG_MAGIC) else _tell_payload


def _tell_payload(
    raw: bytes,
    policy: Policy,
    chains: ChainTrust,
    subject: report.Subject,
    as_json: bool,
) -> tuple[int, str]:
    established = verify_payload(raw, policy=policy, chains=chains)
    _compare(established.leaf, subject)
    code = EXIT_TIED if established.tied else EXIT_UNTIED
    if as_json:
        return code, report.as_json(established, subject, code)
    return code, report.text(established, subject)


def _tell_tlog_proof(
    raw: bytes,
    policy: Policy,
    _chains: ChainTrust,
    subject: report.Subject,
    as_json: bool,
) -> tuple[int, str]:
    established = verify_tlog_proof(raw, policy)
    _compare(established.leaf, subject)
    code = EXIT_TIED if established.tied else EXIT_UNTIED
    if as_json:
        return code, report_tlog.as_json(established, subject, code)
    return code, report_tlog.text(established, subject)


def _tell_ots(
    raw: bytes,
    _policy: Policy,
    chains: ChainTrust,
    subject: report.Subject,
    as_json: bool,
) -> tuple[int, str]:
    established = verify_ots(raw, chains=chains)
    if subject.path is None and subject.sha256 is not None and established.operation != "sha256":
        raise SubjectMismatchError(
            f"the proof is about something with the {established.operation}"
            f" {established.digest.hex()}, but what was given is a SHA-256"
        )
    _compare(established.digest, subject)
    code = EXIT_TIED if established.tied else EXIT_UNTIED
    if as_json:
        return code, report_ots.as_json(established, subject, code)
    return code, report_ots.text(established, subject)


def _compare(about: bytes, subject: report.Subject) -> None:
    if subject.sha256 is not None and subject.sha256 != about.hex():
        given = (
            "what was given is" if subject.path is None else f"{quoted(subject.path)} has the hash"
        )
        raise SubjectMismatchError(
            f"the proof is about {about.hex()}, but {given} {subject.sha256}: altered, or another file"
        )


class _Parser(argparse.ArgumentParser):
    """Quotes what it refuses: `proof-verify *` takes the names of a stranger's files for arguments."""

    def error(self, message: str) -> NoReturn:
        super().error(
            "".join(
                c if c.isprintable() else c.encode("unicode_escape").decode("ascii")
                for c in message
            )
        )


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = _Parser(
        prog=prog,
        usage="%(prog)s [FILE] PROOF [--file FILE | --sha256 HEX] [--policy FILE] [--headers FILE] "
        + " ".join(f"[{option} {said[0]}]" for option, said in _REPEATED.items())
        + " [--webhooks FILE] "
        + " ".join(f"[{option} FILE]" for option in _OF_STATEMENTS)
        + " [--json]",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="[FILE] PROOF",
        help="the proof, after the file it is about; or a receipt alone,"
        " or a statement and its list",
    )
    about = parser.add_mutually_exclusive_group()
    about.add_argument("--file", metavar="FILE", help="the file the proof should be about")
    about.add_argument("--sha256", metavar="HEX", help="or its SHA-256, 64 hex digits")
    parser.add_argument(
        "--policy",
        metavar="FILE",
        help="file that says whose cosignatures you need (C2SP tlog-policy)",
    )
    parser.add_argument("--headers", metavar="FILE", help="file of Bitcoin headers you trust")
    for option, said in _REPEATED.items():
        parser.add_argument(option, metavar=said[0], action="append", default=[], help=said[1])
    parser.add_argument(
        "--webhooks",
        metavar="FILE",
        help="of a receipt: file of webhook bodies, one a line, to be what was recorded",
    )
    for option, about_it in _OF_STATEMENTS.items():
        parser.add_argument(option, metavar="FILE", help=about_it)
    parser.add_argument("--json", action="store_true", help="print the facts as JSON")
    return parser


def _subject_and_proof(options: argparse.Namespace) -> tuple[str | None, str]:
    """The path of the file in question, if any, and the path of the proof."""
    paths: list[str] = options.paths
    if len(paths) == 1:
        return options.file, paths[0]
    if options.file is not None or options.sha256 is not None or len(paths) > 2:
        raise UsageError(
            "give one PROOF, or FILE and PROOF; --file and --sha256 replace FILE,"
            " keys go behind --log-key"
        )
    return paths[0], paths[1]


def _subject_digest(path: str | None, sha256_hex: str | None, operation: str) -> str | None:
    """The digest, in lower-case hex, of what the proof should be about."""
    if path is not None:
        return files.digest(path, operation)
    if sha256_hex is None:
        return None
    lowered = sha256_hex.lower()
    if len(lowered) != _HEX_DIGITS or lowered.strip("0123456789abcdef"):
        raise UsageError(f"--sha256 {quoted(sha256_hex)} is not 64 hex digits")
    return lowered


def _operation(raw: bytes) -> str:
    """How the subject of a proof is hashed; a malformed `.ots` file is refused later."""
    byte = raw[len(MAGIC) + 1 : len(MAGIC) + 2] if _is_ots(raw) else b""
    return FILE_HASHES.get(int.from_bytes(byte, "big"), FILE_HASHES[SHA256])[0]


def _is_ots(raw: bytes) -> bool:
    return raw[:1] == MAGIC[:1]  # no JSON begins with a zero byte


def _chains(options: argparse.Namespace) -> ChainTrust:
    try:
        chains = ChainTrust(
            headers=files.read_headers(options.headers) if options.headers else None,
            networks=frozenset(options.network),
        )
    except TrustError as error:
        raise UsageError(f"{error}; give --network NAME for each test network") from error
    for option in trust_options():
        given = _given(options, option.name)
        hashes = frozenset(each for text in given for each in _hashes(text, option))
        chains = option.trusted(chains, hashes)
    return chains


def _given(options: argparse.Namespace, option: str) -> list[str]:
    """What an option that may be repeated was given."""
    found: list[str] = getattr(options, option.removeprefix("--").replace("-", "_"))
    return found


def _hashes(text: str, option: TrustOption) -> list[bytes]:
    match option.metavar:
        case "HASH":
            return [files.block_hash(text, option.name)]
        case "SHA256|FILE":
            return files.certificates(text)
        case unknown:
            assert_never(unknown)
