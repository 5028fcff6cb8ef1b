"""Before a mail in doubt is sent again, the folder Sent of its account is looked at: what lies there was accepted.

Reads: that folder, over a connection of its own. Writes nothing.
"""

from __future__ import annotations

from models import Delivery, Role, SmtpAccount
from pipeline.accounts.identity import mailbox_of
from pipeline.imap.connection import MailboxError
from pipeline.imap.login import connect
from pipeline.operations.done import OperationRefusedError


def demand_not_there(delivery: Delivery) -> None:
    """Refuse where the mail of a delivery lies in Sent, or where that can't be looked at.

    Not asked: an account without a mailbox, and one whose copies Slowpost saves itself, since they are no evidence.

    Raises:
        OperationRefusedError: it is there; or nobody can say.
        SecretKeyError: the password of the mailbox can't be decrypted.
    """
    account = SmtpAccount.get_or_none(SmtpAccount.id == delivery.account_id)
    endpoint = None if account is None or account.save_sent else mailbox_of(account)
    if endpoint is None or delivery.message_id is None:
        return
    try:
        connection = connect(endpoint)
        try:
            for folder in connection.folders():
                if folder.role is not Role.SENT:
                    continue
                connection.examine(folder.name)
                if connection.uid_of(delivery.message_id) is not None:
                    raise OperationRefusedError(
                        f"delivery {delivery.id} was sent: it lies in the folder {folder.name!r} of its account. "
                        f"The next look at the mailbox says so, or `slowpost in-doubt resolve {delivery.id} --sent`"
                    )
        finally:
            connection.close()
    except MailboxError as error:
        raise OperationRefusedError(
            f"the folder Sent of account {account.id} can't be looked at: {error}; "
            "--without-looking sends it again all the same"
        ) from None
