"""Exim, as its own example configuration has it: logins of its own, and Maildirs."""

from __future__ import annotations

from collections.abc import Callable

from models import Security
from tests.interop.listeners import DOMAIN, LISTENERS, MOST_OCTETS, PASSWORD, READERS, Listener, MailServer
from tests.interop.tree import Tree

ONE_MESSAGE = Listener(one_message=True)

#: Words in capitals are macros, which stand before it: `_macros`.
_CONFIGURATION = r"""
WORD_OF_AUTH1 = ${lookup{$auth1}lsearch{/etc/exim4/users}{$value}fail}
WORD_OF_AUTH2 = ${lookup{$auth2}lsearch{/etc/exim4/users}{$value}fail}

primary_hostname = mail.OUR_DOMAIN
domainlist local_domains = OUR_DOMAIN
local_interfaces = 127.0.0.1
daemon_smtp_ports = PORTS_ALL
tls_on_connect_ports = PORTS_TLS
tls_advertise_hosts = ${if inlist{$received_port}{PORTS_STRIPPED}{}{*}}
auth_advertise_hosts = ${if or{{def:tls_in_cipher}{inlist{$received_port}{PORTS_STRIPPED}}}{*}{}}
tls_certificate = /etc/tls/${if inlist{$received_port}{PORTS_EXPIRED}{expired}\
{${if inlist{$received_port}{PORTS_ANOTHER}{another-host}{good}}}}.pem
smtp_accept_max_per_connection = ${if inlist{$received_port}{PORTS_ONE}{1}{1000}}
message_size_limit = MOST_OCTETS
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
  server_condition = ${if eq{$auth3}{WORD_OF_AUTH2}}
  server_set_id = $auth2
  server_advertise_condition = ${if inlist{$received_port}{PORTS_PLAIN}}

login:
  driver = plaintext
  public_name = LOGIN
  server_prompts = <| Username: | Password:
  server_condition = ${if eq{$auth2}{WORD_OF_AUTH1}}
  server_set_id = $auth1
  server_advertise_condition = ${if inlist{$received_port}{PORTS_LOGIN}}

cram:
  driver = cram_md5
  public_name = CRAM-MD5
  server_secret = WORD_OF_AUTH1
  server_set_id = $auth1
  server_advertise_condition = ${if inlist{$received_port}{PORTS_CRAM_MD5}}
"""


class Exim(MailServer):
    """A submission server, which delivers into Maildirs."""

    name = "exim"
    farewell = r"no MAIL in SMTP connection .* C=(.*)"
    log_file = "var/log/exim4/mainlog"
    program = ("/usr/sbin/exim4", "-bdf", "-q1m")

    def __init__(self, tree: Tree) -> None:
        super().__init__(tree, [*LISTENERS, ONE_MESSAGE])

    def _prepare(self) -> None:
        super()._prepare()
        self.tree.folder("var/log/exim4", "Debian-exim")
        self.tree.folder("var/spool/exim4", "Debian-exim")
        self.tree.folder("run/exim4", "Debian-exim")
        self.tree.write("etc/exim4/users", "".join(f"{username}: {PASSWORD}\n" for username in self.usernames()))
        self.tree.write("etc/exim4/readers", "".join(f"{reader}: {reader}\n" for reader in READERS))

    def _configure(self) -> None:
        super()._configure()
        self.tree.write("etc/exim4/exim4.conf", self._macros() + _CONFIGURATION)

    def _macros(self) -> str:
        which: dict[str, Callable[[Listener], bool]] = {
            "ALL": lambda _: True,
            "TLS": lambda listener: listener.security is Security.TLS,
            "STRIPPED": lambda listener: listener.strips_starttls,
            "EXPIRED": lambda listener: listener.certificate == "expired",
            "ANOTHER": lambda listener: listener.certificate == "another-host",
            "ONE": lambda listener: listener.one_message,
            "PLAIN": lambda listener: "PLAIN" in listener.mechanisms,
            "LOGIN": lambda listener: "LOGIN" in listener.mechanisms,
            "CRAM_MD5": lambda listener: "CRAM-MD5" in listener.mechanisms,
        }
        lines = [f"OUR_DOMAIN = {DOMAIN}\nMOST_OCTETS = {MOST_OCTETS}\n"]
        for name, is_one in which.items():
            ports = " : ".join(str(port) for listener, port in self.ports.items() if is_one(listener))
            lines.append(f"PORTS_{name} = {ports}\n")
        return "".join(lines)
