"""What is stored: one module for each noun. Imports nothing of the pipeline, the broker or the mail."""

from .account import Security, SmtpAccount
from .attempt import COUNTS_AS_USED, Attempt, ChargedTo, Outcome
from .contact import Contact, Website
from .control import Action, Control
from .dead_letter import DeadLetter, DeadLetterKind, Resolution
from .delivery import Delivery, Reason, State
from .suppression import Suppression, SuppressionKind
from .template import EmailTemplate

#: Every table, in an order in which they can be created.
TABLES = (
    Control,
    Action,
    Website,
    Contact,
    EmailTemplate,
    SmtpAccount,
    Delivery,
    Attempt,
    DeadLetter,
    Suppression,
)

__all__ = [
    "COUNTS_AS_USED",
    "TABLES",
    "Action",
    "Attempt",
    "ChargedTo",
    "Contact",
    "Control",
    "DeadLetter",
    "DeadLetterKind",
    "Delivery",
    "EmailTemplate",
    "Outcome",
    "Reason",
    "Resolution",
    "Security",
    "SmtpAccount",
    "State",
    "Suppression",
    "SuppressionKind",
    "Website",
]
