"""Keys for DKIM as people make them with OpenSSL, made once a run, and the zone that has their public ones."""

from __future__ import annotations

import functools
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from pipeline.accounts.signing import read_key
from pipeline.content.signature import Algorithm, SigningKey
from tests.dns_server import Zone


@functools.cache
def rsa_pem(bits: int = 2048) -> bytes:
    """Return an RSA key (`openssl genrsa`)."""
    return rsa.generate_private_key(65537, bits).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@functools.cache
def ed25519_pem() -> bytes:
    """Return an Ed25519 key (`openssl genpkey -algorithm ed25519`)."""
    return ed25519.Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def key_file(folder: Path, pem: bytes, mode: int = 0o600) -> str:
    """Write a key into a file, and return its path."""
    file = folder / f"{len(list(folder.iterdir()))}.pem"
    file.write_bytes(pem)
    file.chmod(mode)
    return str(file)


def signing_keys(folder: Path, domain: str = "example.test") -> tuple[SigningKey, SigningKey]:
    """Return an RSA key at the selector `r1` and an Ed25519 key at `e1`."""
    made = (("r1", Algorithm.RSA, rsa_pem()), ("e1", Algorithm.ED25519, ed25519_pem()))
    rsa_key, ed25519_key = (SigningKey(domain, s, a, *read_key(key_file(folder, pem), a)) for s, a, pem in made)
    return rsa_key, ed25519_key


def zone_of(*keys: SigningKey) -> Zone:
    """Return the zone in which keys are published; a record of RSA is longer than one string takes."""
    strings = {key.name: [key.record[at : at + 250] for at in range(0, len(key.record), 250)] for key in keys}
    return {f"{name} TXT": [" ".join(f'"{part}"' for part in parts)] for name, parts in strings.items()}
