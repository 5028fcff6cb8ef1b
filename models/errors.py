"""The base class of all errors that a person can have caused, or can repair."""

from __future__ import annotations


class SlowpostError(Exception):
    """Something can't be done as things are, and nothing is wrong with the program: the message is one line for a
    person.

    A mistake in the program is never one of these, so that it is seen with its traceback.
    """
