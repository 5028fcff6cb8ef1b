"""The pages to unsubscribe in a real browser: everybody can use them, and to look at them changes nothing."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from models import OptOut, Suppression
from pipeline.content.consent import TRIAL
from tests.interop.chromium import Chromium, Page
from tests.interop.web import Web, a_mail, path_of, web
from tests.stages.test_web import everything

CHOICES = ["never", "company", "pause"]
SIZES = {"wide": (1280, 800), "narrow": (320, 640)}


@pytest.mark.parametrize("size", list(SIZES))
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("language", ["en", "de"])
def test_everybody_can_read_each_page_and_do_and_take_back_each_choice_by_keyboard(
    pages: Web, chromium: Chromium, gallery: Gallery, language: str, scheme: str, size: str
) -> None:
    page, link = chromium.page(language, scheme, SIZES[size]), pages.url + path_of(a_mail().id)
    page.go(link)
    seen = {"choices": looked_at(page)}
    for choice in CHOICES:
        page.choose(choice)
        assert len(page.values("[role=status]", "textContent")) == 1
        assert OptOut.select().order_by(OptOut.id.desc()).get().choice == choice
        seen[choice] = looked_at(page)
        page.go(link)
        page.choose("back")
        assert page.values("button", "value") == CHOICES
        assert Suppression.select().count() == 0
    seen["back"] = looked_at(page)
    page.go(pages.url + path_of(TRIAL))
    seen["trial"] = looked_at(page)
    assert page.complaints == []

    # What a browser says of a page that is none, and nothing else.
    page.go(f"{pages.url}/u/1.cut-off")
    seen["none"] = looked_at(page)
    page.go(link)
    page.submit()
    seen["wrong"] = looked_at(page)
    assert [complaint.partition(" (")[0] for complaint in page.complaints] == [
        "Failed to load resource: the server responded with a status of 404",
        "Failed to load resource: the server responded with a status of 400",
    ]
    assert {urlsplit(url).netloc for url in page.requested} == {f"127.0.0.1:{pages.port}"}
    assert page.run("document.documentElement.lang") == language
    page.close()
    gallery.add(f"{language}-{scheme}-{size}", seen)


def test_a_scanner_that_runs_scripts_and_follows_each_link_changes_nothing(pages: Web, chromium: Chromium) -> None:
    link, before = pages.url + path_of(a_mail().id), everything()
    page, seen = chromium.page(), set[str]()
    ahead = [link, pages.url + path_of(TRIAL), *(pages.url + path for path in ("/", "/health", "/u/", "/u/1.x"))]
    for _ in range(3):
        found: list[str] = []
        for url in ahead:
            page.go(url)
            # Scripts, and what they load or send, have their time.
            page.run("new Promise(resolve => setTimeout(resolve, 200))")
            found += page.values("[href]", "href") + page.values("[src]", "src")
        seen.update(ahead)
        ahead = [url for url in dict.fromkeys(found) if url not in seen]
    page.close()
    assert link in page.requested
    assert everything() == before


def looked_at(page: Page) -> bytes:
    """Return a picture of a page that anybody can read, and that need not be scrolled sideways."""
    assert page.violations() == []
    assert page.run("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    return page.picture()


class Gallery:
    """Pictures of the pages: of all on one sheet for each language, and the two that docs/operations.md shows."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, bytes]] = {}

    def add(self, row: str, pictures: dict[str, bytes]) -> None:
        """Hang up the pictures of one browser."""
        self._rows[row] = pictures

    def write(self, folder: Path, chromium: Chromium) -> None:
        """Write all of them into a folder."""
        (folder / "unsubscribe.png").write_bytes(self._rows["en-light-wide"]["choices"])
        (folder / "unsubscribe-paused.png").write_bytes(self._rows["de-dark-narrow"]["pause"])
        for language in ("en", "de"):
            sheet = chromium.page(size=(1600, 800))
            sheet.run(f"document.body.innerHTML = {self._sheet(language)!r}")
            sheet.run("Promise.all([...document.images].map(image => image.decode()))")
            (folder / f"unsubscribe-all-{language}.png").write_bytes(sheet.picture())
            sheet.close()

    def _sheet(self, language: str) -> str:
        rows = []
        for name, pictures in self._rows.items():
            if name.startswith(language):
                style = f"width: {24 if name.endswith('wide') else 12}%; vertical-align: top; outline: 1px solid gray"
                urls = (f"data:image/png;base64,{base64.b64encode(picture).decode()}" for picture in pictures.values())
                rows.append("<p>" + " ".join(f'<img style="{style}" src="{url}">' for url in urls))
        return "".join(rows)


@pytest.fixture
def pages(sqlite: str, tmp_path: Path) -> Iterator[Web]:
    """The pages, with a database of their own."""
    with web(tmp_path, sqlite) as here:
        yield here


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    """The browser."""
    with Chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def gallery(chromium: Chromium, request: pytest.FixtureRequest) -> Iterator[Gallery]:
    """What hangs in docs/pictures, if `--pictures` is given."""
    pictures = Gallery()
    yield pictures
    if request.config.getoption("--pictures"):
        pictures.write(Path(__file__).parents[2] / "docs/pictures", chromium)
