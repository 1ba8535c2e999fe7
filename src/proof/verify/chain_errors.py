"""What a verifier refuses of chains and of `.ots` files: one class for each malformation."""

from proof.verify.errors import RefusedError

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
    """The transaction's data is not the root."""


class ChainIdError(RefusedError):
    """The transaction is for another chain than the evidence names, or for any."""


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
