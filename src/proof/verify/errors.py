"""What a verifier refuses: one class for each malformation, all of them `RefusedError`.

Messages quote the proof's own text through `quoted`, because a proof comes from a stranger and its
text may hold terminal control sequences.
"""

_QUOTED_CHARS = 80


def quoted(text: str) -> str:
    """Text of a proof made safe for a terminal: ASCII, escaped, at most 80 characters of it."""
    return ascii(text if len(text) <= _QUOTED_CHARS else text[:_QUOTED_CHARS] + "...")


class RefusedError(Exception):
    """The proof is refused; the message is one sentence that says why."""


# The payload's text


class NotAProofError(RefusedError):
    """What was given in the place of a proof is something else; the command line alone says so."""


class PayloadTooLargeError(RefusedError):
    """More bytes than a proof can need."""


class EncodingError(RefusedError):
    """The bytes are not UTF-8."""


class NestingError(RefusedError):
    """Objects and lists are nested deeper than a proof can need."""


class JsonError(RefusedError):
    """The text is not JSON."""


class NumberError(RefusedError):
    """A number is a fraction, not a number at all, or has too many digits."""


class DuplicateMemberError(RefusedError):
    """An object names a member twice, so two readers could see two proofs."""


class MemberError(RefusedError):
    """A required member is missing or of the wrong type, length or range."""


class HexError(RefusedError):
    """A hash is not 64 lower-case hexadecimal digits."""


# The branch


class NodeShapeError(RefusedError):
    """A node lacks a member or has one that is unknown."""


class BothChildrenError(RefusedError):
    """A node expands both children, so the path is not one path."""


class NoChildError(RefusedError):
    """A node names two children and expands neither."""


class SelfPairError(RefusedError):
    """A node paired with itself expands its right child; only the left one exists in the tree."""


class DepthError(RefusedError):
    """The depths do not count up from 0."""


class TooManyLevelsError(RefusedError):
    """The branch has more than 64 levels."""


class ChildHashError(RefusedError):
    """An expanded child is not the one its parent names."""


class ParentHashError(RefusedError):
    """A node's hash is not the hash of its two children."""


class LeafMismatchError(RefusedError):
    """The branch ends in another hash than the payload is about."""


class RootMismatchError(RefusedError):
    """The branch starts from another root than the tree names."""


class SubmitStatusError(RefusedError):
    """The tree is not verified (submitStatus 3), so no proof exists yet."""


# The transparency log


class LogIndexError(RefusedError):
    """The entry's index lies outside the log."""


class LogSizeError(RefusedError):
    """A log size is negative or beyond 2^63 - 1, or an older log is larger than a newer one."""


class LogHashError(RefusedError):
    """A hash of the log is not 32 bytes."""


class PathTooShortError(RefusedError):
    """The path ends before it reaches the log's root."""


class PathTooLongError(RefusedError):
    """The path goes on beyond the log's root."""


class LogRootMismatchError(RefusedError):
    """The path leads to another log root than the checkpoint names."""


class OldRootMismatchError(RefusedError):
    """The consistency path leads to another root for the older log."""


class NewRootMismatchError(RefusedError):
    """The consistency path leads to another root for the newer log."""


# The signed checkpoint


class TlogProofError(RefusedError):
    """A tlog-proof is malformed or too long."""


class TlogProofExtraError(RefusedError):
    """A tlog-proof's extra data do not lead from a hash to an entry, as those of our proofs do."""


class NoteTooLargeError(RefusedError):
    """The note is too long or carries too many signatures."""


class NoteFormatError(RefusedError):
    """The note is not a text, an empty line and signature lines."""


class SignatureLineError(RefusedError):
    """A signature line is malformed."""


class CheckpointFormatError(RefusedError):
    """The note's text is not origin, size and root hash."""


class DuplicateSignatureError(RefusedError):
    """A trusted key signed twice, so two readers could see two times."""


class SignatureError(RefusedError):
    """A line in a trusted key's name does not verify."""


class NotSignedByLogKeyError(RefusedError):
    """The checkpoint names a trusted log but the log's trusted key did not sign it."""


class CosignatureTimeError(RefusedError):
    """A cosignature's time is beyond 2^63 - 1."""


# What the tree says against what the evidence says


class OriginMismatchError(RefusedError):
    """The evidence names another log than its checkpoint."""


class CurrencyMismatchError(RefusedError):
    """The tree names another chain than its evidence."""


class TransactionMismatchError(RefusedError):
    """The tree names another log index than its evidence."""


class TimestampMismatchError(RefusedError):
    """The tree's time is not that of its block or token."""


# The proof against what it was asked about


class SubjectMismatchError(RefusedError):
    """The file or hash given beside the proof is not the one the proof is about."""


# Bitcoin: the transaction


class TransactionFormatError(RefusedError):
    """The bytes are not one Bitcoin transaction in its shortest form."""


class TransactionTooLargeError(RefusedError):
    """A transaction is longer, or has more inputs or outputs, than an anchor can need."""


class InnerNodeError(RefusedError):
    """A 64-byte text is both a transaction and two hashes side by side, so it could stand for either."""


