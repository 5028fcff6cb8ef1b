"""What docker-compose.yml and the image are made of: exact things, reachable from this machine alone."""

from __future__ import annotations

import re
from configparser import ConfigParser
from pathlib import Path


def test_every_image_is_an_exact_release() -> None:
    images = re.findall(r"(?m)^ *image: (.+)$", COMPOSE) + re.findall(r"(?m)^FROM (.+)$", DOCKERFILE)
    assert len(images) == 4
    for image in images:
        assert re.fullmatch(r"[a-z/]+:v?\d+\.\d+\.?\d*(-[a-z-]+)?(@sha256:[0-9a-f]{64})?", image), image


def test_nothing_listens_beyond_this_machine() -> None:
    published = re.findall(r'(?m)^ *- "([\d.:]+)"$', COMPOSE)
    assert len(published) == 3
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_no_password_stands_in_a_url_where_its_characters_would_mean_something() -> None:
    assert re.findall(r"(\w+): .*\$\{\w*PASSWORD", COMPOSE) == [
        "DATABASE_PASSWORD",
        "BROKER_PASSWORD",
        "POSTGRES_PASSWORD",
        "RABBITMQ_DEFAULT_PASS",
    ]


def test_the_image_gets_the_releases_of_the_constraints_each_with_its_hashes() -> None:
    pinned = dict(re.findall(r"(?m)^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text()))
    releases = {normal(name): version for name, version in pinned.items()}
    entries = re.findall(r"(?m)^([\w.-]+)==(\S+)( ;[^\\]+)? \\\n((?: +--hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", HASHED)
    hashed = {normal(name): version for name, version, _, _ in entries}
    assert len(entries) == HASHED.count("==")
    assert hashed == {name: releases[name] for name in hashed}
    setup = ConfigParser(inline_comment_prefixes="#")
    setup.read(ROOT / "setup.cfg")
    assert {normal(name) for name in setup["options"]["install_requires"].split()} <= set(hashed)


ROOT = Path(__file__).parents[2]
COMPOSE = (ROOT / "docker-compose.yml").read_text()
DOCKERFILE = (ROOT / "Dockerfile").read_text()
HASHED = (ROOT / "requirements.txt").read_text()


def normal(name: str) -> str:
    """Return a package's name as an index compares it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()
