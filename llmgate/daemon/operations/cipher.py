"""A stream of bytes, encrypted with a passphrase. It holds nothing that could be read or changed without it.

    header    magic        16 bytes   "llmgate backup", 0, version 1
              log2(N) r p   3 bytes   the cost of scrypt (RFC 7914)
              salt         16 bytes   random
              check        32 bytes   HMAC-SHA256 of everything before, under the second key
    chunk     65,536 bytes of AES-256-GCM (NIST SP 800-38D) under the first key, and its tag of 16 bytes
    ...
    chunk     the last one, of any length up to that

scrypt makes 64 bytes of passphrase and salt: two keys of 32 bytes. The nonce of a chunk is its number, from 0, in 11
bytes (big-endian), and one byte that is 1 for the last chunk, else 0: a chunk that is missing, doubled, moved or cut
off is noticed (the STREAM construction; Hoang, Reyhanitabar, Rogaway, Vizár, CRYPTO 2015). The header is the additional
data of every chunk. No nonce is used twice, because the salt makes each file's keys its own.
"""

from __future__ import annotations

import hmac
import secrets
import unicodedata
from dataclasses import dataclass
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from llmgate.errors import AuthenticationFailed, InvalidRequest

MAGIC = b"llmgate backup\0\1"
CHUNK = 64 * 1024
MIN_PASSPHRASE = 12
_SALT, _TAG, _KEY, _CHECK = 16, 16, 32, 32
_PREFIX = len(MAGIC) + 3 + _SALT
HEADER_BYTES = _PREFIX + _CHECK


@dataclass(frozen=True, slots=True)
class Cost:
    """What one guess at the passphrase costs: 128 · 2**log2_n · r bytes of memory, p times."""

    log2_n: int = 17
    r: int = 8
    p: int = 1

    @property
    def bearable(self) -> bool:
        """Whether a file may ask for it: no more than 1 GiB."""
        return 10 <= self.log2_n <= 20 and 1 <= self.r <= 8 and 1 <= self.p <= 4


DEFAULT_COST = Cost()
"""128 MiB, about half a second: what OWASP's Password Storage Cheat Sheet asks for."""


def check_passphrase(passphrase: str) -> None:
    """Raises InvalidRequest for one that is too short."""
    if len(passphrase) < MIN_PASSPHRASE:
        raise InvalidRequest(
            f"The passphrase is shorter than {MIN_PASSPHRASE} characters.",
            hint="Everything of this installation is behind it. Make one with: openssl rand -base64 24",
        )


class Encryptor:
    """Writes what it is given to ``target``, encrypted. Without ``close`` the file counts as cut off."""

    def __init__(self, target: BinaryIO, passphrase: str) -> None:
        """Derives the keys, which takes about half a second."""
        cost = DEFAULT_COST
        prefix = MAGIC + bytes((cost.log2_n, cost.r, cost.p)) + secrets.token_bytes(_SALT)
        self._aead, check = _keys(passphrase, prefix)
        self._header = prefix + check
        self._target = target
        self._kept = bytearray()
        self._number = 0
        self.written = target.write(self._header)

    def write(self, data: bytes) -> None:
        self._kept += data
        while len(self._kept) > CHUNK:  # the last chunk is never empty, except in an empty file
            self._seal(bytes(self._kept[:CHUNK]), last=False)
            del self._kept[:CHUNK]

    def close(self) -> None:
        """Write the last chunk. ``target`` stays open."""
        self._seal(bytes(self._kept), last=True)
        self._kept.clear()

    def _seal(self, plain: bytes, *, last: bool) -> None:
        sealed = self._aead.encrypt(_nonce(self._number, last=last), plain, self._header)
        self._number += 1
        self.written += self._target.write(sealed)


class Decryptor:
    """Reads what an Encryptor wrote. Every byte that it returns was written by somebody who knew the passphrase."""

    def __init__(self, source: BinaryIO, passphrase: str) -> None:
        """Raises InvalidRequest for something else than a backup, AuthenticationFailed for another passphrase."""
        self._header = source.read(HEADER_BYTES)
        if len(self._header) < HEADER_BYTES or not self._header.startswith(MAGIC[:-1]):
            raise InvalidRequest("This is not a backup of llmgate.")
        prefix, check = self._header[:_PREFIX], self._header[_PREFIX:]
        if not prefix.startswith(MAGIC) or not _cost_of(prefix).bearable:
            raise InvalidRequest(
                "This backup has a form that this version of llmgate does not know.", hint="Use a newer llmgate."
            )
        self._aead, expected = _keys(passphrase, prefix)
        if not hmac.compare_digest(check, expected):
            raise AuthenticationFailed("The passphrase is not the one of this backup, or its first bytes are damaged.")
        self._source = source
        self._number = 0
        self._next = source.read(CHUNK + _TAG)

    def read(self) -> bytes:
        """The next chunk; empty at the end. Raises InvalidRequest for what is damaged, changed or cut off."""
        if self._number < 0:
            return b""
        sealed, self._next = self._next, self._source.read(CHUNK + _TAG)
        last = not self._next
        try:
            plain = self._aead.decrypt(_nonce(self._number, last=last), sealed, self._header)
        except InvalidTag:
            place = HEADER_BYTES + self._number * (CHUNK + _TAG)
            what = "cut off, or damaged" if last else "damaged"
            raise InvalidRequest(
                f"The backup is {what} at byte {place:,}.", hint="Nothing of it can be trusted: use another one."
            ) from None
        self._number = -1 if last else self._number + 1
        return plain


def _keys(passphrase: str, prefix: bytes) -> tuple[AESGCM, bytes]:
    """The cipher of the chunks, and the check of the header."""
    cost = _cost_of(prefix)
    scrypt = Scrypt(salt=prefix[-_SALT:], length=2 * _KEY, n=1 << cost.log2_n, r=cost.r, p=cost.p)
    # What is typed as the same text on two machines may be different characters.
    material = scrypt.derive(unicodedata.normalize("NFC", passphrase).encode("utf-8", "surrogateescape"))
    return AESGCM(material[:_KEY]), hmac.digest(material[_KEY:], prefix, "sha256")


def _cost_of(prefix: bytes) -> Cost:
    return Cost(*prefix[len(MAGIC) : len(MAGIC) + 3])


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes((last,))
