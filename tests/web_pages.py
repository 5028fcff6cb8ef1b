"""The operator's pages as a browser asks for them, without one."""

from __future__ import annotations

import re
from collections.abc import Callable

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from slowpost.web import operator
from slowpost.web.passwords import hashed

PASSWORDS = {"operator": "correct horse battery", "reader": "staple in the window"}
_HASHES = {role: hashed(password) for role, password in PASSWORDS.items()}


class Browser:
    """Somebody who asks for pages; keeps cookies."""

    def __init__(self, client: FlaskClient, **headers: str) -> None:
        self._client, self._headers = client, {"Host": "localhost:8091", "Accept": "text/html", **headers}

    def get(self, path: str, **headers: str) -> TestResponse:
        """Ask for a page, and follow where it leads."""
        return self._client.get(path, headers=self._headers | headers, follow_redirects=True)

    def post(self, path: str, data: dict[str, str], **headers: str) -> TestResponse:
        """Send a form, and don't follow."""
        return self._client.post(path, data=data, headers=self._headers | headers)

    def act(self, path: str, reason: str = "") -> TestResponse:
        """Do an action as a person does: open its page, and press its button."""
        return self.post(path, {"token": token(self.get(path)), "reason": reason})

    def with_stolen(self, cookie: str) -> Browser:
        """Return another browser of the same pages, which sends this cookie, and keeps none."""
        return Browser(self._client.application.test_client(use_cookies=False), Cookie=cookie)

    def cookies(self) -> dict[str, str]:
        """Return what it has been given to keep."""
        return {name: cookie.value for (_, _, name), cookie in self._client._cookies.items()}


def a_browser(**headers: str) -> Browser:
    """Return the operator's browser on loopback, where there is no password."""
    return Browser(operator.make("127.0.0.1", lambda: None).test_client(), **headers)


def hashes() -> dict[str, str]:
    """Return the settings that both passwords need."""
    return {"mail_web_password_hash": _HASHES["operator"], "mail_web_reader_password_hash": _HASHES["reader"]}


def passwords(configure: Callable[..., None], **settings: object) -> None:
    """Set both passwords."""
    configure(**hashes(), **settings)


def sign_in(browser: Browser, role: str, who: str = "Ann", to: str = "/") -> TestResponse:
    """Sign in; the passwords have to be set."""
    form = browser.get("/sign-in")
    return browser.post("/sign-in", {"token": token(form), "who": who, "password": PASSWORDS[role], "to": to})


def token(page: TestResponse) -> str:
    """Return what the last form of a page has to bring."""
    found: list[str] = re.findall(r'name="token" value="([0-9a-f]+)"', page.text)
    return found[-1] if found else ""