class RootOutputError(RefusedError):
    """The transaction has not exactly one OP_RETURN output, or that one does not carry the root."""


# Bitcoin: the Merkle path


class MerklePathTooLongError(RefusedError):
    """The path has more levels than a block's tree can have."""


class PositionError(RefusedError):
    """The index lies outside a tree of as many levels as the path has."""


class DuplicatedNodeError(RefusedError):
    """The path goes through a copy that no tree has (CVE-2012-2459)."""


class MerkleRootMismatchError(RefusedError):
    """The path leads to another Merkle root than the header's."""


# Headers of Bitcoin


class HeaderFormatError(RefusedError):
    """A Bitcoin header is not 80 bytes, or names a target that is none."""


class ProofOfWorkError(RefusedError):
    """A header's hash is above its own target."""


class LowDifficultyError(RefusedError):
    """A header's target is easier than its network, or this verifier for a lone header, allows."""


class OtherNetworkError(RefusedError):
    """The evidence is of a network that does not count here."""


class OtherHeaderError(RefusedError):
    """The trusted headers have another block at that height."""


class HeaderFileError(RefusedError):
    """A header file's head is malformed, or the file ends within a header."""


class GenesisError(RefusedError):
    """A chain of headers does not begin with its network's first block."""


class LinkageError(RefusedError):
    """A header does not name the one before it."""


class RetargetError(RefusedError):
    """A header's target is not the one that the rules of its network give at that height."""


class HeaderTimeError(RefusedError):
    """A header's time is not after the median of the eleven before it."""


# Ethereum


class RlpError(RefusedError):
    """The bytes are not RLP in its canonical form."""


class EthereumHeaderError(RefusedError):
    """The block header is not a list of the fields that headers have."""


class TrieNodeError(RefusedError):
    """A node of the trie is no branch, extension or leaf."""


class TrieHashError(RefusedError):
    """A node of the trie is not the one its parent, or the header, names."""


class TriePathError(RefusedError):
    """The nodes do not lead to the transaction's index, or go on beyond it."""


class EthereumTransactionError(RefusedError):
    """The transaction is of an unknown type or lacks a field."""


class EthereumDataError(RefusedError):
    """The transaction's data is not the root, alone or with a plain root behind it."""


class ChainIdError(RefusedError):
    """The transaction is for another chain than the evidence names, or for any."""


# The plain root


class PlainPathError(RefusedError):
    """The plain path is malformed or does not lead from the leaf to the plain root."""


# OpenTimestamps


class OtsTooLargeError(RefusedError):
    """The file is longer, or takes more steps to compute, than a proof can need."""


class OtsMagicError(RefusedError):
    """The file does not begin as an `.ots` file of version 1 does."""


class OtsTruncatedError(RefusedError):
    """The file ends before it is complete."""


class OtsTrailingError(RefusedError):
    """Something follows the end of the proof."""


class OtsNumberError(RefusedError):
    """A number is written in more bytes than it needs, or is too large."""


class OtsOperationError(RefusedError):
    """An operation is unknown, so what follows it cannot be read."""


class OtsArgumentError(RefusedError):
    """An operation's argument or result, or an attestation, has a forbidden length."""


class OtsDepthError(RefusedError):
    """More operations follow one another than the format allows."""


class OtsAttestationError(RefusedError):
    """A known attestation holds something else than it should."""


class OtsMergeError(RefusedError):
    """Two timestamps are of different messages."""


class NotExpressibleError(RefusedError):
    """The proof is right but cannot be written as an `.ots` file."""


class DerError(RefusedError):
    """The bytes are not DER, or not of the type that stands here."""


class TokenFormatError(RefusedError):
    """The token is not CMS signed data of one signer over a TSTInfo."""


class TokenTimeError(RefusedError):
    """The token's time is not a GeneralizedTime in UTC, or its accuracy is none."""


class TokenExtensionError(RefusedError):
    """The token has a critical extension, which changes what it says in a way unknown here."""


class TokenImprintError(RefusedError):
    """The token is over something else than the root's 32 bytes."""


class TokenAttributeError(RefusedError):
    """A signed attribute is missing, doubled or malformed."""


class TokenDigestError(RefusedError):
    """The signed digest is of another TSTInfo than the one in the token."""


class TokenCertificateError(RefusedError):
    """The signer's certificate is missing, or may not sign such a token at such a time."""


class TokenKeyError(RefusedError):
    """The signer's key is malformed or too weak."""


class TokenSignatureError(RefusedError):
    """The token's signature is not the signer's."""


# Upstreams


class UpstreamHashError(RefusedError):
    """The upstream's proof is about something else than the root."""


class ProofDepthError(RefusedError):
    """Too many proofs stand inside one another."""


# The audit log


class AuditFormatError(RefusedError):
    """The proof of an entry lacks a member, has one that is unknown, or one of another kind."""


class AuditEntryError(RefusedError):
    """An entry lacks a member, has one that is unknown, or one that is malformed."""


class AuditSubjectError(RefusedError):
    """A proof is about something else than the entry after the hash before it: something was altered."""


class AuditTimeError(RefusedError):
    """An entry names a time after the one by which it existed."""
