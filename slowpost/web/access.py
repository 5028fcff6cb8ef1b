"""Who may see and do what on the operator's pages.

Each request is let in by one function, `Access.let_in`, before its page is asked: the name it is asked by, the
password, the form's token, the role. A page that forgets to ask can't let anybody in.

Without a password whoever reaches the listener is the operator; so it listens on loopback only, and answers nothing
that a proxy has passed on. A program (Prometheus, curl) gives a password with each request (HTTP Basic, RFC 7617), and
can only look.
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass

from flask import Flask, Response, g, redirect, request
from flask.typing import ResponseReturnValue
from werkzeug.wrappers import Response as BaseResponse

from pipeline.runtime.logs import log
from pipeline.runtime.printable import printable
from pipeline.runtime.settings import Settings
from slowpost.web.clients import client_of, is_in
from slowpost.web.limits import Limits
from slowpost.web.operator_pages.frame import problem, render
from slowpost.web.passwords import Passwords
from slowpost.web.sessions import HOURS, Role, Sessions, new_id

#: What a browser on this machine calls it.
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
#: What a proxy adds (RFC 7239, RFC 9110 section 7.6.3, and what was before them).
_FORWARDED = ("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP")
#: Tries to sign in, in a minute: of one client, and of all.
TRIES_OF_ONE, TRIES = 5, 30
#: Pages without which nobody could sign in, and what tells others that the process lives.
_FOR_ALL = ("health", "ready", "asset", "sign_in", "sign_out")
_READS = ("GET", "HEAD", "OPTIONS")
#: Who acts where nobody has signed in.
NOBODY = "web"
#: Characters of a name that somebody signs in with.
_LONGEST_NAME = 60


@dataclass(frozen=True)
class Visitor:
    """Who makes a request.

    Attributes:
        role: what they may do; None: nothing, they have not signed in.
        who: what stands with what they do.
        token: what each of their forms has to bring.
        signed_in: whether they could sign out.
        cookie: a cookie that they get if a form is made for them; None: they have one.
    """

    role: Role | None
    who: str
    token: str
    signed_in: bool
    cookie: str | None


class Access:
    """What lets requests in."""

    def __init__(self, address: str, settings: Settings) -> None:
        """Take the address that is listened at, and the settings."""
        own = f"[{address}]" if ":" in address else address
        self._names = (*_LOOPBACK, own, *settings.mail_web_operator_names)
        self._passwords, self._sessions = Passwords(settings), Sessions()
        self._tries, self._proxies = Limits(TRIES_OF_ONE, TRIES), settings.mail_web_trusted_proxies
        # Of passwords that programs have given: to try one takes too long for each request.
        self._known: dict[str, Role] = {}

    def guard(self, app: Flask) -> None:
        """Let nobody into an application otherwise than by `let_in`, and add the pages to sign in and out."""
        app.before_request(self.let_in)
        app.after_request(self._with_cookie)
        app.add_url_rule("/sign-in", "sign_in", self.sign_in, methods=["GET", "POST"])
        app.add_url_rule("/sign-out", "sign_out", self.sign_out, methods=["POST"])

    def let_in(self) -> ResponseReturnValue | None:
        """Refuse a request, or return None, with `g.visitor` set."""
        # Not Werkzeug's list of trusted hosts, which knows no IPv6 address. The port may be that of a tunnel.
        host = re.sub(r":\d+$", "", request.headers.get("Host", "")).lower()
        if host not in self._names:
            return Response("400\n", status=400, mimetype="text/plain")
        if not self._passwords.are_needed and any(name in request.headers for name in _FORWARDED):
            return Response("A proxy leads here: set MAIL_WEB_PASSWORD_HASH\n", status=403, mimetype="text/plain")
        g.visitor = self._visitor()
        if request.method not in _READS and not self._is_own_form(g.visitor):
            return problem(400, "This form is too old, or not from here: open its page again. Nothing was done.")
        if request.endpoint in _FOR_ALL:
            return None
        if g.visitor.role is None:
            return self._not_signed_in()
        if request.method not in _READS and g.visitor.role is not Role.OPERATOR:
            return problem(403, "You have signed in to look, not to act. Nothing was done.")
        return None

    def sign_in(self) -> ResponseReturnValue:
        """Show the form to sign in, or begin a session."""
        if request.method in _READS:
            return _form()
        if not self._tries.allow(self._client()):
            return _form("Too many tries: wait a minute.", 429)
        who = printable(" ".join(request.form.get("who", "").split()))[:_LONGEST_NAME]
        role = self._passwords.role_of(request.form.get("password", ""))
        if role is None or not who:
            log.warning("sign-in refused", client=self._client())
            return _form("The password is wrong." if who else "Say who you are.", 403)
        self._sessions.end(request.cookies.get(self._name("session"), ""))
        log.info("signed in", role=str(role), client=self._client())
        answer = redirect(_path(request.form.get("to", "")), 303)
        self._set_cookie(answer, self._name("session"), self._sessions.begin(role, who), HOURS * 3600)
        return answer

    def sign_out(self) -> ResponseReturnValue:
        """End the session."""
        self._sessions.end(request.cookies.get(self._name("session"), ""))
        answer = redirect("/sign-in", 303)
        answer.delete_cookie(self._name("session"), secure=self._is_https(), httponly=True, samesite="Strict")
        return answer

    def _visitor(self) -> Visitor:
        session_id = request.cookies.get(self._name("session"), "")
        session = self._sessions.of(session_id)
        if session is not None:
            return Visitor(session.role, session.who, self._sessions.form_token(session_id), True, None)
        form_id = request.cookies.get(self._name("form"), "")
        cookie = None if form_id else new_id()
        role = self._role_without_session()
        return Visitor(role, NOBODY, self._sessions.form_token(form_id or cookie or ""), False, cookie)

    def _role_without_session(self) -> Role | None:
        if not self._passwords.are_needed:
            return Role.OPERATOR
        given = request.authorization
        if given is None or given.type != "basic" or not given.password:
            return None
        known_as = self._sessions.form_token(given.password)
        if known_as not in self._known:
            role = self._passwords.role_of(given.password) if self._tries.allow(self._client()) else None
            if role is None:
                return None
            self._known[known_as] = role
        return Role.READER

    def _is_own_form(self, visitor: Visitor) -> bool:
        # Browsers tell where a request comes from (Fetch Metadata); where they don't, the token alone has to do.
        from_here = request.headers.get("Sec-Fetch-Site", "same-origin") == "same-origin"
        given = request.form.get("token", "").encode()
        return from_here and visitor.cookie is None and hmac.compare_digest(given, visitor.token.encode())

    def _not_signed_in(self) -> ResponseReturnValue:
        if request.method in _READS and "text/html" in request.headers.get("Accept", ""):
            return redirect(f"/sign-in?to={_path(request.path)}", 303)
        answer = Response("401\n", status=401, mimetype="text/plain")
        answer.headers["WWW-Authenticate"] = 'Basic realm="Slowpost", charset="UTF-8"'
        return answer

    def _with_cookie(self, answer: Response) -> Response:
        """Give a browser that is shown a form the cookie that its token goes with."""
        visitor: Visitor | None = g.get("visitor")
        if visitor is not None and visitor.cookie is not None and g.get("has_form"):
            self._set_cookie(answer, self._name("form"), visitor.cookie)
        return answer

    def _set_cookie(self, answer: BaseResponse, name: str, value: str, seconds: int | None = None) -> None:
        answer.set_cookie(name, value, max_age=seconds, secure=self._is_https(), httponly=True, samesite="Strict")

    def _name(self, what: str) -> str:
        """Return a cookie's name: with a prefix, no other host can set it (RFC 6265bis, section 4.1.3.2)."""
        return f"{'__Host-' if self._is_https() else ''}slowpost_{what}"

    def _is_https(self) -> bool:
        """Tell whether a browser asks with TLS, as a trusted proxy says."""
        from_proxy = is_in(request.remote_addr or "", self._proxies)
        return from_proxy and request.headers.get("X-Forwarded-Proto") == "https"

    def _client(self) -> str:
        return client_of(request.remote_addr or "", request.headers.get("X-Forwarded-For", ""), self._proxies)


def _form(says: str = "", status: int = 200) -> ResponseReturnValue:
    return render("sign_in.html", says=says, to=_path(request.values.get("to", ""))), status


def _path(text: str) -> str:
    """Return where somebody goes on: a path of ours, and nowhere else."""
    return text if re.fullmatch(r"/(?!/)[A-Za-z0-9/_-]*", text) else "/"
