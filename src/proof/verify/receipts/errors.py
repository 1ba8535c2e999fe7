"""What is refused of a receipt, its statement and what is held against it: one class for each."""

from proof.verify.errors import RefusedError

# The receipt's own form


class ReceiptFormatError(RefusedError):
    """The receipt lacks a member, has one that is unknown, or one of another kind."""


class NoRecordError(RefusedError):
    """The receipt holds no record."""


# A record by itself


class RecordVersionError(RefusedError):
    """A record has a version, or a kind, that this verifier does not know."""


class RecordMemberError(RefusedError):
    """A record lacks a member of its version and kind, has another, or one that is malformed."""


class RecordHashError(RefusedError):
    """A record is not the one its `sha256` is of: it was altered."""


class MoneyError(RefusedError):
    """A record's amounts cannot stand with its status, or with one another."""


# The chain


class SequenceError(RefusedError):
    """A record's number is not the next one: one is missing, doubled, or in another place."""


class ChainLinkError(RefusedError):
    """A record does not name the hash of the one before it."""


class RecordIdError(RefusedError):
    """Two records have one id."""


class OtherTransactionError(RefusedError):
    """A record is of another transaction, partner or environment, or calls the transaction another."""


class RecordTimeError(RefusedError):
    """A record's time is before that of the one before it, or it is not the one it should be."""


class VersionOrderError(RefusedError):
    """A record has an older version than the one before it."""


class OpeningError(RefusedError):
    """A chain of version 3 does not begin with its session's opening, or has one in another place."""


class StatusError(RefusedError):
    """A status that cannot follow the one before it, such as one after the end."""


class StatusSequenceError(RefusedError):
    """A status change is not numbered by the status changes before it."""


class CauseError(RefusedError):
    """What caused a change does not stand right before it, or caused nothing."""


class RefundError(RefusedError):
    """A refund that cannot follow what was before it, or that a later record does not tell."""


# Who said it, and when


class ProofSubjectError(RefusedError):
    """A proof is about something else than the record, or the statement, it stands beside."""


class LogForkError(RefusedError):
    """Two proofs hold two roots that one log signed at one size."""


class ReceiptSignatureError(RefusedError):
    """The receipt's signature is over something else, or one by a trusted key does not verify."""


# The statement


class StatementFormatError(RefusedError):
    """The statement lacks a member, has one that is unknown, or one that is malformed."""


class StatementLeafError(RefusedError):
    """The leaf is of another transaction, partner or environment, or not in the statement's tree."""


class ShortenedError(RefusedError):
    """The statement counts more records than the receipt holds: records at its end are missing."""


class OtherHeadError(RefusedError):
    """The statement names another record in that place: the chain was rewritten."""


# What is held against a receipt


class DisclosureError(RefusedError):
    """A disclosure is malformed, of another transaction, or not of what the record's hash is of."""


# A whole statement, and the list of its lines


class StatementLinesError(RefusedError):
    """The list is not the one that the statement is of: it was altered, or is of another day."""


class StatementSumsError(RefusedError):
    """The statement's totals are not the sums of its lines."""


class StatementDayError(RefusedError):
    """The statement before is not the one that the statement follows, or a day lies between them."""
