"""The operator's pages: who is let in, what they show, and what their actions do."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from models import Action, Campaign, CampaignState, SmtpAccount, database
from models.control import control
from pipeline.content.consent import Tokens
from pipeline.operations.pause import Target, pause
from slowpost.web import operator
from slowpost.web.server import ListenError, serving
from slowpost.web.sessions import Sessions
from tests.builders import a_campaign, a_list, a_template, an_account
from tests.conftest import Clock
from tests.web_pages import PASSWORDS, Browser, a_browser, passwords, sign_in, token

PAGES = ["/", "/timeline", "/timeline/2026-06-01", "/timeline/week/2026-06-02", "/timeline/month/2026-06-02"]
PAGES += ["/accounts", "/accounts/1", "/campaigns", "/campaigns/1"]
ACTIONS = ["/pause", "/resume", *(f"/accounts/1/{verb}" for verb in ("enable", "disable", "reset", "pause", "resume"))]
ACTIONS += [f"/campaigns/1/{verb}" for verb in ("start", "pause", "resume", "stop")]


@pytest.mark.parametrize("path", [*PAGES, *ACTIONS])
def test_each_page_is_there_and_lets_a_browser_load_nothing_from_elsewhere(
    any_database: str, clock: Clock, path: str
) -> None:
    a_world()
    answer = a_browser().get(path)
    assert answer.status_code == 200
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'self'; script-src 'self'; ")
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["Cache-Control"] == "no-store"
    assert (answer.headers["X-Content-Type-Options"], answer.headers["Referrer-Policy"]) == ("nosniff", "no-referrer")
    assert not re.search(r'\s(style|on\w+)=|https?:|<script(?! src="/assets/)|<style', answer.text)


def test_each_action_asks_is_done_and_is_kept_with_who_and_why(any_database: str, clock: Clock) -> None:
    account, campaign, browser = *a_world(), a_browser()
    for path, sentence, stands in (
        ("/accounts/1/pause", "Account 1 (A) is paused.", lambda: SmtpAccount.get().paused_at is not None),
        ("/accounts/1/resume", "Account 1 (A) is resumed.", lambda: SmtpAccount.get().paused_at is None),
        ("/accounts/1/disable", "Account 1 (A) is off.", lambda: not SmtpAccount.get().enabled),
        ("/accounts/1/enable", "Account 1 (A) is on.", lambda: SmtpAccount.get().enabled),
        ("/accounts/1/reset", "Account 1 (A) is reset.", lambda: SmtpAccount.get().cooling_until is None),
        ("/campaigns/1/pause", "Campaign 1 (C) is paused.", lambda: Campaign.get().state == CampaignState.PAUSED),
        ("/campaigns/1/resume", "Campaign 1 (C) is running.", lambda: Campaign.get().state == CampaignState.RUNNING),
        ("/campaigns/1/stop", "Campaign 1 (C) is done", lambda: Campaign.get().state == CampaignState.DONE),
        ("/pause", "Everything is paused.", lambda: control().paused_at is not None),
        ("/resume", "Everything is running.", lambda: control().paused_at is None),
    ):
        done = browser.act(path, f"because\0of {path}")
        assert (done.status_code, sentence in done.text) == (200, True), path
        assert stands(), path
        kept = Action.select().order_by(Action.id.desc()).get()
        assert (kept.who, kept.reason) == ("web", f"because\\x00of {path}")
    assert (account.id, campaign.id) == (1, 1)


def test_a_draft_is_started_and_what_keeps_it_from_that_is_said(any_database: str, clock: Clock) -> None:
    account = an_account()
    a_campaign(state=CampaignState.DRAFT, started_at=None, name="C")
    refused = a_browser().act("/campaigns/1/start")
    assert (refused.status_code, "Nothing was done." in refused.text) == (409, True)
    about = {"accounts": [account], "lists": [a_list()], "state": CampaignState.DRAFT, "started_at": None}
    a_campaign((0, [a_template()]), **about, no_footer_because="a test")
    started = a_browser().act("/campaigns/2/start")
    assert "0 contacts of its lists were enrolled" in started.text
    assert Campaign.get_by_id(2).state == CampaignState.RUNNING


@pytest.mark.parametrize("path", ACTIONS)
def test_whoever_may_only_look_can_do_no_action(sqlite: str, configure: Callable[..., None], path: str) -> None:
    a_world()
    passwords(configure, database_url=sqlite)
    reader = a_browser()
    assert sign_in(reader, "reader").status_code == 303
    asked = reader.get(path)
    assert "<button" not in asked.text.split("<main")[1]
    refused = reader.post(path, {"token": token(asked)})
    assert (refused.status_code, Action.select().count()) == (403, 0)


@pytest.mark.parametrize("path", ACTIONS)
def test_a_form_from_elsewhere_does_nothing_also_on_loopback(sqlite: str, path: str) -> None:
    a_world()
    browser, other = a_browser(), a_browser()
    mine, theirs = token(browser.get(path)), token(other.get(path))
    for data, headers in (
        ({}, {}),
        ({"token": ""}, {}),
        ({"token": "x" * 64}, {}),
        ({"token": "ä"}, {}),
        ({"token": theirs}, {}),
        ({"token": mine}, {"Sec-Fetch-Site": "cross-site"}),
        ({"token": mine}, {"Sec-Fetch-Site": "same-site"}),
    ):
        assert browser.post(path, data, **headers).status_code == 400
    # Without its cookie, a token is nobody's.
    assert a_browser().post(path, {"token": mine}).status_code == 400
    assert Action.select().count() == 0


def test_with_a_password_nobody_comes_in_without_and_a_session_ends(
    sqlite: str, configure: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    a_world()
    passwords(configure, database_url=sqlite)
    now = [0.0]
    monkeypatch.setattr(Sessions.__init__, "__defaults__", (lambda: now[0],))
    browser = a_browser()
    assert [browser.get(path).request.path for path in PAGES] == ["/sign-in"] * len(PAGES)
    assert browser.post("/pause", {"token": token(browser.get("/sign-in"))}).status_code == 401

    before = browser.cookies()
    signed_in = sign_in(browser, "operator", "Ann  of\tAcme\x1b[2J", to="/accounts")
    assert (signed_in.status_code, signed_in.location) == (303, "/accounts")
    cookie = signed_in.headers["Set-Cookie"]
    assert "HttpOnly; Path=/; SameSite=Strict" in cookie
    assert browser.cookies()["slowpost_session"] not in before.values()
    assert browser.act("/pause").status_code == 200
    assert Action.get().who == "Ann of Acme\\x1b[2J"

    thief = browser.with_stolen(f"slowpost_session={browser.cookies()['slowpost_session']}")
    assert thief.get("/").request.path == "/"
    browser.post("/sign-out", {"token": token(browser.get("/"))})
    assert thief.get("/").request.path == "/sign-in"
    sign_in(browser, "operator")
    assert browser.get("/").request.path == "/"
    now[0] += 10 * 3600 + 1
    assert browser.get("/").request.path == "/sign-in"


def test_a_session_id_that_somebody_else_has_set_is_never_that_of_a_session(
    sqlite: str, configure: Callable[..., None]
) -> None:
    passwords(configure, database_url=sqlite)
    client = operator.make("127.0.0.1", lambda: None).test_client()
    client.set_cookie("slowpost_session", "chosen", domain="localhost")
    browser = Browser(client)
    sign_in(browser, "operator")
    assert browser.cookies()["slowpost_session"] != "chosen"
    assert browser.with_stolen("slowpost_session=chosen").get("/").request.path == "/sign-in"
    first = browser.with_stolen(f"slowpost_session={browser.cookies()['slowpost_session']}")
    assert first.get("/").request.path == "/"
    # To sign in again ends the session before.
    sign_in(browser, "operator")
    assert first.get("/").request.path == "/sign-in"


@pytest.mark.parametrize(
    "to", ["https://evil.test/", "//evil.test", "/\\evil.test", "/%2f", "javascript:x", "/\nSet-Cookie: x"]
)
def test_signing_in_leads_nowhere_else(sqlite: str, configure: Callable[..., None], to: str) -> None:
    passwords(configure, database_url=sqlite)
    assert sign_in(a_browser(), "operator", to=to).location == "/"


def test_passwords_are_tried_a_few_times_a_minute(sqlite: str, configure: Callable[..., None]) -> None:
    passwords(configure, database_url=sqlite)
    browser = a_browser()
    form = {"token": token(browser.get("/sign-in")), "who": "Ann", "password": "wrong"}
    tries = [browser.post("/sign-in", form).status_code for _ in range(6)]
    assert tries == [403, 403, 403, 403, 403, 429]
    right = browser.post("/sign-in", form | {"password": PASSWORDS["operator"]})
    assert (right.status_code, "slowpost_session" in browser.cookies()) == (429, False)


def test_behind_a_proxy_it_needs_a_password_and_cookies_are_for_https_alone(
    sqlite: str, configure: Callable[..., None]
) -> None:
    forwarded = {"X-Forwarded-For": "10.0.0.1", "X-Forwarded-Proto": "https", "Host": "slowpost.test"}
    names = {"mail_web_operator_names": "slowpost.test", "mail_web_trusted_proxies": "127.0.0.1"}
    configure(database_url=sqlite, **names)
    refused = a_browser(**forwarded).get("/")
    assert (refused.status_code, refused.text) == (403, "A proxy leads here: set MAIL_WEB_PASSWORD_HASH\n")
    passwords(configure, database_url=sqlite, **names)
    browser = a_browser(**forwarded)
    form = browser.get("/sign-in")
    assert form.headers["Set-Cookie"].startswith("__Host-slowpost_form=")
    assert "Secure; HttpOnly; Path=/; SameSite=Strict" in form.headers["Set-Cookie"]
    assert a_browser(**forwarded | {"Host": "evil.test"}).get("/sign-in").status_code == 400


@pytest.mark.parametrize("address", ["0.0.0.0", "192.0.2.7", "::"])  # noqa: S104  (it is refused)
def test_beyond_loopback_it_is_not_served_without_a_password(configure: Callable[..., None], address: str) -> None:
    configure(mail_web_operator_listen=f"[{address}]:8091" if ":" in address else f"{address}:8091")
    with (
        pytest.raises(ListenError, match="beyond loopback the operator's pages need a password"),
        serving(Tokens(b"x" * 32), lambda: None, lambda: ({}, None)),
    ):
        pass


def test_a_program_can_look_with_the_password_and_not_act(sqlite: str, configure: Callable[..., None]) -> None:
    passwords(configure, database_url=sqlite)
    client = operator.make("127.0.0.1", lambda: None).test_client()
    headers = {"Host": "localhost"}
    for role, status in (("operator", 200), ("reader", 200)):
        assert client.get("/accounts", headers=headers, auth=("any", PASSWORDS[role])).status_code == status
    wrong = client.get("/accounts", headers=headers, auth=("any", "wrong"))
    assert (wrong.status_code, wrong.headers["WWW-Authenticate"]) == (401, 'Basic realm="Slowpost", charset="UTF-8"')
    assert client.post("/pause", headers=headers, auth=("any", PASSWORDS["operator"])).status_code == 400
    assert (client.get("/health", headers=headers).status_code, Action.select().count()) == (200, 0)


def test_what_strangers_write_is_text(sqlite: str, clock: Clock) -> None:
    bad = "<img src=x onerror=alert(1)>\u202e\x1b[31m'\""
    an_account(name=bad, enabled=False, disabled_reason=bad)
    a_campaign(name=bad, paused_after=bad, state=CampaignState.PAUSED)
    browser = a_browser()
    for path in PAGES:
        text = browser.get(path).text
        assert "<img" not in text, path
        assert not re.search("[\u202e\x1b]", text), path
    assert "&lt;img src=x onerror=alert(1)&gt;\\u202e\\x1b[31m" in browser.get("/").text


def test_what_is_not_there_is_said_and_nothing_else(sqlite: str) -> None:
    browser = a_browser()
    for path in ("/accounts/99", "/accounts/99999999999", "/campaigns/1", "/timeline/x", "/timeline/9999-12-31", "/x"):
        answer = browser.get(path)
        assert (answer.status_code, "Not there" in answer.text) == (404, True), path


def test_the_database_away_is_said(sqlite: str) -> None:
    browser = a_browser()
    database.db.close()
    database.connect("postgresql://nobody:hunter2@127.0.0.1:1/none")
    answer = browser.get("/")
    assert (answer.status_code, "does not reach the database now" in answer.text, "hunter2" in answer.text) == (
        503,
        True,
        False,
    )


def test_now_says_what_needs_a_person(any_database: str, clock: Clock) -> None:
    a_world()
    assert "Nothing waits for a decision of yours." in a_browser().get("/").text
    SmtpAccount.update(enabled=False, disabled_reason="535 no").execute()
    Campaign.update(state=CampaignState.PAUSED, paused_after="too many").execute()
    pause(Target(), "me")
    page = a_browser().get("/").text
    assert "account A is off: 535 no" in page
    assert "campaign C is paused: too many" in page
    assert "everything is paused" in page
    assert '<a href="/accounts/1">' in page


def a_world() -> tuple[SmtpAccount, Campaign]:
    """Store an account and a campaign."""
    account = an_account(name="A")
    about = {"accounts": [account], "lists": [a_list()], "no_footer_because": "a test"}
    return account, a_campaign((0, [a_template()]), name="C", **about)
