"""The dialogue with a mail server, and whose fault a reply is (`reply`, the one table).

Knows connections, commands and replies. No database, no delivery, no account's row: an `Endpoint` is all it is given.
"""
