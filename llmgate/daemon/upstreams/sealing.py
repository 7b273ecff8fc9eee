"""The bearer tokens of upstreams, as the database keeps them: encrypted, and good for one server only."""

from __future__ import annotations

import base64
import binascii
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_VERSION = "v1:"
_NONCE_BYTES = 12


class Unreadable(Exception):
    """A sealed token that was made under another secret key, for another server, or was tampered with."""


class TokenSeal:
    """AES-256-GCM (NIST SP 800-38D) under ``key``, 32 bytes.

    The name and the URL of the upstream are authenticated with the token: whoever can write to the database cannot
    have it sent elsewhere.
    """

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def seal(self, token: str, *, name: str, url: str) -> str:
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._cipher.encrypt(nonce, token.encode(), _bound_to(name, url))
        return _VERSION + base64.b64encode(nonce + sealed).decode("ascii")

    def open(self, sealed: str, *, name: str, url: str) -> str:
        """The token. Raises Unreadable."""
        try:
            raw = base64.b64decode(sealed.removeprefix(_VERSION), validate=True)
            return self._cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], _bound_to(name, url)).decode()
        except (InvalidTag, binascii.Error, ValueError):
            raise Unreadable from None


def _bound_to(name: str, url: str) -> bytes:
    return f"{name}\n{url}".encode()
