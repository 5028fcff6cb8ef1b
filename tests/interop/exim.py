"""Exim, as its own example configuration has it: logins of its own, and Maildirs."""

from __future__ import annotations

from collections.abc import Callable

from models import Security
from tests.interop.listeners import DOMAIN, LISTENERS, MOST_OCTETS, PASSWORD, READERS, USERNAME, Listener, MailServer
from tests.interop.tree import Tree

ONE_MESSAGE = Listener(one_message=True)

_MAIN = f"""
primary_hostname = mail.{DOMAIN}
domainlist local_domains = {DOMAIN}
local_interfaces = 127.0.0.1
daemon_smtp_ports = %(ports)s
tls_on_connect_ports = %(tls)s
tls_advertise_hosts = ${{if inlist{{$received_port}}{{%(stripped)s}}{{}}{{*}}}}
auth_advertise_hosts = ${{if or{{{{def:tls_in_cipher}}{{inlist{{$received_port}}{{%(stripped)s}}}}}}{{*}}{{}}}}
tls_certificate = /etc/tls/${{if inlist{{$received_port}}{{%(expired)s}}{{expired}}\
{{${{if inlist{{$received_port}}{{%(another)s}}{{another-host}}{{good}}}}}}}}.pem
smtp_accept_max_per_connection = ${{if inlist{{$received_port}}{{%(one)s}}{{1}}{{1000}}}}
message_size_limit = {MOST_OCTETS}
host_lookup =
dns_again_means_nonexist = *
keep_environment =
log_selector = +smtp_no_mail
acl_smtp_rcpt = rcpt
acl_smtp_data = accept

begin acl

rcpt:
  require authenticated = *
  require verify = recipient
  accept

begin routers

unknown_domains:
  driver = redirect
  domains = ! +local_domains
  data = :fail: Unrouteable address
  allow_fail

readers:
  driver = accept
  local_parts = lsearch;/etc/exim4/readers
  transport = maildir
  cannot_route_message = Unknown user

begin transports

maildir:
  driver = appendfile
  directory = /var/mail/exim/$local_part_data
  maildir_format
  user = vmail
  group = vmail
  delivery_date_add
  envelope_to_add

begin authenticators

plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${{if and{{{{eq{{$auth2}}{{USER}}}}{{eq{{$auth3}}{{WORD}}}}}}}}
  server_set_id = $auth2
  server_advertise_condition = ${{if inlist{{$received_port}}{{%(PLAIN)s}}}}

login:
  driver = plaintext
  public_name = LOGIN
  server_prompts = <| Username: | Password:
  server_condition = ${{if and{{{{eq{{$auth1}}{{USER}}}}{{eq{{$auth2}}{{WORD}}}}}}}}
  server_set_id = $auth1
  server_advertise_condition = ${{if inlist{{$received_port}}{{%(LOGIN)s}}}}

cram:
  driver = cram_md5
  public_name = CRAM-MD5
  server_secret = ${{if eq{{$auth1}}{{USER}}{{WORD}}fail}}
  server_set_id = $auth1
  server_advertise_condition = ${{if inlist{{$received_port}}{{%(CRAM-MD5)s}}}}
"""


class Exim(MailServer):
    """A submission server, which delivers into Maildirs."""

    name = "exim"
    farewell = r"no MAIL in SMTP connection .* C=(.*)"
    log_file = "var/log/exim4/mainlog"

    def __init__(self, tree: Tree) -> None:
        super().__init__(tree, [*LISTENERS, ONE_MESSAGE])

    def _prepare(self) -> None:
        self.tree.folder("var/log/exim4", "Debian-exim")
        self.tree.folder("var/spool/exim4", "Debian-exim")
        self.tree.folder("run/exim4", "Debian-exim")
        ports = {
            "ports": self._ports(lambda _: True),
            "tls": self._ports(lambda listener: listener.security is Security.TLS),
            "stripped": self._ports(lambda listener: listener.strips_starttls),
            "expired": self._ports(lambda listener: listener.certificate == "expired"),
            "another": self._ports(lambda listener: listener.certificate == "another-host"),
            "one": self._ports(lambda listener: listener.one_message),
        } | {m: self._ports(lambda listener, m=m: m in listener.mechanisms) for m in ("PLAIN", "LOGIN", "CRAM-MD5")}
        user, word = f"USER = {USERNAME}\n", f"WORD = {PASSWORD}\n"
        self.tree.write("etc/exim4/exim4.conf", user + word + _MAIN % ports)
        self.tree.write("etc/exim4/readers", "".join(f"{reader}: {reader}\n" for reader in READERS))

    def _ports(self, which: Callable[[Listener], bool]) -> str:
        return " : ".join(str(port) for listener, port in self.ports.items() if which(listener))

    def _command(self) -> list[str]:
        # In the foreground.
        return self.tree.command("/usr/sbin/exim4", "-bdf", "-q1m")
