"""What would go wrong with a campaign before its first mail: gathered by `examine`, each part in a file of its own.

`words` looks at what its templates say, `audience` at whom it is for and renders its mails for them, `senders` at the
accounts, `calendar` at hours and days. Nothing is written and nothing is sent.
"""
