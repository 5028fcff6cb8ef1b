"""The pages to unsubscribe: a POST acts, a GET never does, and who has no link of ours learns nothing."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from typing import Any

import peewee
import pytest
import structlog
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from models import TABLES, Delivery, OptOut, State, Suppression, database
from pipeline.content.consent import TRIAL, Tokens
from pipeline.operations import unsubscribe
from pipeline.runtime.settings import settings
from slowpost.web import operator, pages, public
from slowpost.web.limits import Limits
from tests.builders import a_contact, a_delivery, a_website
from tests.conftest import Clock
from tests.effort import counts
from tests.unit.test_consent import forgeries

ONE_CLICK = {"List-Unsubscribe": "One-Click"}


@pytest.mark.parametrize("form", ["application/x-www-form-urlencoded", "multipart/form-data"])
def test_one_click_unsubscribes_at_that_very_url_without_cookie_or_redirect(any_database: str, form: str) -> None:
    sent = a_mail()
    for _ in range(2):
        answer = a_browser().post(link(sent), data=ONE_CLICK, content_type=form)
        assert (answer.status_code, answer.history, answer.headers.get("Set-Cookie")) == (200, (), None)
    assert [(s.kind, s.value, s.until) for s in Suppression.select()] == [("address", "ann@acme.test", None)]
    assert [(o.delivery_id, o.choice, o.way) for o in OptOut.select()] == [(sent.id, "never", "one_click")]


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ("never", "Done: we do not write to you any more."),
        ("company", "Done: we do not write to anybody at acme.test any more."),
        ("pause", "Done: we do not write to you until 31 August 2026."),
    ],
)
def test_each_choice_is_done_and_taken_back_on_the_same_page(sqlite: str, clock: Clock, choice: str, said: str) -> None:
    browser, url = a_browser(), link(a_mail())
    assert choice in buttons(browser.get(url))

    done = browser.post(url, data={"choice": choice})

    assert said in done.text
    assert (choice in buttons(done), "back" in buttons(done)) == (False, True)
    assert buttons(browser.get(url)) == buttons(done)
    back = browser.post(url, data={"choice": "back"})
    assert buttons(back) == ["never", "company", "pause"]
    assert Suppression.select().count() == 0


@pytest.mark.parametrize(
    "data", [{}, {"List-Unsubscribe": "one-click"}, {"choice": "all"}, {"choice": "", **ONE_CLICK}, {"x": "y" * 20_000}]
)
def test_a_post_of_anything_else_changes_nothing(sqlite: str, data: dict[str, str]) -> None:
    assert a_browser().post(link(a_mail()), data=data).status_code in (400, 413)
    assert OptOut.select().count() == 0


def test_a_scanner_that_follows_every_link_changes_nothing(any_database: str) -> None:
    sent = a_mail()
    unsubscribe.ask(a_mail("bob@acme.test").id, unsubscribe.Choice.PAUSE, unsubscribe.Way.PAGE)
    before, browser = everything(), a_browser()
    seen, ahead = set[str](), ["/", "/health", link(sent), "/u/", "/u", "/u/1.x", "/admin", "//", "/u/x/y"]
    for _ in range(3):
        for path in ahead:
            for method in ("GET", "HEAD", "OPTIONS"):
                assert browser.open(path, method=method).status_code in (200, 404, 405)
        seen.update(ahead)
        ahead = [url for path in ahead for url in urls(browser.get(path)) if url not in seen]
    for method in ("PUT", "DELETE", "PATCH", "TRACE"):
        assert browser.open(link(sent), method=method, data=ONE_CLICK).status_code == 405
    assert everything() == before


def test_forged_tokens_get_one_answer_and_ask_the_database_nothing(
    sqlite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser, ours, others, chance = a_browser(), Tokens(KEY), Tokens(b"y" * 32), random.Random(1)  # noqa: S311
    number_of, sent = statements(monkeypatch), a_mail()
    asked = number_of()
    answers = {as_bytes(browser.get("/nothing/here"))}
    for number in range(counts(100, 10_000)):
        for forged in forgeries(ours.of(number), others.of(number), chance):
            path = "/u/" + forged.encode(errors="replace").decode(errors="replace").replace("?", "%3F")
            answers.add(as_bytes(browser.get(path)))
            answers.add(as_bytes(browser.post(path, data=ONE_CLICK)) if len(path) > 3 else next(iter(answers)))
    assert ([status for status, _, _ in answers], number_of()) == (["404 NOT FOUND"], asked)
    assert browser.get(link(sent)).status_code == 200
    assert number_of() > asked


def test_a_mail_that_is_not_in_this_database_and_a_trial_change_nothing(sqlite: str) -> None:
    browser, before = a_browser(), everything()
    assert browser.post(f"/u/{Tokens(KEY).of(999)}", data=ONE_CLICK).status_code == 404
    trial = browser.post(f"/u/{Tokens(KEY).of(TRIAL)}", data=ONE_CLICK)
    assert (trial.status_code, "trial mail" in trial.text, everything()) == (200, True, before)


def test_the_database_away_is_told_and_no_word_of_the_link_is_logged(
    sqlite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, told = link(a_mail()), structlog.testing.CapturingLogger()
    monkeypatch.setattr(public, "log", structlog.wrap_logger(told, processors=[]))
    browser = a_browser()
    for method in ("get", "post"):
        getattr(browser, method)(url, data=ONE_CLICK)
    monkeypatch.setattr(unsubscribe, "contact_of", raising(peewee.OperationalError(f"disk I/O error {url}")))
    answer = browser.post(url, data=ONE_CLICK)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "60")
    monkeypatch.setattr(unsubscribe, "contact_of", raising(RuntimeError(url)))
    assert browser.get(url).status_code == 500
    assert [call.kwargs["event"] for call in told.calls] == ["unsubscribed", "page failed", "page failed"]
    assert url.rpartition("/")[2] not in repr(told.calls)


def test_no_answer_lets_a_browser_load_run_keep_or_tell_anything(sqlite: str) -> None:
    browser, url = a_browser(), link(a_mail())
    for path in ("/", "/health", url, "/u/x"):
        headers = browser.get(path).headers
        assert headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'sha256-")
        assert "form-action 'self'; frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert (headers["Referrer-Policy"], headers["Cache-Control"]) == ("no-referrer", "no-store")
    assert not re.search(r"<script|<img|<link|@import|url\(|\son\w+=|https?:", browser.get(url).text)
    assert "ann@" not in browser.get(url).text


@pytest.mark.parametrize(
    ("wants", "language", "title"),
    [
        ("de-AT,de;q=0.9,en;q=0.5", "de", "Abmelden"),
        ("fr-CA", "fr", "Se désabonner"),
        ("nl,es;q=0.8", "es", "Darse de baja"),
        ("nl", "en", "Unsubscribe"),
        ("*", "en", "Unsubscribe"),
        ("", "en", "Unsubscribe"),
        ("\x00;;q=x", "en", "Unsubscribe"),
    ],
)
def test_a_page_speaks_the_browsers_language(sqlite: str, wants: str, language: str, title: str) -> None:
    page = a_browser().get(link(a_mail()), headers={"Accept-Language": wants}).text
    assert f'<html lang="{language}">' in page
    assert f"<h1>{title}</h1>" in page


def test_all_languages_say_the_same() -> None:
    english = pages.words_in("en")
    for language in pages.LANGUAGES[1:]:
        words = pages.words_in(language)
        assert list(words) == list(english)
        for name, sentence in words.items():
            assert fields(sentence) == fields(english[name]), (language, name)
        assert len(words["months"]) == 12


def test_whoever_asks_too_often_is_told_to_come_again(sqlite: str) -> None:
    browser = a_browser(Limits(2, 3))
    answers = [browser.get("/health", environ_base={"REMOTE_ADDR": f"10.0.0.{n}"}) for n in (1, 1, 1, 2, 2)]
    assert [answer.status_code for answer in answers] == [200, 200, 429, 200, 429]
    refused = browser.post(link(a_mail()), data=ONE_CLICK)
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "60")
    assert OptOut.select().count() == 0


@pytest.mark.parametrize(
    ("address", "host", "status"),
    [
        ("127.0.0.1", "localhost:8091", 200),
        ("127.0.0.1", "127.0.0.1:8091", 200),
        ("::1", "[::1]:8091", 200),
        ("192.0.2.7", "192.0.2.7:8091", 200),
        ("127.0.0.1", "evil.test", 400),
        ("127.0.0.1", "127.0.0.1.evil.test:8091", 400),
        ("127.0.0.1", "localhost@evil.test", 400),
        ("127.0.0.1", "", 400),
    ],
)
def test_the_operators_pages_answer_only_to_names_of_their_own(address: str, host: str, status: int) -> None:
    browser = operator.make(address, lambda: None).test_client()
    assert browser.get("/health", headers={"Host": host}).status_code == status
    assert browser.get("/nothing", headers={"Host": host}).status_code == (404 if status == 200 else 400)


@pytest.mark.parametrize(
    ("happens", "status", "says"),
    [
        ("nothing", 200, "ok\n"),
        ("RabbitMQ is away", 503, "missing: RabbitMQ\n"),
        ("the tables are of another version", 503, "missing: migrations\n"),
        ("the database and RabbitMQ are away", 503, "missing: database, RabbitMQ\n"),
    ],
)
def test_it_is_ready_with_database_tables_and_rabbitmq_and_says_what_is_missing(
    any_database: str, happens: str, status: int, says: str
) -> None:
    browser = operator.make("127.0.0.1", lambda: "gone" if "RabbitMQ" in happens else None).test_client()
    if "tables" in happens:
        database.db.execute_sql("DELETE FROM migratehistory WHERE name = '014_heartbeats'")
    if "database" in happens:
        database.db.close()
        database.connect("postgresql://nobody:hunter2@127.0.0.1:1/none")
    answer = browser.get("/ready", headers={"Host": "localhost"})
    assert (answer.status_code, answer.text) == (status, says)
    # It is alive, whatever is away.
    assert browser.get("/health", headers={"Host": "localhost"}).status_code == 200


def a_browser(limits: Limits | None = None) -> FlaskClient:
    """Return what asks the public pages."""
    return public.make(Tokens(KEY), settings(), limits or Limits(10**6, 10**6)).test_client()


def a_mail(email: str = "ann@acme.test") -> Delivery:
    """Store a mail that was sent to somebody of a company."""
    website = a_website(domain="acme.test") if email.startswith("ann") else None
    return a_delivery(State.SENT, contact=a_contact(email=email, website=website), sent_at=database.now())


def link(delivery: Delivery) -> str:
    return f"/u/{Tokens(KEY).of(delivery.id)}"


def buttons(page: TestResponse) -> list[str]:
    assert page.status_code == 200
    return re.findall(r'<button name="choice" value="(\w+)"', page.text)


def urls(page: TestResponse) -> Iterator[str]:
    """Return where a page leads: links, and also forms, whose addresses a scanner may try."""
    yield from re.findall(r'(?:href|src|action)="([^"]*)"', page.text)


def as_bytes(answer: TestResponse) -> tuple[str, tuple[Any, ...], bytes]:
    return answer.status, tuple(answer.headers), answer.data


def everything() -> list[Any]:
    return [list(table.select().order_by(*table._meta.get_primary_keys()).tuples()) for table in TABLES]


def statements(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Return what says how many statements the database has been sent."""
    execute, seen = peewee.Database.execute_sql, []

    def counted(self: Any, sql: str, *rest: Any, **options: Any) -> Any:
        seen.append(sql)
        return execute(self, sql, *rest, **options)

    monkeypatch.setattr(peewee.Database, "execute_sql", counted)
    return lambda: len(seen)


def raising(error: Exception) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise error

    return fail


def fields(sentence: str | list[str]) -> list[str]:
    return sorted(re.findall(r"\{(\w+)\}", sentence)) if isinstance(sentence, str) else []


KEY = b"x" * 32
