"""How many values a JSON text holds, counted before it is parsed.

The parser of the standard library runs in C and does not let other threads go on, the event loop
among them, so that what a text may cost there must be bounded. Its size is no measure of that: 30 MiB
of text are one value, 30 MiB of ``[],`` are ten million.
"""

from __future__ import annotations

from llmgate.errors import InvalidRequest

MAX_VALUES = 200_000
SLICE_BYTES = 64 * 1024
"""As much is looked at in one piece: other threads can go on in between."""

_NOT_COUNTED = bytes(set(range(256)) - set(b",[{"))


def refuse_many_values(raw: bytes) -> None:
    """Raise InvalidRequest when parsing ``raw`` could make more than ``MAX_VALUES`` values."""
    # Every value costs at least one byte, so a small text needs no closer look.
    if len(raw) > MAX_VALUES and values_in(raw) > MAX_VALUES:
        raise InvalidRequest(
            f"The request body contains more than {MAX_VALUES} values.", hint="Split it into several requests."
        )


def values_in(raw: bytes, slice_bytes: int = SLICE_BYTES) -> int:
    """The values inside the outermost one of a JSON text; an empty container counts twice.

    The first value in a container costs the bracket that opens it, every other one a comma. Strings are
    not looked into. Of a text that is not JSON, what comes before its first fault is counted alike.
    """
    values, in_string, cut = 0, False, b""
    for start in range(0, len(raw), slice_bytes):
        piece = (cut + raw[start : start + slice_bytes]).replace(rb"\\", b"")
        cut = piece[-1:] if piece.endswith(b"\\") else b""  # of an escape that goes on in the next slice
        parts = piece.replace(rb"\"", b"").split(b'"')
        values += len(b"".join(parts[in_string::2]).translate(None, _NOT_COUNTED))
        in_string ^= len(parts) % 2 == 0
    return values
