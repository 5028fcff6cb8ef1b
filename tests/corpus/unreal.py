"""Makes a mail's addresses unreal, always in the same way: how the files of this folder came to be.

`python -m tests.corpus.unreal < MAIL > FILE`. The rule: of an address, the local part becomes `person-` and a hash
(mailers' names stay: they are what is recognised), the domain becomes HASH.example, or NAME.example for a
large provider; hosts under such a domain go with it, mailers' domains of large providers stay. What RFC 2606 reserves
stays. IP addresses become those of RFC 5737. Fields that carry signatures are cut, and base64 is cut after 24 lines.
The shape of a reply (codes, brackets, words) stays as it was.
"""

from __future__ import annotations

import hashlib
import re
import sys

#: Whose names say which form a report has.
_PROVIDERS = (
    *("google", "googlemail", "gmail", "yahoo", "aol", "hotmail", "outlook", "microsoft", "office365", "gmx", "icloud"),
    *(
        "amazonses",
        "amazon",
        "mail",
        "yandex",
        "zoho",
        "comcast",
        "verizon",
        "vtext",
        "apple",
        "me",
        "qq",
        "163",
        "sina",
    ),
)
_RESERVED = re.compile(
    rb"(?:^|\.)(?:example(?:\.(?:com|net|org|edu|jp|co\.jp|ne\.jp|or\.jp|go\.jp|cz|de|fi|fr|nz|za|net\.py|br))?"
    rb"|test|invalid|localhost"
    rb"|localdomain|local|internal)$",
    re.IGNORECASE,
)
_MAILERS = re.compile(
    rb"^(?:mailer[-_.]?daemon|mail[-_.]?daemon|post[-_.]?master|mdaemon|no-?reply|do-?not-?reply|staff|abuse\w*"
    rb"|feedback\w*|scomp"
    rb"|root|unsubscribe|ndr|mail-?administrator|admin(?:istrator)?|bounces?|double-bounce|mailfoundry|undeliver\w*)$",
    re.IGNORECASE,
)
_ADDRESS = re.compile(
    rb"([A-Za-z0-9][A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{0,120})@((?:[A-Za-z0-9_-]{1,63}\.){1,8}[A-Za-z]{2,24})"
)
_HOST = re.compile(rb"(?<![\w@.-])((?:[A-Za-z0-9_-]{1,63}\.){1,8}[A-Za-z]{2,24})(?!\w|-\w)")
_IP = re.compile(rb"(?<![\d.])((?:\d{1,3}\.){3}\d{1,3})(?![\d.])")
_PRIVATE = re.compile(rb"^(?:0|10|127|192\.168|192\.0\.2|198\.51\.100|203\.0\.113|172\.(?:1[6-9]|2\d|3[01]))\.")
_SIGNATURES = re.compile(
    rb"(?im)^(?:dkim-signature|domainkey-signature|arc-[\w-]+|x-google-dkim-signature|x-gm-message-state"
    rb"|x-google-smtp-source"
    rb"|x-ymailisg|x-ms-exchange-[\w-]*(?:antispam|messagedata|crosstenant|diagnostics)[\w-]*"
    rb"|x-microsoft-(?:antispam|exchange)"
    rb"[\w-]*|x-forefront-[\w-]+|x-ms-publictraffictype|x-spam-[\w-]+|x-received|x-proofpoint-[\w-]+|autocrypt|openpgp"
    rb"|authentication-results(?:-original)?|received-spf|x-csa-[\w-]+|x-ui-out-filterresults|x-provags-id|x-sid-[\w-]+"
    rb"|x-message-(?:info|delivery|status)|list-(?:un)?subscribe-post)"
    rb":[^\n]*\n(?:[ \t][^\n]*\n)*"
)
_BASE64 = re.compile(
    rb"((?:^[A-Za-z0-9+/]{60,78}\r?\n){24})(?:^[A-Za-z0-9+/]{60,78}\r?\n)+(?:^[A-Za-z0-9+/=]+\r?\n)?", re.MULTILINE
)
_TWO_LABELS = re.compile(rb"(?:co|com|ne|or|net|go|ac|org|gov|govt|gob|edu)\.[a-z]{2}$", re.IGNORECASE)


def unreal(mail: bytes) -> bytes:
    """Return `mail` with addresses, hosts and IP addresses that are nobody's."""
    mail = _BASE64.sub(rb"\1", _SIGNATURES.sub(b"", mail))
    domains = {_registered(found[2]) for found in _ADDRESS.finditer(mail)}
    mail = _ADDRESS.sub(lambda found: _address(found[1], found[2]), mail)
    mail = _HOST.sub(lambda found: _host(found[1]) if _registered(found[1]) in domains else found[0], mail)
    return _IP.sub(_ip, mail)


def _address(local: bytes, domain: bytes) -> bytes:
    if _MAILERS.match(local):
        is_known = any(_registered(domain).startswith(name.encode() + b".") for name in _PROVIDERS)
        return local + b"@" + (domain if is_known else _host(domain))
    if _RESERVED.search(domain):
        return local + b"@" + domain
    return b"person-" + _hash(local + b"@" + domain) + b"@" + _host(domain)


def _host(name: bytes) -> bytes:
    """Hosts keep the labels below the registered domain."""
    if _RESERVED.search(name):
        return name
    registered = _registered(name)
    first = registered.split(b".")[0]
    new = first if first.decode() in _PROVIDERS else b"d" + _hash(registered)
    return name[: len(name) - len(registered)] + new + b".example"


def _registered(name: bytes) -> bytes:
    labels = name.lower().split(b".")
    return b".".join(labels[-3:] if _TWO_LABELS.search(name) and len(labels) > 2 else labels[-2:])


def _ip(found: re.Match[bytes]) -> bytes:
    if _PRIVATE.match(found[1]) or any(int(one) > 255 for one in found[1].split(b".")):
        return found[1]
    return b"203.0.113.%d" % (int(_hash(found[1]), 16) % 254 + 1)


def _hash(value: bytes) -> bytes:
    return hashlib.sha256(value.lower()).hexdigest()[:5].encode()


if __name__ == "__main__":
    sys.stdout.buffer.write(unreal(sys.stdin.buffer.read()))
