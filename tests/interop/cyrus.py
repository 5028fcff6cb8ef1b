"""Cyrus: a server of mailboxes of other make, which tells what its folders are for only to those who ask."""

from __future__ import annotations

import imaplib
import shutil
import subprocess

from tests.interop.dovecot import USERS, MailboxServer
from tests.interop.listeners import PASSWORD

_MASTER = """
START {{
  recover cmd="/usr/lib/cyrus/bin/ctl_cyrusdb -r"
}}
SERVICES {{
  imap cmd="/usr/lib/cyrus/bin/imapd -U 30" listen="127.0.0.1:{plain}" prefork=0 maxchild=50
  imaps cmd="/usr/lib/cyrus/bin/imapd -s -U 30" listen="127.0.0.1:{tls}" prefork=0 maxchild=50
}}
EVENTS {{
}}
"""
_IMAPD = """
configdirectory: /var/lib/cyrus
partition-default: /var/spool/cyrus/mail
defaultpartition: default
cyrus_user: cyrus
mail_user: cyrus
admins: cyrus
unixhierarchysep: yes
altnamespace: yes
virtdomains: userid
defaultdomain: localhost
allowplaintext: yes
sasl_pwcheck_method: auxprop
sasl_auxprop_plugin: sasldb
sasl_mech_list: PLAIN
autocreate_quota: 0
tls_server_cert: /etc/cyrus-tls.pem
tls_server_key: /etc/cyrus-tls.pem
imapidlepoll: 1
"""


class Cyrus(MailboxServer):
    """The server, as Debian has it."""

    program = ("/usr/lib/cyrus/bin/master", "-C", "/etc/imapd.conf", "-M", "/etc/cyrus-master.conf", "-D")

    def _prepare(self) -> None:
        own = ("", "db", "log", "msg", "proc", "ptclient", "quota", "user", "socket", "lock")
        for folder in (*(f"var/lib/cyrus/{name}" for name in own), "var/spool/cyrus/mail", "run/cyrus"):
            self.tree.folder(folder, "cyrus")
        self.tree.write("etc/imapd.conf", _IMAPD)
        self.tree.write("etc/cyrus-tls.pem", (self.tree.path / "etc/tls/good.pem").read_text())
        for user in USERS:
            name, _, domain = user.partition("@")
            words = ["/usr/sbin/saslpasswd2", "-p", "-c", "-f", "/etc/sasldb2", "-u", domain, name]
            subprocess.run(self.tree.command(*words), input=PASSWORD.encode(), check=True)
        shutil.chown(self.tree.path / "etc/sasldb2", self.tree.id_of("cyrus"))

    def _configure(self) -> None:
        super()._configure()
        self.tree.write("etc/cyrus-master.conf", _MASTER.format(plain=self.plain, tls=self.tls))

    def _create(self, imap: imaplib.IMAP4, name: str, use: str) -> None:
        imap._simple_command("CREATE", name, f"(USE ({use}))")  # type: ignore[attr-defined]
