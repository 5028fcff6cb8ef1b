"""What is written: a template is rendered, what was rendered becomes bytes, and the bytes are checked. Pure, but for
the process in which templates are rendered.

No database, no network, no settings read: keys and limits are arguments.
"""
