"""Postfix, with Dovecot for its logins and postgrey for what it greylists."""

from __future__ import annotations

from collections.abc import Mapping

from models import Security
from tests.interop.listeners import (
    DOMAIN,
    LISTENERS,
    MECHANISMS,
    MOST_OCTETS,
    PASSWORD,
    READERS,
    Listener,
    MailServer,
    RootedServer,
)
from tests.interop.tree import Tree
from tests.servers import free_port

#: By the seconds for which postgrey sends a recipient away: its default, and what others set.
GREYLISTED = {seconds: Listener(greylists=seconds) for seconds in (300, 900, 3600)}

#: As a submission server for the whole world is: it accepts first.
BOUNCES = Listener(bounces=True)

_SOCKET = "var/spool/postfix/private/auth"
_QUEUES = "active bounce corrupt defer deferred flush hold incoming private saved trace"

_MAIN = f"""
compatibility_level = 3.6
myhostname = mail.{DOMAIN}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks =
smtpd_peername_lookup = no
disable_dns_lookups = yes
maillog_file = /var/log/postfix.log
mydestination =
alias_maps =
local_recipient_maps =
virtual_mailbox_domains = {DOMAIN}
virtual_mailbox_base = /var/mail/postfix
virtual_mailbox_maps = texthash:/etc/postfix/readers
virtual_minimum_uid = 1
virtual_uid_maps = static:{{vmail}}
virtual_gid_maps = static:{{vmail}}
message_size_limit = {MOST_OCTETS}
smtpd_sasl_type = dovecot
smtpd_sasl_path = private/auth
smtpd_sasl_auth_enable = yes
smtpd_tls_auth_only = yes
smtpd_relay_restrictions = permit_sasl_authenticated, reject
"""

_SERVICES = """
pickup    unix n - n 60 1 pickup
cleanup   unix n - n -  0 cleanup
qmgr      unix n - n 300 1 qmgr
tlsmgr    unix - - n 1000? 1 tlsmgr
rewrite   unix - - n - - trivial-rewrite
bounce    unix - - n - 0 bounce
defer     unix - - n - 0 bounce
trace     unix - - n - 0 bounce
flush     unix n - n 1000? 0 flush
proxymap  unix - - n - - proxymap
error     unix - - n - - error
retry     unix - - n - - error
virtual   unix - n n - - virtual
anvil     unix - - n - 1 anvil
postlog   unix-dgram n - n - 1 postlogd
"""


class Dovecot(RootedServer):
    """Knows who may log in, and shows the readers their mailboxes by IMAP.

    Attributes:
        port: of IMAP.
    """

    program = ("/usr/sbin/dovecot", "-F")

    def __init__(self, tree: Tree, usernames: list[str]) -> None:
        super().__init__(tree)
        self._usernames = usernames

    def _prepare(self) -> None:
        """Nothing more than its configuration."""

    def _configure(self) -> None:
        self.port = free_port()
        users = "".join(f"{username}:{{PLAIN}}{PASSWORD}\n" for username in [*self._usernames, *READERS])
        self.tree.write("etc/dovecot/users", users)
        self.tree.write(
            "etc/dovecot/dovecot.conf",
            f"""
protocols = imap
ssl = no
log_path = /var/log/dovecot.log
auth_mechanisms = {" ".join(MECHANISMS).lower()}
auth_failure_delay = 0
# Nor does a failure make the next ones slow.
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
passdb {{
  driver = passwd-file
  args = /etc/dovecot/users
}}
userdb {{
  driver = static
  args = uid=vmail gid=vmail home=/tmp
}}
service imap-login {{
  inet_listener imap {{
    address = 127.0.0.1
    port = {self.port}
  }}
}}
mail_location = maildir:/var/mail/postfix/%n:INDEX=/tmp/dovecot-%n:CONTROL=/tmp/dovecot-%n
service auth {{
  unix_listener /{_SOCKET} {{
    mode = 0660
    user = postfix
    group = postfix
  }}
}}
""",
        )

    def is_ready(self) -> bool:
        return (self.tree.path / _SOCKET).is_socket() and self.answers(self.port)


