"""Mailing a one-time link to the partner's contact."""

from proof.mail import Sender
from proof.partners.handover.links import HandoverLink
from proof.partners.records.types import PartnerRecord

_SUBJECT = "Your credentials, shown once"


async def mail_link(sender: Sender, record: PartnerRecord, link: HandoverLink) -> str:
    """The address it was handed over for. Raises MailError; then the link is as good as before."""
    text = (
        f"Your credentials for {record.name} are ready:\n\n{link.url}\n\n"
        f"The page shows them one time, until {link.expires_at:%Y-%m-%d %H:%M} UTC."
        " Open it where you can store them in a safe place.\n"
    )
    await sender.send(record.contact_email, _SUBJECT, text)
    return record.contact_email
