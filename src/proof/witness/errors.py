"""Why a witness does not cosign. The messages are for whoever sent the request."""

from proof.core.errors import CallerError, OtherSideError, ProofError


class WitnessError(ProofError):
    """The witness cannot be made, or cannot run; the message says the next step."""

    code = "witness_error"


class MalformedRequestError(CallerError):
    """It is no request, or starts from more than its checkpoint holds."""


class RequestTooLargeError(CallerError):
    """It is longer than any request needs to be."""


class UnknownLogError(CallerError):
    """The witness was not told of this log."""


class UnsignedCheckpointError(CallerError):
    """No key that is trusted for the log signed the checkpoint."""


class OtherSizeError(CallerError):
    """The request starts from another size than the witness holds, which is `size`."""

    def __init__(self, size: int) -> None:
        super().__init__(f"the witness holds size {size}")
        self.size = size


class InconsistentError(CallerError):
    """The checkpoint is not shown to extend what the witness holds."""


class ClockBehindError(OtherSideError):
    """The clock shows less than the time of the newest cosignature; `retry_after_s` later it does not,
    unless it was wrong then or is wrong now."""

    def __init__(self, behind_s: int) -> None:
        super().__init__(f"the witness's clock is {behind_s} s behind its newest cosignature")
        self.retry_after_s = behind_s


class StoreError(OtherSideError):
    """The witness's state could not be read or written; nothing was signed."""
