"""Files as texts, lists and tables: where everything stands, and that nothing is read as something else."""

from __future__ import annotations

import datetime as dt
import tomllib
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pipeline.operations import toml_nodes, yaml_nodes
from pipeline.operations.file_nodes import Items, Node, SyntaxMistakeError, Table, Text
from pipeline.operations.file_writing import to_toml, to_yaml
from tests.effort import counts

YAML = """\
# A comment.
answer: no
hours: 8:30
on: 2026-12-01      # another
number: 010
nothing:
several: [a, "b: c",
  d]
words: |

  one
  two
inner:
  - deep: {yes: 'x'}
    more: >
      folded
      here
"""
TOML = '''\
# A comment.
answer = false
hours = 08:30:00
on = 2026-12-01 09:00:00.5      # another
"num ber" = 0x1F
several = ["a", # first
  'b: c', 3
]
words = """

one \\"two\\" ""
three"""
literal = \'\'\'it's
so\'\'\'
a . b."c.d" = {x = [1.5, {y = "z"}], w = "]"}
[inner]
[[inner.deep]]
k = "v"
[[inner.deep]]
[inner.deep.last]
k = \'C:\\x\'
[a.e]
k = true
'''


def test_yaml_is_texts_each_with_its_line() -> None:
    root = yaml_nodes.read(YAML)
    assert plain(root) == {
        "answer": "no",
        "hours": "8:30",
        "on": "2026-12-01",
        "number": "010",
        "nothing": "",
        "several": ["a", "b: c", "d"],
        "words": "\none\ntwo\n",
        "inner": [{"deep": {"yes": "x"}, "more": "folded here\n"}],
    }
    assert lines(root) == {
        "answer": 2, "hours": 3, "on": 4, "number": 5, "nothing": 6, "several": 7, "several[0]": 7, "several[1]": 7,
        "several[2]": 8, "words": 9, "inner": 13, "inner[0]": 14, "inner[0].deep": 14, "inner[0].deep.yes": 14,
        "inner[0].more": 15,
    }  # fmt: skip
    assert isinstance(root, Table)
    assert [root.entries[key][1].first for key in ("answer", "words")] == [2, 10]  # type: ignore[union-attr]
    assert root.entries["nothing"][1].is_empty  # type: ignore[union-attr]


def test_toml_is_texts_each_with_its_line() -> None:
    root = toml_nodes.read(TOML)
    assert plain(root) == {
        "answer": "false",
        "hours": "08:30:00",
        "on": "2026-12-01 09:00:00.5",
        "num ber": "0x1F",
        "several": ["a", "b: c", "3"],
        "words": '\none "two" ""\nthree',
        "literal": "it's\nso",
        "a": {"b": {"c.d": {"x": ["1.5", {"y": "z"}], "w": "]"}}, "e": {"k": "true"}},
        "inner": {"deep": [{"k": "v"}, {"last": {"k": "C:\\x"}}]},
    }
    found = lines(root)
    assert {key: found[key] for key in found if key.count(".") < 3} == {
        "answer": 2, "hours": 3, "on": 4, "num ber": 5, "several": 6, "several[0]": 6, "several[1]": 7,
        "several[2]": 7, "words": 9, "literal": 13, "a": 15, "a.b": 15, "inner": 16, "inner.deep": 17,
        "inner.deep[0]": 17, "inner.deep[0].k": 18, "inner.deep[1]": 19, "inner.deep[1].last": 20, "a.e": 22,
        "a.e.k": 23,
    }  # fmt: skip
    firsts = {key: root.entries[key][1].first for key in ("answer", "words", "literal")}  # type: ignore[union-attr]
    assert firsts == {"answer": 2, "words": 10, "literal": 13}


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("a: 1\nb: c: d\n", 2, r'mapping values are not allowed here \(a text with ": " in it stands in quotes'),
        ("a:\n\t- b\n", 2, "spaces, not with tabs"),
        ("a: 1\nb: 'c\nd: e\n", 2, "what begins here never ends"),
        ("a: 1\nb: [c,\nd\n", 2, "what begins here never ends"),
        ("a: @b\n", 1, "a text that begins like that stands in quotes"),
        ("a:\n  - b\n c: d\n", 3, "is everything of one list or table indented alike"),
        ("a: {{ b }}\n", 1, "a key is a word"),
        ("a: 1\nb: 2\na: 3\n", 3, "the key 'a' is there twice, on line 1 first"),
        ("a: 1\nb: &c [*c]\n", 2, "anchors and aliases .* are not taken"),
        ("a: *b\n", 1, "anchors and aliases .* are not taken"),
        ("a: !!python/object:os.system x\n", 1, r"tags \(!\) are not taken"),
        ("a: 1\n---\nb: 2\n", 2, "a second document begins here"),
        ("a: 1\nb: \x07\n", 2, "a control character"),
        (f"a: 1\nb: {'[' * 500}", 2, "more than 20 lists or tables inside each other"),
        ("%TAG\n", 1, "it is no YAML"),
    ],
)
def test_what_is_no_yaml_or_too_much_of_it_is_said_with_its_line(text: str, line: int, said: str) -> None:
    with pytest.raises(SyntaxMistakeError, match=said) as told:
        yaml_nodes.read(text)
    assert told.value.line == line


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("a = 1\na = 2\n", 2, r"Cannot overwrite a value \(a key is there twice\)"),
        ("a = 1\nb = c\n", 2, r"Invalid value \(a text stands in quotes\)"),
        ("a = 09-17\n", 1, "a text stands in quotes"),
        ("[a]\n[b]\n[a]\n", 3, "a table is there twice"),
        ("a = 1\nb = [1,\n2", 3, "Unclosed array"),
        ('a = "b\n', 1, "Illegal character"),
        ("a = 1\n= 2\n", 2, "it is no TOML"),
        (f"a = 1\nb = {'[' * 30}{']' * 30}\n", 2, "more than 20 lists or tables inside each other"),
        (f"a = {'[' * 9000}", 1, "more than 20 lists or tables inside each other"),
        (f"a = 1\n{'.'.join('b' * 21)} = 1\n", 2, "a key has more than 20 parts"),
    ],
)
def test_what_is_no_toml_or_too_much_of_it_is_said_with_its_line(text: str, line: int, said: str) -> None:
    with pytest.raises(SyntaxMistakeError, match=said) as told:
        toml_nodes.read(text)
    assert told.value.line == line


