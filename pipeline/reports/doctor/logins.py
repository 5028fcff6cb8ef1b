"""What is found out about accounts: can their passwords be read, and do their servers let them in. Writes and sends
nothing.

Trouble: each login ends in bounded time, and several are under way together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from models import Auth, Security, SmtpAccount, database
from models.address import normalise_domain
from pipeline.accounts.identity import endpoint_of, mailbox_of
from pipeline.capacity import usage
from pipeline.dns.spf import Spf
from pipeline.imap.connection import MailboxError
from pipeline.imap.login import try_out as open_and_list
from pipeline.reports.doctor.account import Account
from pipeline.reports.doctor.mailbox import Mailbox
from pipeline.runtime.secret_key import SecretKeyError
from pipeline.runtime.settings import settings
from pipeline.smtp.connection import Endpoint
from pipeline.smtp.trial import Trial, try_out

#: Servers and domains that are asked at the same time.
THREADS = 8
#: Seconds for one command of a login, where MAIL_SMTP_TIMEOUT is not less.
LOGIN_TIMEOUT = 15.0


def endpoint(account: SmtpAccount) -> Endpoint:
    """Return where an account logs in, for a trial. Raises SecretKeyError where its password can't be read."""
    found = endpoint_of(account)
    return replace(found, timeout=min(found.timeout, LOGIN_TIMEOUT))


def log_in(where: Endpoint) -> Trial:
    """Try a login, in whatever thread."""
    # An access token that can't be had may be reported with the time of the database.
    with database.connection():
        return try_out(where)


def open_mailbox(account: SmtpAccount) -> Mailbox:
    """Try the login to an account's mailbox, in whatever thread."""
    with database.connection():
        try:
            where = mailbox_of(account)
            if where is None:
                return Mailbox(None)
            where = replace(where, timeout=min(where.timeout, LOGIN_TIMEOUT))
            return Mailbox(where.host, tuple(open_and_list(where)))
        except (MailboxError, SecretKeyError) as error:
            return Mailbox(account.imap_host, problem=str(error))


def together(jobs: Sequence[Callable[[], object]], on_progress: Callable[[int, int], None]) -> None:
    """Do jobs, several at a time; `on_progress` is told how many are done, and how many there are."""
    with ThreadPoolExecutor(THREADS) as pool:
        submitted = [pool.submit(job) for job in jobs]
        try:
            for done, job in enumerate(submitted, 1):
                job.result()
                on_progress(done, len(submitted))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def domain_of(account: SmtpAccount) -> str:
    """Return the domain that an account writes as, in IDNA."""
    return normalise_domain(account.from_address.rpartition("@")[2])


def facts_of(account: SmtpAccount, problem: str | None, trial: Trial | None, spf: Spf | None = None) -> Account:
    """Return what is to be judged of an account.

    Args:
        account: as it is stored.
        problem: why its password can't be read.
        trial: what came of its login; None: it was not tried.
        spf: of the domain it writes as; None: it was not asked.
    """
    return Account(
        host=account.host,
        security=Security(account.security),
        username=account.username,
        auth=Auth(account.auth),
        plain_password=account.plain_password,
        from_address=account.from_address,
        from_domain=domain_of(account),
        limit=usage.full_limit_of(account),
        interval=settings().mail_min_interval,
        password_problem=problem,
        trial=trial,
        spf=spf,
    )
