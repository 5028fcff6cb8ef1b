"""What every mail to strangers has to say at its end: how to get no more, and who sends it from where. Pure.

Asked of the source, before anybody is written to: `{{ unsubscribe }}` and `{{ postal_address }}`, or the address
itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from models import EmailTemplate
from pipeline.content.template import Footer

_COMMENT = re.compile(r"\{#.*?#\}", re.DOTALL)


def missing(template: EmailTemplate, footer: Footer) -> Iterator[str]:
    """Yield, in words, what a template's bodies do not say."""
    for part, source in _bodies(template).items():
        if not _uses(source, "unsubscribe"):
            yield f"its {part} has no {{{{ unsubscribe }}}}"
        if not _uses(source, "postal_address") and not _says(source, footer.postal_address):
            yield f"its {part} has no {{{{ postal_address }}}}"


def undefined(template: EmailTemplate, footer: Footer) -> Iterator[str]:
    """Yield, in words, what a template's bodies use and no setting says: each mail would fail."""
    used = [
        name for name in ("unsubscribe", "postal_address") if any(_uses(s, name) for s in _bodies(template).values())
    ]
    settings = {
        "unsubscribe": (footer.unsubscribe, "neither MAIL_UNSUBSCRIBE_URL nor MAIL_UNSUBSCRIBE_MAILTO is set"),
        "postal_address": (footer.postal_address, "MAIL_POSTAL_ADDRESS is not set"),
    }
    for name in used:
        value, problem = settings[name]
        if not value:
            yield f"it has {{{{ {name} }}}}, and {problem}"


def _bodies(template: EmailTemplate) -> dict[str, str]:
    bodies = {"text": template.text, "HTML": template.html}
    return {part: _COMMENT.sub("", source) for part, source in bodies.items() if source is not None}


def _uses(source: str, name: str) -> bool:
    return re.search(rf"\{{\{{[^{{}}]*\b{name}\b", source) is not None


def _says(source: str, words: str | None) -> bool:
    return bool(words) and " ".join(str(words).split()) in " ".join(source.split())
