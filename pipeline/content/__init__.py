"""What is written: a template becomes words, words become bytes, and the bytes are checked. Pure.

No database, no network, no settings read: keys and limits are arguments.
"""
