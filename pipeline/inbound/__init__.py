"""What comes back by mail: what a message is, and by which evidence. Pure: raw bytes in, a typed result out.

`message` reads the bytes and never raises; `bounce`, `older`, `automatic`, `reply` and `notices` each know one kind of
mail; `classify` asks them in order. Nothing here reads a mailbox or a database. docs/inbox.md has the rules.
"""
