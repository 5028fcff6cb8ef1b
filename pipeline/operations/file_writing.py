"""A table written as YAML or TOML, as a person would write it. Pure.

Both read back as the same texts, whatever characters are in them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import yaml

#: What both formats have as it is in a text of several lines; everything else is escaped there.
_PLAIN = re.compile(r"[\t\n -~\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]*")
_ESCAPED = re.compile(r"[\x7f-\x9f]")


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]  # PyYAML has no types
    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
        # A list stands further in than its key.
        super().increase_indent(flow, False)


def _text(dumper: Any, text: str) -> Any:
    # Left to itself it writes characters that it reads as line ends.
    style = "|" if _goes_over_lines(text) else None if _PLAIN.fullmatch(text) else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _yes_no(dumper: Any, value: bool) -> Any:
    return dumper.represent_scalar("tag:yaml.org,2002:bool", "yes" if value else "no")


_Dumper.add_representer(str, _text)
_Dumper.add_representer(bool, _yes_no)


def to_yaml(table: Mapping[str, Any]) -> str:
    """Return a table of texts, numbers, dates, yes and no, lists and tables as YAML."""
    return str(yaml.dump(table, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=2**31))


def to_toml(table: Mapping[str, Any]) -> str:
    """Return such a table as TOML."""
    return "\n".join(_lines(table, "")).lstrip("\n") + "\n"


def _lines(table: Mapping[str, Any], where: str) -> Iterator[str]:
    inner = {key: value for key, value in table.items() if isinstance(value, Mapping) or _is_of_tables(value)}
    for key, value in table.items():
        if key not in inner:
            yield f"{key} = {_value(value)}"
    for key, value in inner.items():
        path = f"{where}.{key}".lstrip(".")
        if isinstance(value, Mapping):
            yield from (f"\n[{path}]", *_lines(value, path))
        else:
            for one in value:
                yield from (f"\n[[{path}]]", *_lines(one, path))


def _is_of_tables(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(one, Mapping) for one in value)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if not isinstance(value, str):
        return str(value)
    if _goes_over_lines(value) and "'''" not in value and not value.endswith("'"):
        return f"'''\n{value}'''"
    # JSON's escapes are TOML's; what it leaves and TOML does not take is DEL.
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, ensure_ascii=False))


def _goes_over_lines(text: str) -> bool:
    return "\n" in text and _PLAIN.fullmatch(text) is not None


WRITERS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {"yaml": to_yaml, "toml": to_toml}
