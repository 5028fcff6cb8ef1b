"""What is wrong, and what to do about it: settings, database, each account, and the DNS of the senders' domains.

`examine` gathers: it asks the database, the accounts' servers and DNS. `installation`, `account` and `domain` judge
what it has gathered, and are pure.
"""
