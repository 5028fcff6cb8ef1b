"""What comes back by mail: what a message is, by which evidence, and what follows. docs/inbox.md has the rules.

Pure are `classify` and what it asks: `message` reads the bytes and never raises; `bounce`, `older`, `automatic`,
`reply` and `notices` each know one kind of mail. `record` stores a mail once, with what follows (`effects`). Mails come
from files (`importing`), and from the accounts' mailboxes: `reader` connects, `mailbox` looks at what is new, `doubt`
looks for mails in doubt, and `copies` saves what a provider does not keep.
"""
