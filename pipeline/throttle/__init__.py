"""The policy of sending: who is next, when, from which account, within which limits. Pure.

Everything is an argument: accounts, backlog, time, window, rules. No database, no clock of its own, no settings read.
"""
