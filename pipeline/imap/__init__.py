"""Mailboxes by IMAP (RFC 3501): a connection that is bounded in time and in octets, its folders, their messages.

It changes nothing in a mailbox (EXAMINE, BODY.PEEK), but for the one command that is meant to: `Connection.append`.
What is read, and what follows from it, is for `inbound` to say.
"""
