"""Secrets that people copy: a random body and a checksum, so that a typing error is found without asking anyone."""

from __future__ import annotations

import zlib

from llmgate.daemon.ids import random_base62, to_base62

_WIDTH = 6


def seal(body: str) -> str:
    """The body with its CRC-32 in six base-62 digits behind it."""
    return body + to_base62(zlib.crc32(body.encode("ascii")), _WIDTH)


def new_setup_token() -> str:
    """A token that makes the first administrator."""
    return seal(f"llms_{random_base62(32)}")


def is_sealed(text: str) -> bool:
    """Whether the checksum of an ASCII text fits."""
    return seal(text[:-_WIDTH]) == text
