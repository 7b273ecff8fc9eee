"""Which request heads are served. Pure.

What two programs in a row could read differently is refused: behind a proxy, the one would be made to take for a
request what the other took for a part of one (RFC 9112, section 11.2). The parser refuses most of it by itself, see
``tests/attacks/smuggling.py``; here is what it lets pass.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from llmgate.errors import ExpectationFailed, HeadTooLarge, InvalidRequest

HEAD_BYTES: Final = 64 * 1024
HEADERS: Final = 100

_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,255})(?::[0-9]{0,5})?")
_TARGET = re.compile(rb"[!-~]+")
_LENGTH = re.compile(rb"[0-9]{1,18}")
_ONCE: Final = frozenset({b"content-length", b"expect", b"host", b"transfer-encoding"})
"""What decides where a request goes and where it ends: said twice, two readers could pick differently."""
_JUDGED: Final = _ONCE | {
    b"authorization",
    b"connection",
    b"content-type",
    b"cookie",
    b"forwarded",
    b"idempotency-key",
    b"origin",
    b"sec-fetch-site",
    b"upgrade",
    b"x-api-key",
    b"x-forwarded-for",
    b"x-forwarded-host",
    b"x-forwarded-proto",
    b"x-llmgate-priority",
    b"x-real-ip",
    b"x-request-id",
}
"""What the gateway or a proxy in front of it goes by."""

Headers = Sequence[tuple[bytes, bytes]]


def check_head(method: str, target: bytes, version: str, headers: Headers) -> None:
    """Whether this head (names in lower case) may be served.

    Raises InvalidRequest or ExpectationFailed.
    """
    if version not in {"1.1", "1.0"}:
        raise InvalidRequest("Only HTTP/1.1 and HTTP/1.0 are spoken here.")
    if method == "CONNECT":
        raise InvalidRequest("This is no proxy.")
    if not target.startswith(b"/") and not (method == "OPTIONS" and target == b"*"):
        raise InvalidRequest("The target of a request must be a path.", hint="This is no proxy.")
    if not _TARGET.fullmatch(target):
        raise InvalidRequest("The target of a request must be printable ASCII; everything else is written as %XX.")
    found = [header for header in headers if header[0] in _ONCE]
    once = dict(found)
    if len(once) < len(found):
        twice = next(name for name in once if [header[0] for header in found].count(name) > 1)
        raise InvalidRequest(f"There must be only one header {twice.decode('ascii').title()}.")
    _check_host(version, once.get(b"host"))
    _check_framing(version, once)
    if b"expect" in once and once[b"expect"].lower() != b"100-continue":
        raise ExpectationFailed
    if b"_" in b" ".join([name for name, _ in headers]):
        _check_underscores(headers)


def check_size(target: bytes, headers: Headers) -> None:
    """Raises HeadTooLarge."""
    if len(target) + sum(len(name) + len(value) for name, value in headers) > HEAD_BYTES:
        raise too_large()


def too_large() -> HeadTooLarge:
    return HeadTooLarge(f"The head of the request is larger than {HEAD_BYTES // 1024} KiB.")


def _check_host(version: str, host: bytes | None) -> None:
    """RFC 9112, section 3.2: in HTTP/1.1 there is exactly one. An empty one names nobody."""
    if host is None:
        if version == "1.1":
            raise InvalidRequest("The header Host is missing.")
    elif not _is_host(host):
        raise InvalidRequest("The header Host is not valid.")


@lru_cache(maxsize=1024)
def _is_host(host: bytes) -> bool:
    return _HOST.fullmatch(host) is not None


def _check_framing(version: str, once: dict[bytes, bytes]) -> None:
    """Where the body ends is said in one way only, and in the plainest there is (RFC 9112, section 6)."""
    coding, length = once.get(b"transfer-encoding"), once.get(b"content-length")
    if coding is not None:
        if version != "1.1":
            raise InvalidRequest("Transfer-Encoding is not part of HTTP/1.0.")
        if length is not None:
            raise InvalidRequest("Content-Length and Transfer-Encoding do not go together.")
        if coding.strip(b" \t").lower() != b"chunked":
            raise InvalidRequest("The only Transfer-Encoding that is understood is chunked.")
    elif length is not None and not _LENGTH.fullmatch(length.strip(b" \t")):
        raise InvalidRequest("Content-Length must be a number.")


def _check_underscores(headers: Headers) -> None:
    """Some programs read ``_`` as ``-``: to them ``X_Forwarded_For`` would be what it only looks like."""
    known = Counter(name.replace(b"_", b"-") for name, _ in headers)
    for name, _ in headers:
        meant = name.replace(b"_", b"-")
        if meant == name:
            continue
        if meant in _JUDGED or known[meant] > 1:
            raise InvalidRequest(f"The header {name.decode('latin-1')[:60]} must be written with '-'.")
