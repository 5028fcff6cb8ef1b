"""The accounts that send a campaign: can each of them log in, and how much may they send. Sends nothing."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from models import Campaign, SmtpAccount
from pipeline.accounts import passwords
from pipeline.campaigns import readiness
from pipeline.capacity import usage
from pipeline.reports.campaign_check.findings import About, CampaignFinding, Severity
from pipeline.reports.doctor import logins
from pipeline.reports.doctor.account import login
from pipeline.reports.doctor.findings import Level
from pipeline.smtp.trial import Trial


def of(campaign: Campaign) -> list[SmtpAccount]:
    """Return the accounts that send a campaign, by id."""
    return list(SmtpAccount.select().where(readiness.sends(campaign)).order_by(SmtpAccount.id))


def tried(
    accounts: Sequence[SmtpAccount], on_progress: Callable[[int, int], None], *, log_in: bool
) -> tuple[list[CampaignFinding], int]:
    """Try the logins of accounts, each once; return what there is to say about them, and how many were tried.

    Args:
        accounts: those that send. One that is switched off is not tried.
        on_progress: told how many have been tried, and how many there are to try.
        log_in: whether to ask their servers; else only whether their passwords can be read.
    """
    on = [account for account in accounts if account.enabled]
    problems = {account.id: passwords.problem_of(account) for account in on}
    trials: dict[int, Trial] = {}

    def try_one(account: SmtpAccount) -> None:
        trials[account.id] = logins.log_in(logins.endpoint(account))

    if log_in:
        readable = [account for account in on if problems[account.id] is None]
        logins.together([partial(try_one, account) for account in readable], on_progress)
    found = [*_off(accounts)]
    for account in on:
        for finding in login(logins.facts_of(account, problems[account.id], trials.get(account.id))):
            if finding.level is Level.ERROR:
                said = f"{account.name}: {finding.found}"
                found.append(
                    CampaignFinding(Severity.PROBLEM, About.ACCOUNT, said, finding.remedy, account_id=account.id)
                )
    return found, len(trials)


def _off(accounts: Sequence[SmtpAccount]) -> Iterator[CampaignFinding]:
    for account in accounts:
        if not account.enabled:
            why = f": {account.disabled_reason}" if account.disabled_reason else ""
            said, remedy = f"{account.name} is switched off{why}", f"`slowpost accounts enable {account.id}`"
        elif account.paused_at is not None:
            said, remedy = f"{account.name} is paused", f"`slowpost resume --account {account.id}`"
        else:
            continue
        yield CampaignFinding(Severity.NOTE, About.ACCOUNT, said, remedy, account_id=account.id)


def a_day(campaign: Campaign, accounts: Sequence[SmtpAccount], today: dt.date) -> int:
    """Return how many mails a campaign may send on a date at most: by its own limit, and its accounts' limits."""
    usable = [account for account in accounts if account.enabled and account.paused_at is None]
    most = sum(usage.limit_of(account, today) for account in usable)
    return most if campaign.daily_limit is None else min(most, campaign.daily_limit)
