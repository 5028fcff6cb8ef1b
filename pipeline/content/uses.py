"""What the source of a template uses of a contact and its website: without which columns it fails, and which it prints.
Pure; nothing is rendered.

It follows the expressions as far as a person who writes mails goes: `default`, `or`, conditions, `set`. What it can't
follow is taken for a use.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import jinja2
from jinja2 import nodes

#: What has columns.
OBJECTS = ("contact", "website")
_DEFAULT = ("default", "d")

#: A column as a template names it, such as contact.company; an object alone stands for all of its columns.
Column = str
#: One of these columns is enough.
Needed = frozenset[Column]


@dataclass
class Uses:
    """What a template uses.

    Attributes:
        demanded: what it fails without: of each, one of these columns has to be there, blank or not.
        printed: what it prints where nothing stands in for what is blank.
        words: what stands outside of its expressions.
    """

    demanded: set[Needed] = field(default_factory=set)
    printed: set[Needed] = field(default_factory=set)
    words: list[str] = field(default_factory=list)


def uses(sources: Iterable[str]) -> Uses:
    """Return what the parts of a template use. One that can't be compiled is left out: rendering says so."""
    found = Uses()
    for source in sources:
        try:
            _Reader(found).statements(jinja2.Environment(autoescape=True).parse(source).body)
        except (jinja2.TemplateSyntaxError, RecursionError):
            continue
    return found


class _Reader:
    """Goes through a part of a template in the order in which it is rendered."""

    def __init__(self, found: Uses) -> None:
        self._found = found
        self._sure: frozenset[str] = frozenset()
        self._names: dict[str, list[Needed]] = {}

    def statements(self, body: Iterable[nodes.Node]) -> None:
        for node in body:
            match node:
                case nodes.Output():
                    for part in node.nodes:
                        if isinstance(part, nodes.TemplateData):
                            self._found.words.append(part.data)
                        else:
                            self._found.printed.update(self._value(part))
                case nodes.If():
                    self._value(node.test)
                    with self._certain(_asked(node.test)):
                        self.statements(node.body)
                        self.statements(node.elif_)
                        self.statements(node.else_)
                case nodes.For():
                    self._value(node.iter)
                    with self._certain(_asked(node.iter)):
                        self.statements(node.body)
                        self.statements(node.else_)
                case nodes.Assign(target=nodes.Name() as target):
                    self._names[target.name] = self._value(node.node)
                case nodes.Expr():
                    self._value(node)
                case _:
                    self.statements(node.iter_child_nodes())

    def _value(self, node: nodes.Node) -> list[Needed]:
        """Return what an expression prints that may be blank; note what it demands."""
        column = _column(node)
        if column is not None:
            if self._is_sure(column):
                return []
            self._found.demanded.add(frozenset({column}))
            return [frozenset({column})]
        match node:
            case nodes.Name():
                return [] if node.name in self._sure else self._names.get(node.name, [])
            case nodes.Filter(name=name) if name in _DEFAULT and node.node is not None:
                return self._default(node.node, node)
            case nodes.Or():
                return _either(self._value(node.left), self._value(node.right))
            case nodes.And():
                self._value(node.left)
                with self._certain(_asked(node.left)):
                    return self._value(node.right)
            case nodes.CondExpr():
                self._value(node.test)
                with self._certain(_asked(node.test)):
                    return [*self._value(node.expr1), *(self._value(node.expr2) if node.expr2 else [])]
            case nodes.Test(name="defined" | "undefined"):
                return []
            case nodes.Test() | nodes.Not() | nodes.Compare():
                self._each(node)
                return []
            case _:
                return self._each(node)

    def _each(self, node: nodes.Node) -> list[Needed]:
        return [printed for child in node.iter_child_nodes() for printed in self._value(child)]

    def _default(self, value: nodes.Node, applied: nodes.Filter) -> list[Needed]:
        """`default` takes the place of what is missing; with `true` behind it, of what is blank, too."""
        demanded = set(self._found.demanded)
        printed = self._value(value)
        if (column := _column(value)) is not None:
            self._found.demanded -= {frozenset({column})} - demanded
        demanded = set(self._found.demanded)
        instead = self._value(applied.args[0]) if applied.args else []
        if column is not None:
            # What stands in for it has to be there only where it is not.
            new = self._found.demanded - demanded
            self._found.demanded = demanded | {needed | {column} for needed in new}
        options = [*applied.args[1:], *(pair.value for pair in applied.kwargs if pair.key == "boolean")]
        also_blank = any(isinstance(option, nodes.Const) and option.value for option in options)
        return _either(printed, instead) if also_blank else printed

    def _is_sure(self, column: Column) -> bool:
        return column in self._sure or column.partition(".")[0] in self._sure

    @contextmanager
    def _certain(self, asked: Iterable[str]) -> Iterator[None]:
        """Within the block these have been asked for already: whoever writes that knows that they can be missing."""
        before = self._sure
        self._sure = before | frozenset(asked)
        try:
            yield
        finally:
            self._sure = before


def _either(first: Sequence[Needed], second: Sequence[Needed]) -> list[Needed]:
    """Return what is printed of two values, the second where the first is blank; a text of the template's never is."""
    return [one | other for one in first for other in second]


def _column(node: nodes.Node) -> Column | None:
    """Return the column that an expression is, None if it is none."""
    match node:
        case nodes.Getattr(node=nodes.Name(name=of), attr=name) if of in OBJECTS:
            return f"{of}.{name}"
        case nodes.Getitem(node=nodes.Name(name=of), arg=nodes.Const(value=str(name))) if of in OBJECTS:
            return f"{of}.{name}"
    return None


def _asked(test: nodes.Node) -> Iterator[str]:
    """Yield the columns and names that a condition asks for."""
    column = _column(test)
    if column is not None:
        yield column
        return
    match test:
        case nodes.Name():
            yield test.name
        case nodes.Compare(expr=nodes.Const(value=str(name)), ops=[nodes.Operand(op="in", expr=nodes.Name(name=of))]):
            yield f"{of}.{name}"
        case _:
            for child in test.iter_child_nodes():
                yield from _asked(child)
