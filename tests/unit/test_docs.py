"""The pages for people are held to the program: what they name exists, and what they list is all there is."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import click
import pytest

from models.states import TRANSITIONS, UNFINISHED, State
from slowpost.cli import COMMANDS, cli

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@each_page
def test_every_path_that_a_page_names_is_there(page: Path) -> None:
    missing = [path for path in _paths(page.read_text()) if not (ROOT / path).exists()]

    assert missing == []


@each_page
def test_every_link_of_a_page_leads_to_a_page_and_a_heading(page: Path) -> None:
    broken = [link for link in _links(page.read_text()) if not _leads_somewhere(page, link)]

    assert broken == []


@each_page
def test_every_command_that_a_page_names_exists(page: Path) -> None:
    unknown = [words for words in _commands(page.read_text()) if not _exists(words)]

    assert unknown == []


def test_the_diagram_of_states_is_the_table_of_transitions() -> None:
    arrows = _arrows(_diagram(_page("architecture"), "stateDiagram-v2"))

    drawn = {(a, b) for a, b in arrows if "[*]" not in (a, b)}
    ends = {a for a, b in arrows if b == "[*]"}
    assert drawn == {(str(a), str(b)) for a, following in TRANSITIONS.items() for b in following}
    assert ends == {str(state) for state in State if state not in UNFINISHED}
    assert len(arrows) == len(set(arrows))


def test_each_state_is_explained() -> None:
    explained = re.findall(r"^\| `(\w+)` \|", _section(_page("architecture"), "States"), flags=re.MULTILINE)

    assert explained == [str(state) for state in State]


def test_the_rooms_are_those_of_the_contract() -> None:
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / "setup.cfg")
    layers = contracts["importlinter:contract:rooms"]["layers"].strip().splitlines()

    drawn = re.findall(r"^    (.+)$", _section(_page("architecture"), "Imports run down only"), flags=re.MULTILINE)
    assert drawn[1:] == layers
    assert drawn[0].split(" → ") == contracts["importlinter:contract:one-way"]["layers"].split()


def test_the_page_of_commands_has_all_of_them() -> None:
    page = _page("commands")
    rows = re.findall(r"^\| `slowpost ([a-z-]+)` \| (`.+) \|$", page, flags=re.MULTILINE)

    listed = {words[0] for words in _commands(page)}
    of_groups = {group: set(re.findall(r"`([a-z-]+)`", cell)) for group, cell in rows}
    assert listed == set(COMMANDS)
    assert of_groups == {
        name: set(command.commands)
        for name in COMMANDS
        if isinstance(command := cli.get_command(click.Context(cli), name), click.Group)
    }


def _page(name: str) -> str:
    return (ROOT / "docs" / f"{name}.md").read_text()


def _section(page: str, heading: str) -> str:
    return page.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def _diagram(page: str, kind: str) -> str:
    return re.search(rf"```mermaid\n{kind}\n(.*?)```", page, flags=re.DOTALL)[1]


def _arrows(diagram: str) -> list[tuple[str, str]]:
    return re.findall(r"^ *(\S+) --> (\S+)$", diagram, flags=re.MULTILINE)


def _paths(page: str) -> list[str]:
    """Return what stands in backticks and begins like a path of the repository; not an example (NNN_…) or a pattern."""
    folders = sorted(p.name for p in ROOT.iterdir() if p.is_dir() and (p.name == ".ci" or not p.name.startswith(".")))
    in_folder = rf"(?:{'|'.join(map(re.escape, folders))})/[^\s`]*"
    file_at_top = r"[\w.-]+\.(?:md|cfg|toml|yml|txt)|\.env\.example"
    found = re.findall(rf"`({in_folder}|{file_at_top})`", page)
    return [path for path in found if not re.search(r"NNN|[*…]", path)]


def _links(page: str) -> list[str]:
    return [link for link in re.findall(r"\]\(([^)]+)\)", page) if not link.startswith("http")]


def _leads_somewhere(page: Path, link: str) -> bool:
    path, _, heading = link.partition("#")
    there = page.parent / path if path else page
    return there.exists() and (not heading or heading in map(_anchor, _headings(there)))


def _headings(page: Path) -> list[str]:
    return re.findall(r"^#+ (.+)$", page.read_text(), flags=re.MULTILINE)


def _anchor(heading: str) -> str:
    """Return a heading's anchor as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _commands(page: str) -> list[list[str]]:
    """Return the words of each command line that a page shows: `slowpost word word …`, up to the first option."""
    in_backticks = re.findall(r"`slowpost((?: [a-z][a-z-]*)+)", page)
    in_blocks = re.findall(r"^(?:    |\$ )+.*?(?<![\w/:.=@-])slowpost((?: [a-z][a-z-]*)+)", page, flags=re.MULTILINE)
    return [words.split() for words in (*in_backticks, *in_blocks)]


def _exists(words: list[str]) -> bool:
    command: click.Command | None = cli
    for word in words:
        if not isinstance(command, click.Group):
            return True  # what follows a command are its arguments
        command = command.get_command(click.Context(command), word)
        if command is None:
            return False
    return True
