"""Mail: plain text to one address, through the operator's relay."""

from proof.mail.smtp import Mailer, MailError, Security, Sender

__all__ = ["MailError", "Mailer", "Security", "Sender"]
