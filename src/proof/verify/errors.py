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
    """The tree's time is not the time that was signed."""


# The proof against what it was asked about


class SubjectMismatchError(RefusedError):
    """The file or hash given beside the proof is not the one the proof is about."""
