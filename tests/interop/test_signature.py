"""A mail that Slowpost has signed and Postfix has received is tried by OpenDKIM, which shares no code with what has
signed it.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from cryptography.fernet import Fernet

from models import Delivery, database
from pipeline.accounts import consent
from pipeline.content.signature import SigningKey
from tests.dkim_keys import ed25519_pem, key_file, rsa_pem, signing_keys, zone_of
from tests.dns_server import DnsServer
from tests.interop.conftest import Outreach
from tests.interop.listeners import DOMAIN, ORDINARY
from tests.interop.postfix import Postfix
from tests.interop.tree import Tree

READER = "reader2"
BOTH = {"r1": "pass", "e1": "pass"}
BROKEN = {"r1": "fail", "e1": "fail"}


def test_a_signed_mail_passes_opendkim_with_both_headers_covered_and_a_second_one_breaks_it(
    outreach: Outreach, postfix: Postfix, tmp_path: Path, configure: Callable[..., None]
) -> None:
    keys = signing_keys(tmp_path, DOMAIN)
    account = postfix.account(
        ORDINARY,
        from_address=f"{READER}@{DOMAIN}",
        dkim_selector="r1",
        dkim_key_file=key_file(tmp_path, rsa_pem()),
        dkim_ed25519_selector="e1",
        dkim_ed25519_key_file=key_file(tmp_path, ed25519_pem()),
    )
    outreach.add_accounts(account)
    outreach.command("doctor", "--send", "1")
    (mail,) = postfix.mails(READER)
    received = mail.file.read_bytes()
    publish(postfix.tree, keys)

    assert verdicts(postfix.tree, received) == BOTH
    signed = [set(h.split(":")) for h in re.findall(r";h=([^;]*);", re.sub(r"\s", "", received.decode()))]
    assert len(signed) == 2
    assert all({"list-unsubscribe", "list-unsubscribe-post"} <= names for names in signed)
    for header in (b"List-Unsubscribe: <https://evil.example/>", b"List-Unsubscribe-Post: List-Unsubscribe=One-Click"):
        assert verdicts(postfix.tree, header + b"\n" + received) == BROKEN
        assert verdicts(postfix.tree, received.replace(b"\n\n", b"\n" + header + b"\n\n", 1)) == BROKEN

    with DnsServer(zone_of(*keys)) as dns:
        configure(mail_dns_servers=dns.address)
        read = outreach.command("doctor", "--received", str(mail.file))
    assert read["covered"]
    assert read["kept"]
    assert read["message_id_kept"]
    assert [(s["selector"], s["ours"], s["aligned"]) for s in read["signatures"]] == [
        ("r1", True, True),
        ("e1", True, True),
    ]
    assert outreach.command("accounts", "show", "1")["unsubscribe_evidence"] == read["evidence"]


def test_a_mail_of_the_route_passes_opendkim_in_every_form(
    outreach: Outreach, postfix: Postfix, tmp_path: Path, configure: Callable[..., None]
) -> None:
    # The longest that can be set.
    public_url = f"https://{'long-name.' * 20}"[: 200 - len(DOMAIN) - 1] + f".{DOMAIN}"
    configure(
        mail_public_url=public_url, mail_unsubscribe_mailto=f"stop@{DOMAIN}", secret_key=Fernet.generate_key().decode()
    )
    keys = signing_keys(tmp_path, DOMAIN)[:1]
    outreach.add_accounts(
        postfix.account(
            ORDINARY,
            from_address=f"me@{DOMAIN}",
            from_name="Käthe Müller",
            dkim_selector="r1",
            dkim_key_file=key_file(tmp_path, rsa_pem()),
        )
    )
    text = ".a line that begins with a dot\nGrüße,  with   blanks \n\n\n" + "long " * 400 + "\n\n\n"
    outreach.write_to({"email": f"{READER}@{DOMAIN}", "name": "Jörg"}, text=text, html=f"<p>{text}</p>")
    outreach.pass_time(hours=1)
    (mail,) = postfix.mails(READER)
    publish(postfix.tree, keys)
    received = mail.file.read_bytes()
    with database.connection():
        token = consent.of_key().of(Delivery.get().id)
    offered = f"<{public_url}/u/{token}>, <mailto:stop@{DOMAIN}?subject=unsubscribe%20{token}>"
    assert mail.header("List-Unsubscribe") == offered
    assert mail.header("List-Unsubscribe-Post") == "List-Unsubscribe=One-Click"
    assert verdicts(postfix.tree, received) == {"r1": "pass"}
    assert verdicts(postfix.tree, b"List-Unsubscribe: <https://evil.example/>\n" + received) == {"r1": "fail"}


def publish(tree: Tree, keys: Sequence[SigningKey]) -> None:
    """Let OpenDKIM know these public keys, as DNS would have them."""
    tree.write("etc/opendkim/keys", "".join(f"{key.name} {key.record}\n" for key in keys))
    tree.write("etc/opendkim/conf", "Mode v\nTestPublicKeys /etc/opendkim/keys\nSyslog no\n")


def verdicts(tree: Tree, mail: bytes) -> dict[str, str]:
    """Return what OpenDKIM says of each signature of a mail, by its selector."""
    file = tree.path / "mail"
    # As it came over the wire.
    file.write_bytes(mail.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
    words = tree.command("/usr/sbin/opendkim", "-x", "/etc/opendkim/conf", "-vvv", "-t", "/mail")
    done = subprocess.run(words, capture_output=True, check=True, text=True)
    return {s: verdict for verdict, s in re.findall(r"dkim=(\w+) [^;]*header\.s=(\w+)", done.stdout + done.stderr)}
