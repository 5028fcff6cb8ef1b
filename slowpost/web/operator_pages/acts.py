"""What all actions of the operator's pages have in common: a page asks, its form acts, the answer says what was done.

Each is one function of `operations`, which keeps who did it, when and why (page *Actions*). A GET only asks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from flask import g, request

from pipeline.operations.done import Done
from pipeline.runtime.printable import printable
from slowpost.handing_on import hand_on
from slowpost.web.operator_pages.frame import render

#: Characters of a reason.
LONGEST_REASON = 500


@dataclass(frozen=True)
class Told:
    """What an action came to.

    Attributes:
        sentence: the same for a person.
        done: what is to be handed on.
        remove_copies: whether dead letters were closed, whose copies on RabbitMQ are to go.
    """

    sentence: str
    done: Done
    remove_copies: bool = False


@dataclass(frozen=True)
class Act:
    """An action, as its page asks about it.

    Attributes:
        title: the question.
        words: what follows from it.
        button: the verb, as it stands on the button.
        back: the path of the page that one comes from and goes back to.
        do: does it; is given who acts, and why.
        is_grave: whether it can't be taken back.
    """

    title: str
    words: str
    button: str
    back: str
    do: Callable[[str, str], Told]
    is_grave: bool = False


def asked(act: Act) -> str:
    """Return the page that asks, or, for a POST, do it and return the page that says what was done."""
    if request.method != "POST":
        return render("act.html", act=act, longest_reason=LONGEST_REASON)
    reason = printable(" ".join(request.form.get("reason", "").split()))[:LONGEST_REASON]
    told = act.do(g.visitor.who, reason)
    warnings = hand_on(told.done.handoffs, remove_copies=told.remove_copies)
    return render("done.html", act=act, sentence=told.sentence, warnings=warnings)
