"""The operator's pages in a real browser: everybody can use them, with scripts and without."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from models import Action, SmtpAccount, database
from tests.interop.chromium import Chromium
from tests.interop.web import web
from tests.operator_world import furnish, zone_of_noon
from tests.story_world import MIA, NEW, tell
from tests.web_pages import PASSWORDS, hashes

#: What is walked through: name → path.
PAGES = {
    "now": "/",
    "timeline": "/timeline",
    "timeline-week": "/timeline/week/{today}",
    "timeline-month": "/timeline/month/{today}",
    "accounts": "/accounts",
    "account": "/accounts/4",
    "campaigns": "/campaigns",
    "campaign": "/campaigns/1",
    "backlog": "/backlog",
    "contacts": "/contacts",
    "contact": f"/contacts?q={MIA}",
    "contact-new": f"/contacts?q={NEW}",
    "dead": "/dead?all=yes",
    "dead-letter": "/dead/4",
    "in-doubt": "/in-doubt",
    "log": "/log?outcome=failed",
    "templates": "/templates",
    "template": f"/templates/1?contact={MIA}",
    "actions": "/actions",
    "act": "/accounts/4/disable",
    "not-there": "/accounts/999",
}
SIZES = {"wide": (1280, 800), "narrow": (360, 740)}
#: Those that docs/ shows.
KEPT = ("timeline-light-wide", "timeline-dark-narrow", "now-light-wide", "accounts-dark-wide", "campaign-light-wide")
#: Where the picture of a page ends, which goes on.
UNTIL = {"timeline": "figure", "accounts": "tr:nth-of-type(12)", "campaign": "table"}
#: Bytes of a page at most.
LARGEST = 100_000


@pytest.mark.parametrize("size", list(SIZES))
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_read_each_page(url: str, chromium: Chromium, pictures: Gallery, scheme: str, size: str) -> None:
    page = chromium.page("en", scheme, SIZES[size])
    for name, path in PAGES.items():
        page.go(url + path.format(today=today()))
        assert page.violations() == [], name
        assert page.run("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), name
        assert page.run("document.documentElement.outerHTML.length") < LARGEST, name
        pictures.add(f"{name}-{scheme}-{size}", page.picture(UNTIL.get(name)))
    # What a browser says of a page that is not there, and nothing else.
    assert [complaint.partition(" (")[0] for complaint in page.complaints] == [
        "Failed to load resource: the server responded with a status of 404"
    ]
    # What is inside a mail, and an empty frame, is asked of nobody.
    asked = [urlsplit(one) for one in page.requested]
    assert {one.netloc for one in asked if one.scheme not in ("data", "about")} == {urlsplit(url).netloc}
    page.close()


@pytest.mark.parametrize("scripts", [True, False])
def test_an_action_is_done_by_keyboard_alone(url: str, chromium: Chromium, scripts: bool) -> None:
    page = chromium.page()
    if not scripts:
        page.without_scripts()
    page.go(f"{url}/accounts/1")
    assert (page.values("noscript > meta", "httpEquiv") == ["refresh"]) is not scripts
    page.follow("Switch off…")
    page.fill("#reason", "a <b>try</b>")
    page.follow("Switch off")
    assert page.values("[role=status]", "textContent") == ["Account 1 (anna@acme.test) is off."]
    kept = Action.select().order_by(Action.id.desc()).get()
    assert (kept.who, kept.verb, kept.subject, kept.reason) == ("web", "disable", "account 1", "a <b>try</b>")
    page.follow("Back")
    page.follow("Switch on…")
    page.follow("Switch on")
    assert SmtpAccount.get_by_id(1).enabled
    assert page.complaints == []
    page.close()


def test_a_page_shows_itself_anew_in_place_and_keeps_the_focus(url: str, chromium: Chromium) -> None:
    page = chromium.page()
    page.go(f"{url}/accounts/1")
    page.run("document.querySelector('main .acts a').focus(); window.same = true")
    SmtpAccount.update(disabled_reason="<i>seen</i>", enabled=False).where(SmtpAccount.id == 1).execute()
    page.run("document.dispatchEvent(new Event('visibilitychange'))")
    page.run(
        "new Promise(seen => new MutationObserver(seen).observe(document.querySelector('main'), {childList: true}))"
    )
    assert page.run("document.querySelector('main .note').textContent") == "<i>seen</i>"
    # The link is another one now, so the focus is where a reader would begin.
    assert page.run("window.same")
    SmtpAccount.update(disabled_reason=None, enabled=True).where(SmtpAccount.id == 1).execute()
    assert page.complaints == []
    page.close()


def test_somebody_signs_in_and_out(sqlite: str, chromium: Chromium, tmp_path: Path) -> None:
    with web(tmp_path, sqlite, **hashes()) as here:
        page = chromium.page()
        page.go(f"http://127.0.0.1:{here.operator_port}/timeline")
        assert page.violations() == []
        page.fill("#who", "Ann")
        page.fill("#password", PASSWORDS["reader"])
        page.follow("Sign in")
        assert page.values("h1", "textContent")[0].startswith("Today, ")
        assert "Ann (may look only)" in page.run("document.querySelector('header').textContent")
        page.follow("Sign out")
        page.go(f"http://127.0.0.1:{here.operator_port}/accounts")
        assert page.values("h1", "textContent") == ["Sign in"]
        assert page.complaints == []
        page.close()


def today() -> str:
    """Return today's date in the zone of the pages."""
    return str(database.now().astimezone(zone_of_noon(database.now())).date())


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    """The browser."""
    with Chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def furnished(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with the world of the pages."""
    file = Path(shutil.copy(migrated_sqlite, tmp_path_factory.mktemp("furnished")))
    database.connect(f"sqlite:///{file}")
    with database.connection():
        furnish(zone_of_noon(database.now()))
        tell()
    return file


@pytest.fixture
def url(furnished: Path, sqlite: str, tmp_path: Path) -> Iterator[str]:
    """The pages, with that world for themselves."""
    file = Path(shutil.copy(furnished, tmp_path / "outreach.db"))
    database.connect(f"sqlite:///{file}")
    zone = zone_of_noon(database.now())
    # Named as a user names it: it is in the pictures.
    with database.connection(), web(tmp_path, f"sqlite:///{file.name}", mail_window_timezone=zone) as here:
        yield f"http://127.0.0.1:{here.operator_port}"


class Gallery:
    """Where pictures go: all into a folder of the run, and those that docs/ shows there, if `--pictures` is given."""

    def __init__(self, folder: Path, *, is_public: bool) -> None:
        self._folder, self._is_public = folder, is_public

    def add(self, name: str, picture: bytes) -> None:
        """Hang up a picture."""
        (self._folder / f"{name}.png").write_bytes(picture)
        if self._is_public and name in KEPT:
            (Path(__file__).parents[2] / "docs/pictures/operator" / f"{name}.png").write_bytes(picture)


@pytest.fixture(scope="module")
def pictures(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Gallery:
    """The pictures."""
    return Gallery(tmp_path_factory.mktemp("pictures"), is_public=request.config.getoption("--pictures"))
