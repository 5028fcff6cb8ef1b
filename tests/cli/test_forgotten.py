"""Forgotten people and SECRET_KEY as a person meets them: `init`, `doctor`, commands, and the start of a worker."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

import pytest
from cryptography.fernet import Fernet

from models import Delivery, Suppression, database
from models.suppression import suppress
from pipeline.runtime.keys import KeyLockedError
from slowpost import service
from tests.builders import a_contact, a_template
from tests.cli.conftest import Slowpost


def test_init_gives_hashes_of_a_version_before_their_key_where_there_is_one(
    ready: Slowpost, configure: Callable[..., None]
) -> None:
    with database.connection():
        suppress("address", ["sha256:" + hashlib.sha256(b"jo@x.test").hexdigest()], "forgotten", database.now())
    without = ready("init", "--json")
    (warning,) = json.loads(without.out)["warnings"]
    assert (without.code, warning.split(":")[0]) == (0, "hashes of forgotten people have no key yet")
    assert "have no key" in ready("doctor", "--offline").out
    configure(secret_key=Fernet.generate_key().decode())
    assert ready("init").out.endswith("\nforgotten people: 1 hashes have got their key\n")
    assert "have no key" not in ready("doctor", "--offline").out
    with database.connection():
        assert [s.value[:5] for s in Suppression.select()] == ["hmac:"]
    assert "asked to be forgotten" in ready("contacts", "import", "-", stdin="email\njo@x.test\n").err


def test_without_the_key_commands_and_workers_say_in_one_line_what_to_do(
    ready: Slowpost, configure: Callable[..., None]
) -> None:
    with database.connection():
        a_template()
        person, other = a_contact(), a_contact()
    configure(secret_key=Fernet.generate_key().decode())
    assert ready("contacts", "forget", str(person.id)).code == 0
    configure(secret_key=Fernet.generate_key().decode())
    words = "SECRET_KEY (or the key file) does not decrypt the key by which forgotten people are known"
    for command in (
        ["send", str(other.id)],
        ["publish"],
        ["contacts", "forget", str(other.id)],
        ["accounts", "rekey"],
        ["contacts", "import", "-"],
    ):
        refused = ready(*command, stdin="email\nnew@x.test\n")
        assert (refused.code, len(refused.err.splitlines())) == (1, 1), command
        assert words in refused.err, command
    examined = ready("doctor", "--offline")
    assert examined.code == 1
    assert " ".join(words.split()[:6]) in " ".join(examined.out.split())
    with pytest.raises(KeyLockedError, match="put the key back"):
        service.wait_for_servers()
    with database.connection():
        assert Delivery.select().count() == 0
    assert ready("status").code == 0
