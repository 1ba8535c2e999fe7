"""What a partner's backend asks for, and what it is answered (ramp API contract, "POST
/widget/session")."""

from typing import Annotated, Literal
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType

from proof.ramp.types import FailureReason, KycStatus, RefundStatus, Status, TransactionType

# The most characters that a user id and a reference of a partner may have.
USER_ID_MAX = 255
REFERENCE_MAX = 255


class SessionRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """As sent: types are right, nothing else is checked."""

    partner_user_id: Annotated[
        str, Meta(description=f"your id of the user, 1 to {USER_ID_MAX} characters")
    ]
    user_email: str
    network: Annotated[
        str,
        Meta(description="TRC20, ERC20, BEP20, …; one enabled for you", examples=["TRC20"]),
    ]
    currency: Annotated[str, Meta(description="the coin; one enabled for you")]
    amount: Annotated[str, Meta(description="in coins: over 0, up to 18 decimals, no exponent")]
    type: Annotated[
        Literal["buy", "sell"] | UnsetType, Meta(description="your configured type unless named")
    ] = UNSET
    redirect_url: Annotated[
        str | UnsetType, Meta(description="https; where the user goes afterwards")
    ] = UNSET
    client_ip: Annotated[
        str | UnsetType, Meta(description="the user's address; mixed into the signature")
    ] = UNSET
    address: Annotated[
        str | UnsetType,
        Meta(description="the user's wallet; ignored unless the operator allows it"),
    ] = UNSET
    partner_reference: Annotated[
        str | UnsetType,
        Meta(
            description=f"what you call the transaction, up to {REFERENCE_MAX} characters; told back"
            " as sent"
        ),
    ] = UNSET


class StoredParameters(Struct, frozen=True, kw_only=True):
    """The part of the answer that is kept in the clear: nothing personal, nothing secret."""

    merchant_transaction_id: Annotated[str, Meta(description="a UUID, the same across retries")]
    widget_id: str
    signature: Annotated[str, Meta(description="v2: and 128 hexadecimal digits")]
    currency: str
    currencies: tuple[str, ...]
    network: str
    networks: tuple[str, ...]
    amount: str
    fiat_currency: str
    fiat_currencies: tuple[str, ...]
    type: TransactionType
    lang: str
    theme: str
    redirect_url: str


class WidgetParameters(StoredParameters, frozen=True, kw_only=True):
    """What the host page passes to the widget, every value as it is."""

    address: Annotated[str, Meta(description="where coins go; of a sell, where they go back to")]
    init_token: Annotated[str, Meta(description="opens the widget once, within an hour")]
    fix_network: tuple[str, ...]
    init_token_type: Literal["sdk_partner_authorization"] = "sdk_partner_authorization"  # noqa: S105
    fix_currency: bool = True
    fix_amount: bool = True
    fix_fiat_currency: bool = False
    fix_fiat_amount: bool = True


class TransactionView(Struct, frozen=True, kw_only=True):
    """A transaction as its partner sees it."""

    merchant_transaction_id: UUID
    partner_user_id: str
    partner_reference: Annotated[str, Meta(description="as sent, or empty")]
    type: TransactionType
    status: Status
    currency: str
    network: str
    crypto_amount: str
    fiat_currency: Annotated[str, Meta(description="empty as long as `fiat_amount` is")]
    fiat_amount: Annotated[
        str,
        Meta(
            description="a buy: price and fee, all the user pays; a sale: price less fee, all the user"
            " gets. Empty before `processing`, and on every failed or cancelled sale"
        ),
    ]
    fiat_fee: Annotated[str, Meta(description="all fees; empty where the provider does not tell")]
    rate: Annotated[
        str, Meta(description="one coin before fees; empty where the provider does not tell fees")
    ]
    payment_method: Annotated[str, Meta(description="empty while it is not known")]
    failure_reason: Annotated[
        FailureReason, Meta(description="of a failed transaction, else empty")
    ]
    chain_transaction: Annotated[
        str, Meta(description="the one on the chain: of a buy's delivery, of a sale's deposit")
    ]
    chain_transaction_url: Annotated[str, Meta(description="where to look it up")]
    refund_status: RefundStatus
    refund_amount: Annotated[
        str, Meta(description="in `fiat_currency`; empty as long as `refund_status` is `none`")
    ]
    refunded_at: Annotated[
        str, Meta(description="when the money went back; empty for `none` and `requested`")
    ]
    created_at: str
    updated_at: Annotated[str, Meta(description="of the last change of status")]
    occurred_at: Annotated[str, Meta(description="the same")]
    record_sha256: Annotated[
        str,
        Meta(description="SHA-256 of the newest event's record, in hex; empty before the first"),
    ]


class KycView(Struct, frozen=True, kw_only=True):
    """How far the user's identification is."""

    partner_user_id: str
    status: KycStatus