class Postgrey(RootedServer):
    """Sends a recipient away, the first time and for so many seconds of the tests' clock (`run/clock`)."""

    def __init__(self, tree: Tree, seconds: int) -> None:
        super().__init__(tree)
        self._seconds = seconds

    def _prepare(self) -> None:
        self.tree.folder(f"var/lib/postgrey-{self._seconds}", "postgrey")

    def _configure(self) -> None:
        self.port = free_port()
        self.program = (
            "/usr/sbin/postgrey",
            f"--inet=127.0.0.1:{self.port}",
            f"--delay={self._seconds}",
            f"--dbdir=/var/lib/postgrey-{self._seconds}",
            "--user=postgrey",
            "--group=postgrey",
            # Nobody is let pass at once.
            "--whitelist-clients=/dev/null",
            "--whitelist-recipients=/dev/null",
            "--auto-whitelist-clients=0",
        )

    def _environment(self) -> Mapping[str, str]:
        (library,) = self.tree.path.glob("usr/lib/*/faketime/libfaketime.so.1")
        return super()._environment() | {
            "LD_PRELOAD": f"/{library.relative_to(self.tree.path)}",
            "FAKETIME_TIMESTAMP_FILE": "/run/clock",
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def is_ready(self) -> bool:
        return self.answers(self.port)


class Postfix(MailServer):
    """A submission server, which delivers into Maildirs. Its helpers run as long as it does."""

    name = "postfix"
    farewell = r"disconnect from \S+ (.*)"
    log_file = "var/log/postfix.log"
    # The shell script `postfix` would only prepare what is prepared.
    program = ("/usr/lib/postfix/sbin/master", "-s")

    def __init__(self, tree: Tree) -> None:
        super().__init__(tree, [*LISTENERS, *GREYLISTED.values(), BOUNCES])
        self._dovecot = Dovecot(tree, self.usernames())
        self._postgreys = {seconds: Postgrey(tree, seconds) for seconds in GREYLISTED}

    @property
    def imap_port(self) -> int:
        """Where its readers' mailboxes are shown."""
        return self._dovecot.port

    def start(self) -> None:
        for helper in (self._dovecot, *self._postgreys.values()):
            helper.__enter__()
        super().start()

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        for helper in (self._dovecot, *self._postgreys.values()):
            helper.__exit__()

    def _prepare(self) -> None:
        super()._prepare()
        for queue in _QUEUES.split():
            self.tree.folder(f"var/spool/postfix/{queue}", "postfix").chmod(0o700)
        for queue in ("maildrop", "public"):
            self.tree.folder(f"var/spool/postfix/{queue}", "postfix").chmod(0o730)
        self.tree.folder("var/spool/postfix/pid")
        self.tree.folder("var/lib/postfix", "postfix")
        self.tree.write("etc/postfix/main.cf", _MAIN.format(vmail=self.tree.id_of("vmail")))
        self.tree.write("etc/postfix/readers", "".join(f"{reader}@{DOMAIN} {reader}/\n" for reader in READERS))

    def _configure(self) -> None:
        super()._configure()
        services = [self._service(port, listener) for listener, port in self.ports.items()]
        self.tree.write("etc/postfix/master.cf", _SERVICES + "".join(services))

    def _service(self, port: int, listener: Listener) -> str:
        options = {
            "smtpd_tls_chain_files": f"/etc/tls/{listener.certificate}.pem",
            "smtpd_sasl_mechanism_filter": ", ".join(listener.mechanisms),
            "smtpd_tls_security_level": "may",
        }
        if listener.security is Security.TLS:
            options["smtpd_tls_wrappermode"] = "yes"
        if listener.strips_starttls:
            options |= {"smtpd_tls_security_level": "none", "smtpd_tls_auth_only": "no"}
        if listener.greylists is not None:
            policy = f"inet:127.0.0.1:{self._postgreys[listener.greylists].port}"
            options["smtpd_recipient_restrictions"] = f"check_policy_service {policy}"
        if listener.bounces:
            options["smtpd_reject_unlisted_recipient"] = "no"
        lines = [f"  -o {{ {name} = {value} }}\n" for name, value in options.items()]
        return f"127.0.0.1:{port} inet n - n - - smtpd\n" + "".join(lines)