texts = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\n\n\t '\"\\:#-{}[]|>%@`\x85\u2028é😀"))
words = texts | st.sampled_from(["no", "~", "", "1", "- a", "a\nb\n", " a\n b", "a \nb", "'''\n'", '"""\n"', "a\n\n"])
scalars = words | st.booleans() | st.integers(0, 99) | st.dates(dt.date(2000, 1, 1))
keys = st.sampled_from(["a", "b", "c-d", "e"])
tables: Any = st.recursive(
    st.dictionaries(keys, scalars, max_size=3),
    lambda inner: st.dictionaries(
        keys, scalars | inner | st.lists(scalars, max_size=2) | st.lists(inner, min_size=1, max_size=2), max_size=3
    ),
    max_leaves=8,
)


@settings(
    max_examples=counts(200, 1_000),
    deadline=None,
    derandomize=True,
    # The first example waits for a table of all characters.
    suppress_health_check=[HealthCheck.too_slow],
)
@given(tables)
@example({"a": "one\r\ntwo\n"})
@example({"a": [{"b": {"e": "x'\n'"}, "a": 1}, {}]})
def test_what_is_written_reads_back_as_the_same_texts(table: dict[str, Any]) -> None:
    assert plain(yaml_nodes.read(to_yaml(table))) == as_texts(table, "yes", "no")
    toml = to_toml(table)
    assert plain(toml_nodes.read(toml)) == as_texts(table, "true", "false")
    assert tomllib.loads(toml) == table


def plain(node: Node) -> Any:
    """Return a node without its lines."""
    match node:
        case Text():
            return node.text
        case Items():
            return [plain(one) for one in node.items]
        case Table():
            return {key: plain(value) for key, (_, value) in node.entries.items()}


def lines(node: Node, where: str = "") -> dict[str, int]:
    """Return the line of each key, and of each item."""
    found: dict[str, int] = {}
    if isinstance(node, Table):
        for key, (line, value) in node.entries.items():
            path = f"{where}.{key}".lstrip(".")
            found |= {path: line} | lines(value, path)
    if isinstance(node, Items):
        for number, value in enumerate(node.items):
            path = f"{where}[{number}]"
            found |= {path: value.line} | lines(value, path)
    return found


def as_texts(value: Any, yes: str, no: str) -> Any:
    """Return a value as a file says it."""
    if isinstance(value, dict):
        return {key: as_texts(inner, yes, no) for key, inner in value.items()}
    if isinstance(value, list):
        return [as_texts(inner, yes, no) for inner in value]
    return (yes if value else no) if isinstance(value, bool) else str(value)
