"""The JSON bodies of the operator API. Names are those of the partner file and the commands."""

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from proof.partners.handover.sheet import PartnerCredentials
from proof.partners.records.changes import Difference, EnvironmentChange, PartnerChange
from proof.partners.records.types import PartnerSummary
from proof.partners.records.view import PartnerView

_Force = Annotated[
    bool, Meta(description="accept networks wider than /8 (IPv4) or /32 (IPv6); it is audited")
]


class NewPartnerRequest(PartnerChange, frozen=True, kw_only=True):
    """Whatever is not named starts as the platform starts it."""

    name: str
    contact_email: str
    production: EnvironmentChange
    force: _Force = False
    link: Annotated[
        bool,
        Meta(description="put the secrets behind a link that shows them once, not in the answer"),
    ] = False


class EditRequest(PartnerChange, frozen=True, kw_only=True):
    """Only what is named changes; a list replaces the whole list."""

    version: Annotated[int, Meta(description="the version you saw; another answers 409")]
    force: _Force = False


_MAILED = Meta(
    description="the contact's address, when a mail relay took the link; null: hand it over yourself"
)


class NewPartnerAnswer(Struct, kw_only=True):
    """Either the secrets or the link to them."""

    partner: PartnerView
    credentials: PartnerCredentials | msgspec.UnsetType = msgspec.UNSET
    handover_url: str | msgspec.UnsetType = msgspec.UNSET
    expires_at: str | msgspec.UnsetType = msgspec.UNSET
    mailed_to: Annotated[str | msgspec.UnsetType | None, _MAILED] = msgspec.UNSET


class HandoverAnswer(Struct, kw_only=True):
    """A link that shows secrets once."""

    handover_url: str
    expires_at: str
    mailed_to: Annotated[str | None, _MAILED]


class EditAnswer(Struct, kw_only=True):
    """The record as it is now, and what differs from before."""

    partner: PartnerView
    changes: list[Difference]


class PartnerPage(Struct, kw_only=True):
    """Partners in the order they came."""

    partners: list[PartnerSummary]
    next: Annotated[str, Meta(description="`after` of the next page; empty on the last")]


class CodedMessage(Struct):
    """Every error's body below `/operator`."""

    message: str
    code: str
