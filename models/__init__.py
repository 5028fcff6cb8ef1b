"""What is stored: one module for each noun. Imports nothing of the pipeline, the broker or the mail."""

from models.account import Auth, Security, SmtpAccount
from models.account_tag import AccountTag
from models.attachment import Attachment, StoredFile
from models.attempt import Attempt, ChargedTo, Outcome
from models.campaign import (
    Campaign,
    CampaignList,
    CampaignSender,
    CampaignState,
    Step,
    Variant,
    WhenAccountIsOff,
)
from models.contact import Contact, Website
from models.contact_list import ContactList, ListMember
from models.control import Action, Control
from models.daily_figures import DailyFigure
from models.dead_letter import DeadLetter, DeadLetterKind, Resolution
from models.delivery import Delivery
from models.domain_check import DomainCheck, DomainResult
from models.enrolment import Enrolment, EnrolmentState
from models.event import Event, insert_deliveries, transition, transition_of
from models.heartbeat import Heartbeat, Kind, OpenAlert
from models.inbound_mail import Effect, InboundMail, LateBounce, NamedBy
from models.mailbox import CopyState, Mailbox, MailboxFolder, Role, SentCopy, SentLook
from models.opt_out import Choice, OptOut, Way
from models.self_mail import SelfMail
from models.states import Cause, Reason, State
from models.stored_key import Purpose, StoredKey
from models.suppression import Suppression, SuppressionKind
from models.template import EmailTemplate

#: Every table, in an order in which they can be created.
TABLES = (
    Control,
    Action,
    Website,
    Contact,
    EmailTemplate,
    StoredFile,
    Attachment,
    ContactList,
    ListMember,
    SmtpAccount,
    AccountTag,
    SelfMail,
    Campaign,
    CampaignList,
    CampaignSender,
    Step,
    Variant,
    Enrolment,
    Delivery,
    Attempt,
    Event,
    DailyFigure,
    DeadLetter,
    OptOut,
    InboundMail,
    LateBounce,
    Mailbox,
    MailboxFolder,
    SentLook,
    SentCopy,
    Suppression,
    DomainCheck,
    StoredKey,
    Heartbeat,
    OpenAlert,
)

__all__ = [
    "TABLES",
    "AccountTag",
    "Action",
    "Attachment",
    "Attempt",
    "Auth",
    "Campaign",
    "CampaignList",
    "CampaignSender",
    "CampaignState",
    "Cause",
    "ChargedTo",
    "Choice",
    "Contact",
    "ContactList",
    "Control",
    "CopyState",
    "DailyFigure",
    "DeadLetter",
    "DeadLetterKind",
    "Delivery",
    "DomainCheck",
    "DomainResult",
    "Effect",
    "EmailTemplate",
    "Enrolment",
    "EnrolmentState",
    "Event",
    "Heartbeat",
    "InboundMail",
    "Kind",
    "LateBounce",
    "ListMember",
    "Mailbox",
    "MailboxFolder",
    "NamedBy",
    "OpenAlert",
    "OptOut",
    "Outcome",
    "Purpose",
    "Reason",
    "Resolution",
    "Role",
    "Security",
    "SelfMail",
    "SentCopy",
    "SentLook",
    "SmtpAccount",
    "State",
    "Step",
    "StoredFile",
    "StoredKey",
    "Suppression",
    "SuppressionKind",
    "Variant",
    "Way",
    "Website",
    "WhenAccountIsOff",
    "insert_deliveries",
    "transition",
    "transition_of",
]
