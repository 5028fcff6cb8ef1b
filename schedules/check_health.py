"""Daily at 23:00: switch off accounts that have gone bad."""

from __future__ import annotations

from models import SmtpAccount
from pipeline.accounts import health


def check() -> list[SmtpAccount]:
    """Check all accounts; return those that were switched off."""
    return health.check()
