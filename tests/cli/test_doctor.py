"""`doctor` as a user meets it: real logins and a real DNS on loopback, on both databases; and nothing where offline."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import AuthResult

from models import database
from pipeline.accounts import passwords
from slowpost.catcher import Catcher
from tests.builders import an_account
from tests.certificates import a_certificate
from tests.cli.conftest import Slowpost
from tests.dkim_keys import ed25519_pem, key_file, rsa_pem, signing_keys, zone_of
from tests.dns_server import SERVFAIL, DnsServer, Zone

#: A domain at which all is well, and one at which nothing is.
ZONE: Zone = {
    "good.test MX": ["10 mx.good.test."],
    "good.test TXT": ['"v=spf1 ip4:192.0.2.0/24 -all"'],
    "s1._domainkey.good.test TXT": ['"v=DKIM1; p=AAAA"'],
    "_dmarc.good.test TXT": ['"v=DMARC1; p=reject"'],
    "bad.test MX": ["0 ."],
    "bad.test TXT": ['"v=spf1 +all"', '"v=spf1 -all"'],
}


def test_a_sound_installation_has_nothing_that_hurts(any_installation: Slowpost, catcher: Catcher) -> None:
    with database.connection():
        a_sound_account(catcher, from_address="ann@good.test")
    result = any_installation("doctor", "--json")
    found = json.loads(result.out)
    assert (result.code, found["hurts"]) == (0, False)
    levels = {finding["check"]: finding["level"] for finding in found["findings"]}
    # The certificate ends in five days, nobody knows yet who signs, and bounces by mail are unseen.
    assert {check for check, level in levels.items() if level != "ok"} == {"certificate", "one_click", "mailbox"}
    assert {"clock", "database", "login", "tls", "password", "mx", "spf", "dkim", "dmarc"} <= set(levels)


def test_each_thing_that_hurts_is_said_with_what_to_do_and_the_exit_code_is_1(
    any_installation: Slowpost, any_database: str, configure: Callable[..., None]
) -> None:
    with database.connection():
        first = an_account(host="127.0.0.1", port=1, from_address="ann@bad.test", daily_limit=51)
        an_account(name="other", port=1, from_address="ann@gmail.com", username="x", password="nonsense")
    if database.is_postgres():
        configure(database_url=f"{any_database}?options=-c%20synchronous_commit%3Doff")
    configure(mail_window_days="mon-sun", mail_window_start=0, mail_window_end=0, mail_ehlo_name="gone.test")
    result = any_installation("doctor", "--json")
    assert (result.code, len(result.err.splitlines())) == (1, 1)
    found = json.loads(result.out)["findings"]
    wrong = {(f["check"], f["level"], f["account"] or f["domain"]) for f in found if f["level"] not in ("ok", "advice")}
    expected = {
        ("weekends", "warning", None),
        ("key", "error", None),
        ("ehlo_name", "warning", None),
        ("login", "error", first.name),
        ("daily_limit", "warning", first.name),
        ("mailbox", "warning", first.name),
        ("mailbox", "warning", "other"),
        ("password", "error", "other"),
        ("from_provider", "error", "other"),
        ("mx", "error", "bad.test"),
        ("spf", "error", "bad.test"),
        ("dkim", "warning", "bad.test"),
        ("dmarc", "warning", "bad.test"),
    }
    assert wrong == expected | ({("database", "error", None)} if database.is_postgres() else set())
    shown = any_installation("doctor")
    assert shown.code == 1
    assert "to do: make them into one" in shown.out
    assert "nonsense" not in shown.out + shown.err + result.out


def test_dns_that_is_away_hurts_nobody(
    any_installation: Slowpost, catcher: Catcher, configure: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.dns.resolver.TIMEOUT", 0.2)
    configure(mail_dns_servers="127.0.0.1:1")
    with database.connection():
        a_sound_account(catcher, from_address="ann@bad.test")
    result = any_installation("doctor", "--json")
    assert result.code == 0
    of_domain = {f["level"] for f in json.loads(result.out)["findings"] if f["domain"]}
    assert of_domain == {"unknown"}


def test_only_the_accounts_named_are_asked_and_offline_nobody(
    any_installation: Slowpost, catcher: Catcher, dns: DnsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with database.connection():
        meant = a_sound_account(catcher, from_address="ann@good.test")
        an_account(port=1, from_address="ann@bad.test")
    result = any_installation("doctor", str(meant), "--dkim-selector", "s1", "--dkim-selector", "s9", "--json")
    found = json.loads(result.out)["findings"]
    assert {f["domain"] for f in found} == {None, "good.test"}
    assert [(f["found"], f["level"]) for f in found if f["check"] == "dkim"] == [
        ("the key of selector s1 is there", "ok"),
        ("the key of selector s9 is not there", "error"),
    ]
    assert not any("bad.test" in name for name, _ in dns.asked)

    dns.asked.clear()
    monkeypatch.setattr(socket, "create_connection", None)
    offline = any_installation("doctor", "--offline", "--json")
    assert (offline.code, dns.asked) == (0, [])
    assert {f["check"] for f in json.loads(offline.out)["findings"]}.isdisjoint({"login", "mx", "spf", "dkim", "dmarc"})


def test_an_accounts_own_keys_are_compared_with_what_dns_has(
    any_installation: Slowpost, catcher: Catcher, dns: DnsServer, tmp_path: Path
) -> None:
    files = [key_file(tmp_path, pem) for pem in (rsa_pem(), ed25519_pem())]
    columns = ("dkim_selector", "dkim_key_file", "dkim_ed25519_selector", "dkim_ed25519_key_file")
    with database.connection():
        account_id = a_sound_account(
            catcher, from_address="ann@good.test", **dict(zip(columns, ("r1", files[0], "e1", files[1]), strict=True))
        )
    rsa, ed25519 = signing_keys(tmp_path, "good.test")

    def said(**zone: Any) -> list[tuple[str, str, str | None]]:
        dns.zone |= {tuple(name.split()): records for name, records in zone.items()}  # type: ignore[misc]
        found = json.loads(any_installation("doctor", str(account_id), "--json").out)["findings"]
        return [(f["level"], f["found"], f["remedy"]) for f in found if f["check"] in ("signature", "one_click")]

    first, second, one_click = said()
    assert first[:2] == ("error", "there is no key at r1._domainkey.good.test")
    assert first[2] == f"publish this TXT record at {rsa.name}: {rsa.record}"
    assert second[1] == "there is no key at e1._domainkey.good.test"
    assert one_click[:2] == ("ok", "both headers by which people unsubscribe are covered by its own key")

    first, second, _ = said(**{f"{rsa.name} TXT": ['"v=DKIM1; k=rsa; p=AAAA"'], f"{ed25519.name} TXT": SERVFAIL})
    assert first[:2] == ("error", "the record at r1._domainkey.good.test holds another key")
    assert second[0] == "unknown"

    first, second, _ = said(**zone_of(rsa, ed25519))
    assert [first[0], second[0]] == ["ok", "ok"]
    # The same octets as a key of another kind are no key of this one.
    _, second, _ = said(**{f"{ed25519.name} TXT": [f'"v=DKIM1; p={ed25519.public}"']})
    assert second[0] == "error"

    Path(files[0]).unlink()
    (first, _) = said()
    assert first[:2] == ("error", "it can't sign: the key file can't be read: No such file or directory")


def test_a_mail_to_itself_is_sent_and_read_again(
    any_installation: Slowpost, catcher: Catcher, dns: DnsServer, configure: Callable[..., None]
) -> None:
    configure(mail_min_interval=0)
    with database.connection():
        account_id = a_sound_account(catcher, from_address="ann@good.test")
    sent = any_installation("doctor", "--send", str(account_id))
    assert sent.code == 0
    assert "to do: save it as it is received" in sent.out
    (mail,) = catcher.mails
    read = any_installation("doctor", "--received", str(mail.file))
    assert (read.code, read.err) == (0, "")
    assert "the headers by which people unsubscribe are not covered: it was received without a signature" in read.out
    assert "Message-ID: as it was sent" in read.out
    shown = any_installation("accounts", "show", str(account_id)).out
    assert "unsubscribe covered: no\nunsubscribe evidence: it was received without a signature" in shown
    for words in (["--send", "1", "--received", "-"], ["--send", "1", "--offline"], ["1", "--received", "-"]):
        assert any_installation("doctor", *words).code == 2
    assert any_installation("doctor", "--received", "-", stdin="Subject: x\n\n").code == 1


def test_files_that_others_may_read_are_named_with_what_to_do(ready: Slowpost, tmp_path: Path) -> None:
    Path(".env").write_text("")
    for name, mode in (("slowpost.db", 0o640), (".env", 0o604)):
        (tmp_path / name).chmod(mode)
    Path("slowpost.key").touch(0o600)
    found = json.loads(ready("doctor", "--offline", "--json").out)["findings"]
    (files,) = [f for f in found if f["check"] == "files"]
    # What SQLite makes beside the database has the database's rights.
    named = " ".join(f"{tmp_path}/slowpost.db{end}" for end in ("", "-wal", "-shm"))
    assert (files["level"], files["remedy"]) == ("warning", f"chmod go= {named} .env")


def test_the_next_holiday_is_named_and_a_year_of_which_none_is_known(
    ready: Slowpost, configure: Callable[..., None], clock: Any
) -> None:
    def said() -> tuple[str, str]:
        found = json.loads(ready("doctor", "--offline", "--json").out)["findings"]
        ((level, words),) = ((f["level"], f["found"]) for f in found if f["check"] == "holidays")
        return level, words

    assert said() == ("advice", "mail would go out on public holidays")
    configure(mail_window_holidays="DE-BY,US", mail_window_days="mon-fri")
    assert said() == (
        "ok",
        "nothing goes out on holidays and closed dates, next: Thu 2026-06-04, Corpus Christi (DE-BY)",
    )
    # Of Sri Lanka the package knows no year after 2026.
    configure(mail_window_holidays="LK")
    assert said() == ("warning", "no public holiday is known of LK in 2027")


def test_without_an_account_it_says_how_to_add_one(any_installation: Slowpost) -> None:
    result = any_installation("doctor")
    assert result.code == 0
    assert "to do: add one: `slowpost accounts add`" in result.out


def a_sound_account(catcher: Catcher, **values: Any) -> int:
    """Store an account that logs in to the catcher, and return its id."""
    login: dict[str, Any] = {"username": values["from_address"], "password": passwords.encrypt("s3cret")}
    found = an_account(host="127.0.0.1", port=catcher.port, security="starttls", **login, **values)
    return int(found.id)


@pytest.fixture
def any_installation(
    any_database: str, slowpost: Slowpost, dns: DnsServer, configure: Callable[..., None], monkeypatch: Any
) -> Slowpost:
    """A database of either kind, and settings as they should be."""
    if database.is_postgres():
        # The tests' own database is quick and not durable.
        configure(database_url=f"{any_database}?options=-c%20synchronous_commit%3Don")
    elif file := database.sqlite_file():
        for made in file.parent.glob(f"{file.name}*"):
            made.chmod(0o600)
    configure(
        mail_dns_servers=dns.address,
        mail_window_days="mon-fri",
        mail_window_timezone="Europe/Berlin",
        mail_window_holidays="DE",
        mail_postal_address="1 Main Street",
        mail_unsubscribe_mailto="out@good.test",
    )
    return slowpost


@pytest.fixture
def dns() -> Iterator[DnsServer]:
    """A DNS server that knows both domains."""
    with DnsServer(ZONE) as server:
        yield server


@pytest.fixture
def catcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Catcher]:
    """A mail server with STARTTLS and AUTH, whose certificate is trusted and ends in five days."""
    certificate = a_certificate(tmp_path / "server.pem", days=5)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    options = {"tls_context": context, "require_starttls": True, "authenticator": lambda *_: AuthResult(success=True)}
    with Catcher(tmp_path / "caught", **options) as running:
        yield running
