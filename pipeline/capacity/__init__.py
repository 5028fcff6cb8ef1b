"""A snapshot of accounts and backlog: slots, what is used, what waits. Read in few statements, through indexes.

Decides nothing (`throttle` does). Writes only slots given back, in the caller's transaction.
"""
