"""The policy of sending: who is next, when, from which account, within which limits. Pure.

Everything is an argument: accounts, backlog, time, window, rules. It reads no database, no clock and no settings.
"""
