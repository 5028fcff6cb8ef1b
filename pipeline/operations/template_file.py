"""The templates that a campaign's file names, or writes itself. Writes nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from models.errors import SlowpostError
from pipeline.operations import fields, templates
from pipeline.operations.file_nodes import Text
from pipeline.operations.file_values import Field, Reading

#: By part; None: there is none. A subject None: the template is that of follow-ups.
Words = Mapping[str, str | None]
#: Returns what a file holds that a campaign's file names. Raises FieldError.
ReadFile = Callable[[str], str]

#: Parts that can also stand in a file of their own: `text-file`.
BODIES = ("text", "html")
TEMPLATE_KEYS = ("name", "subject", "text", "text-file", "html", "html-file", "preheader")

#: What is said of a part, and the line of the part if it is known.
_SAID = re.compile(r"\w+(?:, line (?P<line>\d+))?: (?P<problem>.*)", re.DOTALL)


class TemplatesRead:
    """Reads templates of a file.

    Attributes:
        written: those that the file writes, by name.
    """

    def __init__(self, reading: Reading, read_file: ReadFile) -> None:
        self._reading = reading
        self._read_file = read_file
        self.written: dict[str, Words] = {}

    def read(self, field: Field) -> str | None:
        """Return the name or id of a template: of one that is named, or of one that is written here. None: a mistake is
        in it.
        """
        if isinstance(field.node, Text):
            return self._reading.value(field, fields.one_line, None)
        if (given := self._reading.table(field, TEMPLATE_KEYS)) is None:
            return None
        if "name" not in given:
            self._reading.wrong(field, "name is missing: by which a template is found again")
        name = self._reading.value(given.get("name"), fields.name, None)
        words: dict[str, str | None] = {part: self._part(part, given.get(part)) for part in templates.PARTS}
        words |= {part: words[part] or None for part in ("html", "preheader")}
        for body in BODIES:
            if (file := given.get(f"{body}-file")) is not None:
                if body in given:
                    self._reading.wrong(file, f"a template has either {body} or {body}-file, not both")
                words[body] = self._from_file(body, file)
        if not given.keys() & {"text", "text-file"}:
            self._reading.wrong(field, "text is missing, or text-file: every mail has a text")
        if name in self.written:
            self._reading.wrong(given["name"], "it is written twice: the second time its name is enough")
        elif name is not None:
            self.written[name] = words
        return name

    def _part(self, part: str, field: Field | None) -> str | None:
        if field is None:
            return None
        found = self._reading.text(field)
        return "" if found is None else self._checked(part, found.text, field, found.first)

    def _from_file(self, part: str, field: Field) -> str | None:
        text = self._reading.value(field, self._read_file, None)
        return "" if text is None else self._checked(part, text, field, None)

    def _checked(self, part: str, text: str, field: Field, first: int | None) -> str | None:
        """Return a part as it is stored. `first`: the line of the campaign's file on which its first line stands."""
        try:
            if part == "subject" and not text.strip():
                raise fields.FieldError("subject: it is empty (left out: that of the mail before)")
            return templates.checked({part: text})[part]
        except SlowpostError as error:
            said = _SAID.fullmatch(str(error))
            line, problem = (said["line"], said["problem"]) if said else (None, str(error))
            if line is not None and first is not None:
                self._reading.wrong(field, problem, first + int(line) - 1)
            else:
                self._reading.wrong(field, f"line {line}: {problem}" if line else problem)
            return text
