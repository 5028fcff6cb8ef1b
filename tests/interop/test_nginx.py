"""Behind a real nginx that forwards everything: links and one click work, and nothing of the operator's is there."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from urllib.parse import quote

import pytest

from models import OptOut
from slowpost.web import metrics, operator
from tests.interop.nginx import Nginx
from tests.interop.tree import Tree
from tests.interop.web import Web, a_mail, path_of, web

#: As mail programs send it (RFC 8058 sections 3.2 and 8).
ONE_CLICK = {
    "application/x-www-form-urlencoded": b"List-Unsubscribe=One-Click",
    "multipart/form-data; boundary=x": b"\r\n".join(
        [b"--x", b'Content-Disposition: form-data; name="List-Unsubscribe"', b"", b"One-Click", b"--x--", b""]
    ),
}
PROXIES = {"mail_web_trusted_proxies": "127.0.0.1", "mail_web_client_limit": 100}


@pytest.mark.parametrize("encoding", list(ONE_CLICK))
def test_one_click_unsubscribes_through_it_and_no_log_has_the_link(
    sqlite: str, tmp_path: Path, machine: Tree, encoding: str
) -> None:
    sent = a_mail()
    with web(tmp_path, sqlite, **PROXIES) as here, Nginx(machine, here.port) as nginx:
        link = path_of(sent.id)
        assert ask(nginx, "GET", link)[0] == 200
        assert ask(nginx, "POST", link, ONE_CLICK[encoding], {"Content-Type": encoding})[0] == 200
        assert [(o.delivery_id, o.choice, o.way) for o in OptOut.select()] == [(sent.id, "never", "one_click")]
        # Nor when there is nobody to forward it to.
        forwards_to_nobody = Nginx(machine, 1)
        with forwards_to_nobody:
            assert ask(forwards_to_nobody, "POST", link, ONE_CLICK[encoding], {"Content-Type": encoding})[0] == 502
        assert link.rpartition("/")[2] not in nginx.logs


def test_nothing_of_the_operators_answers_through_it(behind: tuple[Web, Nginx]) -> None:
    here, nginx = behind
    app = operator.make("127.0.0.1", lambda: None)
    metrics.add_to(app, lambda: ({}, None))
    theirs = {rule.rule for rule in app.url_map.iter_rules()} - {"/health"}
    # A path that nobody has: both answer, each in its own way.
    paths = (*map(quote, sorted(theirs)), f"http://127.0.0.1:{here.operator_port}/", "/u/../", "//127.0.0.1/")
    for path, host in zip(paths, cycle(("localhost", f"127.0.0.1:{here.operator_port}", "[::1]")), strict=False):
        status, head, _ = ask(nginx, "GET", path, head={"Host": host, "X-Forwarded-Host": host})
        assert (path, status, head["Content-Type"]) == (path, 404, "text/html; charset=utf-8")


def test_a_client_is_known_by_where_it_connects_from_whatever_it_says(behind: tuple[Web, Nginx]) -> None:
    _, nginx = behind
    limit = int(PROXIES["mail_web_client_limit"])
    answers = [ask(nginx, "GET", "/health", head={"X-Forwarded-For": f"10.0.0.{n}"})[0] for n in range(limit + 2)]
    assert answers == [200] * limit + [429] * 2


def ask(
    nginx: Nginx, method: str, path: str, body: bytes | None = None, head: dict[str, str] | None = None
) -> tuple[int, http.client.HTTPMessage, bytes]:
    """Return status, headers and body of an answer. No redirect is followed."""
    # From an address that is no proxy's.
    there = {"timeout": 30, "source_address": ("127.0.0.2", 0), "context": ssl.create_default_context()}
    connection = http.client.HTTPSConnection("localhost", nginx.port, **there)
    try:
        connection.request(method, path, body, head or {})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


@pytest.fixture
def behind(sqlite: str, tmp_path: Path, machine: Tree) -> Iterator[tuple[Web, Nginx]]:
    """The web pages, and nginx in front of them."""
    with web(tmp_path, sqlite, **PROXIES) as here, Nginx(machine, here.port) as nginx:
        yield here, nginx
