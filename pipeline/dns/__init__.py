"""Questions to DNS, and what a domain's records say about its mail: whether it takes any, SPF, DKIM, DMARC, PTR; and
about a mail that was received: whether its signatures hold, and whose they are.

Only `resolver` asks; the others are given a way to ask, and are pure but for that. No database, no account. Whether an
answer is good or bad is said by whoever asked: a report, or a rule.
"""
